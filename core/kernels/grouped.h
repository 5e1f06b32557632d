/*
** Grouped convolution, depthwise included, where groups are too small for a matrix product each. Vectors run along the
** filters, of several groups at once: the filter in each lane takes the channels of its own group in turn, straight from the
** tensors. The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_GROUPED_H
#define CVL_KERNELS_GROUPED_H

#include <stdbool.h>

#include "kernels/patches.h"

bool cvl_grouped_possible(const cvl_conv *p, cvl_pass pass);
int cvl_grouped_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                        float *y, cvl_err *e);
int cvl_grouped_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                              float *gx, cvl_err *e);
int cvl_grouped_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                cvl_err *e);

/* Where the lanes of a vector find the channel of their turn. */
typedef enum cvl_grouped_kind {
  CVL_GROUPED_OWN,  /* the channel of the same number: one channel and one filter in a group */
  CVL_GROUPED_ONE,  /* one channel for all lanes, which belong to one group */
  CVL_GROUPED_NEAR, /* one vector has the channels of all lanes, */
  CVL_GROUPED_FAR,  /* or several have */
  CVL_GROUPED_KINDS
} cvl_grouped_kind;

enum { CVL_GROUPED_LINES = 16, CVL_GROUPED_LANES = 16 };

/* Vectors are n channels from c on, whole groups or part of one. In turn t lane i takes channel base + lane[i] + t. */
typedef struct cvl_grouped_lanes {
  int64_t c, n, base;
  int32_t lane[CVL_GROUPED_LANES];
} cvl_grouped_lanes;

/* One line of positions along the last axis, and the lines that it reads, one per tap of the other axes. Vectors run along
** `across` channels, those of the target forward and for the gradient of the data, those of the source for that of the
** filter; of the other tensor's `taken` channels each lane takes `depth`. */
typedef struct cvl_grouped_line {
  cvl_axis axis; /* the last one */
  int64_t across, taken, depth;
  const cvl_grouped_lanes *lanes; /* of each vector */
  int vectors;                    /* that have what a vector's lanes take */
  int lines;
  const float *source[CVL_GROUPED_LINES]; /* {size, channels} */
  float *w[CVL_GROUPED_LINES]; /* {filter, depth, lanes} of vector 0; written by `filter` only */
  int64_t panel;               /* to that of the next vector */
  const float *zeros;          /* a pixel of them and a vector more */
} cvl_grouped_line;

/* Both for vectors [first, last) of a line. */
typedef struct cvl_grouped {
  int lanes;
  /* y[i * y_step + c] = (add ? itself : bias[c] or 0) + sum over lines, taps and turns of source[what c takes] * w. */
  void (*gather[CVL_GROUPED_KINDS])(const cvl_grouped_line *l, int64_t first, int64_t last,
                                    bool add, const float *bias, float *y, int64_t y_step);
  /* w += sum over the positions of source[c] * gy[i * taken + what c takes], for each line, tap and turn. */
  void (*filter[CVL_GROUPED_KINDS])(const cvl_grouped_line *l, int64_t first, int64_t last,
                                    const float *gy);
} cvl_grouped;

extern const cvl_grouped cvl_grouped_baseline, cvl_grouped_avx2, cvl_grouped_avx512;

#endif

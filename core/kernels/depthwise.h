/*
** Depthwise convolution, one filter per channel, and grouped convolution with as many filters as channels, 2, 4, 8 or 16 in
** a group. Groups are too small for a matrix product, so these kernels work on vectors of channels, some groups each,
** straight from the tensors: a filter in each lane, which takes the channels of its group from the vector's lanes in turn.
** The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_DEPTHWISE_H
#define CVL_KERNELS_DEPTHWISE_H

#include <stdbool.h>

#include "kernels/patches.h"

bool cvl_depthwise_possible(const cvl_conv *p);
int cvl_depthwise_forward(const cvl_conv *p, const float *x, const float *w,
                          const cvl_epilogue *then, float *y, cvl_err *e);
int cvl_depthwise_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                                cvl_err *e);
int cvl_depthwise_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                  cvl_err *e);

enum { CVL_DEPTHWISE_LINES = 16, CVL_DEPTHWISE_DEPTHS = 5 /* 1, 2, 4, 8, 16 */ };

/* One line of positions along the last axis, {count, C}, and the lines that it reads, one per tap of the other axes. */
typedef struct cvl_depthwise_line {
  cvl_axis axis; /* the last one */
  int64_t C;
  int lines;
  const float *source[CVL_DEPTHWISE_LINES]; /* {size, C} */
  float *w[CVL_DEPTHWISE_LINES];            /* {filter, depth, C}; written by `filter` only */
} cvl_depthwise_line;

/* The d-th kernel of each is for groups of depth 1 << d, in channels; NULL where that is more than a vector. In its i-th turn
** of `depth` filter c takes channel(c, i) = c - c % depth + i, the i-th of its group. */
typedef struct cvl_depthwise {
  /* y[i * y_step + c] = (add ? itself : bias[c] or 0) + sum over lines, taps and turns of source[channel(c, i)] * w. */
  void (*gather[CVL_DEPTHWISE_DEPTHS])(const cvl_depthwise_line *l, bool add, const float *bias,
                                       float *y, int64_t y_step);
  /* w += sum over the positions of source[channel(c, i)] * gy[i * C + c], for each line, tap and turn. */
  void (*filter[CVL_DEPTHWISE_DEPTHS])(const cvl_depthwise_line *l, const float *gy);
} cvl_depthwise;

extern const cvl_depthwise cvl_depthwise_baseline, cvl_depthwise_avx2, cvl_depthwise_avx512;

#endif

/*
** Depthwise convolution: one filter per channel, groups == C == K. There is nothing to share between channels, so these
** kernels work on vectors of channels straight from the tensors. The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_DEPTHWISE_H
#define CVL_KERNELS_DEPTHWISE_H

#include <stdbool.h>

#include "kernels/patches.h"

int cvl_depthwise_forward(const cvl_conv *p, const float *x, const float *w,
                          const cvl_epilogue *then, float *y, cvl_err *e);
int cvl_depthwise_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                                cvl_err *e);
int cvl_depthwise_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                  cvl_err *e);

enum { CVL_DEPTHWISE_LINES = 16 };

/* One line of positions along the last axis, {count, C}, and the lines that it reads, one per tap of the other axes. */
typedef struct cvl_depthwise_line {
  cvl_axis axis; /* the last one */
  int64_t C;
  int lines;
  const float *source[CVL_DEPTHWISE_LINES]; /* {size, C} */
  float *w[CVL_DEPTHWISE_LINES];            /* {filter, C}; written by `filter` only */
} cvl_depthwise_line;

typedef struct cvl_depthwise {
  /* y[i * y_step + c] = (add ? itself : bias[c] or 0) + sum over lines and taps of source * w. */
  void (*gather)(const cvl_depthwise_line *l, bool add, const float *bias, float *y,
                 int64_t y_step);
  /* w += sum over the positions of source * gy[i * C + c], for each line and tap. */
  void (*filter)(const cvl_depthwise_line *l, const float *gy);
} cvl_depthwise;

extern const cvl_depthwise cvl_depthwise_baseline, cvl_depthwise_avx2, cvl_depthwise_avx512;

#endif

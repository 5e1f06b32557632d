/*
** Windows that slide over spatial axes: the one place for the sizes of convolution, pooling and transposed convolution.
** Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
**
**   reach       e = dilation (filter - 1) + 1          inputs that a dilated filter spans
**   convolution o = floor((in + before + after - e) / stride) + 1
**   pooling     the same with e = filter, or with ceil instead of floor
**   transposed  o = stride (in - 1) + e - before - after + output_padding
** "same" is TensorFlow's rule: o = ceil(in / stride), before + after = max((o - 1) stride + e - in, 0), the odd one after;
** transposed o = in stride. "valid" pads nothing. Every axis has its own numbers.
*/
#ifndef CVL_OPS_WINDOW_H
#define CVL_OPS_WINDOW_H

#include "ops/op.h"

enum { CVL_MAX_SPATIAL = 3 };

/* Axes are stored at the end, as in kernels/conv.h: depth, height, width; those that are not there have size 1. */
typedef struct cvl_window {
  int axes; /* 1..3 */
  int64_t in[CVL_MAX_SPATIAL], filter[CVL_MAX_SPATIAL], out[CVL_MAX_SPATIAL];
  int64_t stride[CVL_MAX_SPATIAL], dilation[CVL_MAX_SPATIAL];
  int64_t before[CVL_MAX_SPATIAL], after[CVL_MAX_SPATIAL];
} cvl_window;

/* x {N, (spatial), C} must have `axes` spatial axes; in[] is filled and everything else set to 1 or 0. */
int cvl_window_init(cvl_window *w, const cvl_shape *x, int axes, cvl_err *e);
/* Spreads an option with one number per axis, or one for all, over the axes of `to`, which is one of w's arrays. */
int cvl_window_spread(const cvl_window *w, const cvl_ints *from, const char *name, int64_t *to,
                      cvl_err *e);

/* Fill before, after and out from the rest. */
int cvl_window_conv(cvl_window *w, const cvl_padding *padding, cvl_err *e);
int cvl_window_pool(cvl_window *w, const cvl_padding *padding, bool ceil_mode, cvl_err *e);
/* Here `in` is what the transposed convolution reads and `out` what it writes. */
int cvl_window_transposed(cvl_window *w, const cvl_padding *padding, const int64_t *output_padding,
                          cvl_err *e);

/* y's shape: x's with the spatial axes replaced by w->out and the last by `channels`. */
void cvl_window_shape(const cvl_window *w, int64_t n, int64_t channels, cvl_shape *y);
/* The padding as numbers, for an op with the same geometry. */
cvl_padding cvl_window_padding(const cvl_window *w);
/* One array of the window as an option of an op with as many axes. */
cvl_ints cvl_window_ints(const cvl_window *w, const int64_t *from);

#endif

/*
** Convolution, channels last, float32: forward and both backward passes, 1 to 3 spatial axes, groups, dilation,
** asymmetric padding. The planner in conv.c picks an algorithm per problem, from sizes alone.
**   x {N, in[0..2], C}   w {filter[0..2], C/groups, K}   y {N, out[0..2], K}      axes that are not there have size 1
** Cross-correlation: y[n,o,k] = sum over taps f and channels c of x[n, o*stride + f*dilation - before, c] * w[f, c, k].
*/
#ifndef CVL_KERNELS_CONV_H
#define CVL_KERNELS_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/epilogue.h"

typedef struct cvl_conv {
  int64_t N, C, K, groups;
  int64_t in[3], filter[3], out[3]; /* depth, height, width */
  int64_t stride[3], dilation[3];
  int64_t before[3]; /* zeros before the first input of an axis; those after follow from `out` */
  bool bf16; /* operands may be rounded to bfloat16 where that is faster; sums are float32 */
} cvl_conv;

/* Takes the algorithm named - direct, lines, winograd or gemm - wherever it is possible, and gemm elsewhere: for tests and
** measurements. "": the planner chooses. Before the first call CONVLUA_CONV decides. CVL_EARG for another name. */
int cvl_conv_force(const char *name, cvl_err *e);

/* All tensors dense. The result is written, not added to; only the data's gradient is on demand, gx += it. CVL_ENOMEM when
** scratch cannot be had. Bits do not depend on the number of threads. */
int cvl_conv_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e);
int cvl_conv_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                           cvl_err *e);
int cvl_conv_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e);

#endif

/*
** Convolution, channels last, float32: forward and both backward passes, 1 to 3 spatial axes, groups, dilation,
** asymmetric padding. The planner in conv.c picks an algorithm per problem, from sizes and the CPU's maker.
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

/* With strides of 1 the gradient of the data is the convolution of gy, padded by what the filter reaches beyond its first
** tap, with the filter turned round and its channels exchanged. */
static inline cvl_conv cvl_conv_reversed(const cvl_conv *p) {
  cvl_conv back = *p;
  back.C = p->K;
  back.K = p->C;
  for (int d = 0; d < 3; d++) {
    back.in[d] = p->out[d];
    back.out[d] = p->in[d];
    back.before[d] = (p->filter[d] - 1) * p->dilation[d] - p->before[d];
  }
  return back;
}

/* Forward, and the gradients of the data and of the filter. */
typedef enum cvl_pass { CVL_FORWARD, CVL_DATA, CVL_FILTER } cvl_pass;

/*
** z = pool(act(conv(x, w) + bias)), for training: a pooling whose windows lie side by side without padding. What is left
** over at the end of an axis belongs to no window, and conv.out does not count it.
**   z {N, conv.out[i] / window[i], K}      act: the identity or ReLU
*/
typedef struct cvl_conv_pool {
  cvl_conv conv;
  bool relu,
      max; /* the largest of a window, or the mean; NaN stays as it is in ops/pool.c and ops/activation.c */
  int64_t window[3]; /* window[0] is 1; all 1: no pooling */
} cvl_conv_pool;

/* Takes the algorithm named - direct, dots, grouped, lines, subpixel, winograd or gemm - wherever it is possible, and gemm elsewhere: for
** tests and measurements. "": the planner chooses. Before the first call CONVLUA_CONV decides. CVL_EARG for another name. */
int cvl_conv_force(const char *name, cvl_err *e);

/* In how many slots the forward pass leaves the moments of its results when `then` asks for them; 0: it makes none. */
int64_t cvl_conv_slots(const cvl_conv *p);

/* All tensors dense. The result is written, not added to; only the data's gradient is on demand, gx += it. CVL_ENOMEM when
** scratch cannot be had. Bits do not depend on the number of threads. */
int cvl_conv_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e);
int cvl_conv_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                           cvl_err *e);
int cvl_conv_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e);

/* Whether the functions below do it, and faster than one after the other: few channels, enough images. */
bool cvl_conv_pool_suits(const cvl_conv_pool *p);
/* A bit for each output of the convolution: whether z's gradient reaches it. So many numbers of 16 bits. */
int64_t cvl_conv_pool_marks(const cvl_conv_pool *p);
/* `marks` NULL: no gradient is wanted. */
int cvl_conv_pool_forward(const cvl_conv_pool *p, const float *x, const float *w, const float *bias,
                          uint16_t *marks, float *z, cvl_err *e);
/* Gradients that are not wanted are NULL. The data's is added to gx when `add`. */
int cvl_conv_pool_backward(const cvl_conv_pool *p, const float *x, const float *w,
                           const uint16_t *marks, const float *gz, bool add, float *gx, float *gw,
                           float *gb, cvl_err *e);
/* The marks as numbers {N, out, K}, 0 or 1, and 0 for what belongs to no window. */
void cvl_conv_pool_shares(const cvl_conv_pool *p, const uint16_t *marks, const int64_t out[3],
                          float *shares);

#endif

/* What the kernels want to know of a convolution with a pooling behind it. Included by ops/conv_pool.c only. */
#ifndef CVL_OPS_CONV_POOL_PROBLEM_H
#define CVL_OPS_CONV_POOL_PROBLEM_H

#include "kernels/conv.h"
#include "ops/conv_problem.h"

static inline int cvl_conv_pool_problem(cvl_conv_pool *p, const cvl_shape *x, const cvl_shape *w,
                                        const cvl_conv_pool_options *o, cvl_err *e) {
  const cvl_args a = {0};
  int axes = x->ndim - 2;
  *p = (cvl_conv_pool){.relu = o->relu, .max = o->max, .window = {1, 1, 1}};
  if (cvl_conv_problem(&p->conv, &a, &o->conv, CVL_CONV_FORWARD, x, w, e) != 0) return -1;
  for (int i = 0; i < axes; i++) {
    int d = CVL_MAX_SPATIAL - axes + i;
    p->window[d] = o->window.v[i];
    p->conv.out[d] -= p->conv.out[d] % p->window[d]; /* what is left over is in no window */
  }
  return 0;
}

#endif

/* What the kernels want to know of a convolution, from an op's shapes. Included by kernels' files of ops only. */
#ifndef CVL_OPS_CONV_PROBLEM_H
#define CVL_OPS_CONV_PROBLEM_H

#include "kernels/conv.h"
#include "ops/conv.h"

/* From which precision on a pass may round its operands. */
#define CVL_CONV_FORWARD CVL_PRECISION_BF16_FULL
#define CVL_CONV_BACKWARD CVL_PRECISION_BF16

/* x, w as of conv, whichever of them is the result here. `least`: the precision from which on this pass may round its
** operands. */
static inline int cvl_conv_problem(cvl_conv *p, const cvl_args *a, const cvl_conv_options *o,
                                   cvl_precision least, const cvl_shape *x, const cvl_shape *w,
                                   cvl_err *e) {
  cvl_window v;
  if (cvl_conv_window(&v, x, w, o, e) != 0) return -1;
  *p = (cvl_conv){.N = x->dim[0],
                  .C = x->dim[x->ndim - 1],
                  .K = w->dim[w->ndim - 1],
                  .groups = o->groups,
                  .bf16 = cvl_precision_bf16(a->precision, least)};
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    p->in[i] = v.in[i];
    p->filter[i] = v.filter[i];
    p->out[i] = v.out[i];
    p->stride[i] = v.stride[i];
    p->dilation[i] = v.dilation[i];
    p->before[i] = v.before[i];
  }
  return 0;
}

#endif

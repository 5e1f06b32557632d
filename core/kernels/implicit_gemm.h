/*
** Convolution as a matrix product whose left matrix, the patches, is never stored whole: blocks of it are copied out of
** the source as they are needed (Chetlur et al. 2014, "cuDNN: Efficient Primitives for Deep Learning",
** arXiv:1410.0759). Any size, stride, padding, dilation and groups. The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_IMPLICIT_GEMM_H
#define CVL_KERNELS_IMPLICIT_GEMM_H

#include "kernels/conv.h"

int cvl_implicit_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e);
int cvl_implicit_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e);
int cvl_implicit_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e);

#endif

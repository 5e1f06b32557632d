/* Convolution by cuDNN on a device: the handle, the plans made so far, and the layouts around them. */
#ifndef CVL_CUDA_DNN_H
#define CVL_CUDA_DNN_H

#include <stdbool.h>

#include "cuda/runtime.h"
#include "kernels/conv.h"
#include "tensor/dtype.h"

/* As cvl_dnn_pass of dnn_graph.h, which needs cuDNN's headers. */
typedef enum { CVL_CUDA_FORWARD, CVL_CUDA_DATA, CVL_CUDA_FILTER } cvl_cuda_pass;

/*
** Addresses on the device: x and y as in kernels/conv.h, w {taps, C/groups, K}. A pass writes one of them.
** Forward: y = act(conv(x, w) + residual + shift), residual as y and shift {K}, either or both NULL; act is the identity
** or ReLU. The other passes look at none of these.
*/
typedef struct cvl_cuda_conv {
  void *x, *w, *y, *residual, *shift;
  bool relu;
} cvl_cuda_conv;

/*
** One pass of a convolution in memory of one floating type.
** 0: done. 1: cuDNN cannot be had, or has no engine for it. -1: an error.
*/
int cvl_cuda_dnn_conv(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *c,
                      const cvl_cuda_conv *m, cvl_err *e);

/* Version of cuDNN as in 91900, or 0 with the reason why it is not used. */
int cvl_cuda_dnn_version(cvl_cuda *d, cvl_err *e);

#endif

/* Convolution by cuDNN on a device: the handle, the plans made so far, and the layouts around them. */
#ifndef CVL_CUDA_DNN_H
#define CVL_CUDA_DNN_H

#include "cuda/runtime.h"
#include "kernels/conv.h"
#include "tensor/dtype.h"

/* As cvl_dnn_pass of dnn_graph.h, which needs cuDNN's headers. */
typedef enum { CVL_CUDA_FORWARD, CVL_CUDA_DATA, CVL_CUDA_FILTER } cvl_cuda_pass;

/*
** One map of a convolution in memory of one floating type, x and y as in kernels/conv.h and w {taps, C/groups, K}; what the pass makes is written.
** 0: done. 1: cuDNN cannot be had, or has no engine for it. -1: an error.
*/
int cvl_cuda_dnn_conv(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *c, void *x,
                      void *w, void *y, cvl_err *e);

/* Version of cuDNN as in 91900, or 0 with the reason why it is not used. */
int cvl_cuda_dnn_version(cvl_cuda *d, cvl_err *e);

#endif

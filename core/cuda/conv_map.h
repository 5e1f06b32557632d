/*
** One pass of a convolution, whichever way it can be made: by an engine of cuDNN's, with operands of fewer bits where that
** is asked for, or by the kernels of conv.cu.
*/
#ifndef CVL_CUDA_CONV_MAP_H
#define CVL_CUDA_CONV_MAP_H

#include "cuda/dnn.h"

/* Memory of `type`, float32 or float64. `operands`: the same, or what is rounded before it is multiplied
** (cvl_cuda_operands). */
int cvl_cuda_conv_map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, cvl_dtype operands,
                      const cvl_conv *p, const cvl_cuda_conv *m, cvl_err *e);

#endif

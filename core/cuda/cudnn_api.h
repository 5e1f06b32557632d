/* cuDNN 9, found at run time: its functions as dnn->Create(...), dnn->BackendFinalize(...). */
#ifndef CVL_CUDA_CUDNN_API_H
#define CVL_CUDA_CUDNN_API_H

#include <cudnn.h>

#include "base/err.h"

#if CUDNN_MAJOR != 9
#error "cuDNN 9 is needed"
#endif

/* clang-format off */
#define CVL_CUDNN_FUNCTIONS(X)                                            \
  X(GetVersion) X(GetErrorString) X(GetLastErrorString)                   \
  X(Create) X(Destroy) X(SetStream)                                       \
  X(BackendCreateDescriptor) X(BackendDestroyDescriptor)                  \
  X(BackendSetAttribute) X(BackendGetAttribute) X(BackendFinalize)        \
  X(BackendExecute)
/* clang-format on */

#define CVL_CUDNN_MEMBER_(f) __typeof__(&cudnn##f) f;
typedef struct cvl_cudnn {
  CVL_CUDNN_FUNCTIONS(CVL_CUDNN_MEMBER_)
} cvl_cudnn;

/* The library, opened at the first call; NULL with CVL_EDEVICE when it cannot be used. */
const cvl_cudnn *cvl_cudnn_get(cvl_err *e);

#endif

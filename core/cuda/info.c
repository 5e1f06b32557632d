/* What a user is told of a device and its libraries, and the one switch of its arithmetic. */
#include <stdio.h>

#include "cuda/blas.h"
#include "cuda/dnn.h"

int cvl_cuda_info(cvl_device *base, cvl_device_info *info, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  struct cudaDeviceProp properties;
  size_t free_memory, memory;
  *info = (cvl_device_info){
      .major = d->major, .minor = d->minor, .multiprocessors = d->multiprocessors};
  if (cvl_cuda_use(d, e) != 0 || CVL_CUDA(e, cudaGetDeviceProperties(&properties, d->index)) != 0 ||
      CVL_CUDA(e, cudaMemGetInfo(&free_memory, &memory)) != 0 ||
      CVL_CUDA(e, cudaDriverGetVersion(&info->driver)) != 0 ||
      CVL_CUDA(e, cudaRuntimeGetVersion(&info->runtime)) != 0)
    return -1;
  snprintf(info->gpu, sizeof info->gpu, "%s", properties.name);
  info->memory = (int64_t)memory;
  info->free_memory = (int64_t)free_memory;
  info->cublas = cvl_cuda_blas_version(d, &info->cublas_why);
  info->cudnn = cvl_cuda_dnn_version(d, &info->cudnn_why);
  return 0;
}

bool cvl_cuda_tf32(cvl_device *base, int on) {
  cvl_cuda *d = cvl_cuda_of(base);
  bool was = d->tf32;
  if (on >= 0) d->tf32 = on;
  return was;
}

#include "cuda/runtime.h"

#include <stdio.h>

/* Errors of the device's own work; a process that met one gets no further work done (CUDA Runtime API, cudaError). */
static bool device_lost(cudaError_t rc) {
  switch (rc) {
  case cudaErrorIllegalAddress:
  case cudaErrorMisalignedAddress:
  case cudaErrorInvalidAddressSpace:
  case cudaErrorInvalidPc:
  case cudaErrorIllegalInstruction:
  case cudaErrorHardwareStackError:
  case cudaErrorLaunchFailure:
  case cudaErrorLaunchTimeout:
  case cudaErrorAssert:
  case cudaErrorECCUncorrectable:
    return true;
  default:
    return false;
  }
}

int cvl_cuda_check(cudaError_t rc, const char *call, cvl_err *e) {
  int length = 0;
  if (rc == cudaSuccess) return 0;
  cudaGetLastError(); /* the next call must not report this one again */
  while (call[length] != '\0' && call[length] != '(') length++;
  if (rc == cudaErrorMemoryAllocation)
    return cvl_fail(e, CVL_ENOMEM, 0, "CUDA: %.*s: %s", length, call, cudaGetErrorString(rc));
  return cvl_fail(e, CVL_EDEVICE, 0, "CUDA: %.*s: %s%s", length, call, cudaGetErrorString(rc),
                  device_lost(rc) ? "; the device is lost to this process, which must be started "
                                    "again (CONVLUA_SYNC=1 finds the op at fault)"
                                  : "");
}

int cvl_cuda_use(cvl_cuda *d, cvl_err *e) {
  static _Thread_local int current = -1;
  if (current == d->index) return 0;
  if (CVL_CUDA(e, cudaSetDevice(d->index)) != 0) return -1;
  current = d->index;
  return 0;
}

int cvl_cuda_launched(cvl_cuda *d, cvl_err *e) {
  if (CVL_CUDA(e, cudaGetLastError()) != 0) return -1;
  return d->checked && d->base.recording == NULL ? CVL_CUDA(e, cudaStreamSynchronize(d->stream))
                                                 : 0;
}

int cvl_cuda_sync(cvl_device *base, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_recording_refuse(base, "waiting for the device", e) != 0) return -1;
  if (cvl_cuda_use(d, e) != 0) return -1;
  return CVL_CUDA(e, cudaStreamSynchronize(d->stream));
}

/* What the plugin's ops in C include. */
#ifndef CVL_CUDA_OP_H
#define CVL_CUDA_OP_H

#include "cuda/runtime.h"
#include "device/cache.h"
#include "ops/op.h"

/* The kernels of an op for float32 and float64, which look at the tensors' type themselves; table.c finds them. */
#define CVL_CUDA_KERNELS(name, fwd, bwd)                                       \
  extern const cvl_kernels cvl_##name##_cuda_f32, cvl_##name##_cuda_f64;       \
  const cvl_kernels cvl_##name##_cuda_f32 = {.forward = fwd, .backward = bwd}, \
                    cvl_##name##_cuda_f64 = {.forward = fwd, .backward = bwd};

/* And for integers and truth values; nothing of them has a gradient. */
#define CVL_CUDA_INTEGER_KERNELS(name, fwd)                                                    \
  extern const cvl_kernels cvl_##name##_cuda_i32, cvl_##name##_cuda_i64, cvl_##name##_cuda_u8; \
  const cvl_kernels cvl_##name##_cuda_i32 = {.forward = fwd},                                  \
                    cvl_##name##_cuda_i64 = {.forward = fwd},                                  \
                    cvl_##name##_cuda_u8 = {.forward = fwd};

/* The tensor's device, made current; NULL with an error. */
static inline cvl_cuda *cvl_cuda_for(const cvl_tensor *x, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(x));
  return cvl_cuda_use(d, e) == 0 ? d : NULL;
}

/* The address of an optional result's elements. */
static inline void *cvl_cuda_data_or_null(const cvl_tensor *x) {
  return x != NULL ? cvl_data(x) : NULL;
}

/* 0 when the launch, a cudaError_t, went well. */
#define CVL_CUDA_LAUNCH(d, e, call) (CVL_CUDA((e), (call)) != 0 ? -1 : cvl_cuda_launched((d), (e)))

#endif

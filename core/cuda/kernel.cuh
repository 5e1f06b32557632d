/* What every kernel file includes: the core's headers, which are C, and the helpers of a launch. */
#ifndef CVL_CUDA_KERNEL_CUH
#define CVL_CUDA_KERNEL_CUH

#include <cuda_runtime.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "base/rng.h"
#include "cuda/runtime.h"
#include "ops/op.h"
#include "tensor/loop.h"
}

enum { CVL_CUDA_BLOCK = 256 }; /* threads, where nothing speaks for another number */

/* The device of a tensor, made current; NULL with an error. */
static inline cvl_cuda *cvl_cuda_on(const cvl_tensor *x, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(x));
  return cvl_cuda_use(d, e) == 0 ? d : NULL;
}

static inline unsigned cvl_cuda_blocks(int64_t items, int64_t per_block) {
  return (unsigned)((items + per_block - 1) / per_block);
}

#endif

/* See ops/dropout.c: the same mask, bit by bit. A thread makes one Philox block, four elements. */
#include "cuda/kernel.cuh"

extern "C" {
#include "ops/dropout.h"
}

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    dropout_kernel(cvl_rng rng, const cvl_rng *live, uint32_t threshold, real scale, int64_t count,
                   const real *x, real *y) {
  const int64_t block = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  uint32_t r[4];
  if (block * 4 >= count) return;
  if (live != nullptr) {
    rng.seed = live->seed;
    rng.stream = live->stream;
    rng.position += live->position;
  }
  cvl_philox(&rng, rng.position + (uint64_t)block, r);
  for (int k = 0; k < 4 && block * 4 + k < count; k++)
    y[block * 4 + k] = r[k] >= threshold ? x[block * 4 + k] * scale : 0;
}

static int apply(const cvl_args *a, const cvl_tensor *x, cvl_tensor *y, cvl_err *e) {
  const double rate = ((const cvl_dropout_options *)a->options)->rate;
  const int64_t count = cvl_count(y);
  cvl_cuda *d = cvl_cuda_on(y, e);
  const cvl_rng *live;
  cvl_rng rng = a->rng;
  if (d == NULL || cvl_recording_rng(&d->base, &rng, &live, e) != 0) return -1;
  if (count == 0) return 0;
  dropout_kernel<<<cvl_cuda_blocks(count, 4 * CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      rng, live, (uint32_t)(rate * 0x1p32), (real)(1 / (1 - rate)), count,
      (const real *)cvl_data(x), (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) { return apply(a, a->in[0], y, e); }

static int backward(const cvl_args *a, const cvl_tensor *, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  return gx[0] == NULL ? 0 : apply(a, gy, gx[0], e);
}
CVL_KERNELS(dropout, forward, backward)

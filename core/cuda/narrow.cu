/* Between float32 and the types of two bytes. */
#include "cuda/launch.cuh"
#include "cuda/rounded.h"
#include "tensor/half.h"

namespace {

using launch::THREADS;

template <cvl_dtype Half>
__global__ void __launch_bounds__(THREADS)
    narrow(const float *__restrict__ from, int64_t n, uint16_t *to) {
  const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i < n) to[i] = cvl_half_from_f32(Half, from[i]);
}

template <cvl_dtype Half>
__global__ void __launch_bounds__(THREADS)
    widen(const uint16_t *__restrict__ from, int64_t n, float *to) {
  const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i < n) to[i] = cvl_half_to_f32(Half, from[i]);
}

} // namespace

cudaError_t cvl_cuda_narrow(cvl_dtype half, const float *from, int64_t n, uint16_t *to,
                            cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  if (half == CVL_BF16)
    narrow<CVL_BF16><<<launch::blocks(n, THREADS), THREADS, 0, stream>>>(from, n, to);
  else
    narrow<CVL_F16><<<launch::blocks(n, THREADS), THREADS, 0, stream>>>(from, n, to);
  return cudaGetLastError();
}

cudaError_t cvl_cuda_widen(cvl_dtype half, const uint16_t *from, int64_t n, float *to,
                           cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  if (half == CVL_BF16)
    widen<CVL_BF16><<<launch::blocks(n, THREADS), THREADS, 0, stream>>>(from, n, to);
  else
    widen<CVL_F16><<<launch::blocks(n, THREADS), THREADS, 0, stream>>>(from, n, to);
  return cudaGetLastError();
}

#include "cuda/matmul.h"

#include "cuda/gemm.cuh"
#include "cuda/launch.cuh"

namespace {

/* element (line, step) of an operand; Fast: its steps lie side by side */
template <typename T, bool Fast> struct strided {
  typedef int64_t line;
  typedef int64_t step;
  static const bool steps_fast = Fast;
  const T *from;
  int64_t line_step, k_step;
  __device__ int64_t line_of(int i) const { return i * line_step; }
  __device__ int64_t step_of(int k) const { return k * k_step; }
  __device__ T at(int64_t i, int64_t k) const { return from[i + k]; }
};

template <typename T> struct dense {
  T *to;
  int64_t N;
  __device__ void operator()(int row, int column, T sum) const { to[row * N + column] = sum; }
};

template <typename T>
__global__ void __launch_bounds__(gemm::THREADS)
    matmul(const __grid_constant__ cvl_cuda_product p, int64_t batches) {
  __shared__ gemm::shared_tiles<T> s;
  const unsigned across = (unsigned)((p.N + gemm::TILE - 1) / gemm::TILE);
  const int row = (int)(blockIdx.x / across) * gemm::TILE,
            column = (int)(blockIdx.x % across) * gemm::TILE;
  for (int64_t which = blockIdx.y; which < batches; which += gridDim.y) {
    strided<T, true> a = {(const T *)p.a.data, p.a.row, p.a.col};
    strided<T, false> b = {(const T *)p.b.data, p.b.col, p.b.row};
    dense<T> y = {(T *)p.y + which * p.M * p.N, p.N};
    int64_t left = which;
    for (int i = p.batch.ndim - 1; i >= 0; i--) {
      int64_t at = left % p.batch.dim[i];
      a.from += at * p.a.batch[i];
      b.from += at * p.b.batch[i];
      left /= p.batch.dim[i];
    }
    gemm::tile(s, a, b, y, (int)p.M, (int)p.N, row, column, 0, (int)p.K);
  }
}

template <typename T>
cudaError_t run(const cvl_cuda_product *p, dim3 grid, int64_t batches, cudaStream_t stream) {
  matmul<T><<<grid, gemm::THREADS, 0, stream>>>(*p, batches);
  return cudaGetLastError();
}

} // namespace

cudaError_t cvl_cuda_matmul(cvl_dtype type, const cvl_cuda_product *p, cudaStream_t stream) {
  const int64_t most = INT32_MAX - gemm::TILE, most_high = 65535;
  int64_t batches = 1, tiles;
  for (int i = 0; i < p->batch.ndim; i++) batches *= p->batch.dim[i];
  if (p->M > most || p->N > most || p->K > most) return cudaErrorInvalidValue;
  if (batches * p->M * p->N == 0) return cudaSuccess;
  tiles = ((p->M + gemm::TILE - 1) / gemm::TILE) * ((p->N + gemm::TILE - 1) / gemm::TILE);
  if (tiles > INT32_MAX) return cudaErrorInvalidValue;
  dim3 grid((unsigned)tiles, (unsigned)(batches < most_high ? batches : most_high));
  switch (type) {
  case CVL_F32:
    return run<float>(p, grid, batches, stream);
  case CVL_F64:
    return run<double>(p, grid, batches, stream);
  case CVL_I32:
    return run<uint32_t>(p, grid, batches, stream); /* the same bits, and overflow is defined */
  case CVL_I64:
    return run<uint64_t>(p, grid, batches, stream);
  default:
    return run<uint8_t>(p, grid, batches, stream);
  }
}

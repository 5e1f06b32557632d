/* What follows a convolution: bias, residual and ReLU; and the gradient of the bias. */
#include "cuda/conv.h"
#include "cuda/launch.cuh"

namespace {

using launch::THREADS;

template <typename T>
__global__ void __launch_bounds__(THREADS)
    finish(int64_t rows, int64_t K, const T *__restrict__ residual, const T *__restrict__ shift,
           bool relu, T *y) {
  FOR_ROWS(r, rows) FOR_CHANNELS(k, K) {
    T v = y[r * K + k];
    if (shift != nullptr) v += shift[k];
    if (residual != nullptr) v += residual[r * K + k];
    y[r * K + k] = relu && v < 0 ? T(0) : v; /* NaN stays */
  }
}

enum { WIDE = 32, HIGH = THREADS / WIDE, MOST_PARTS = 256, LEAST_ROWS = 64 };

/* sums {parts, K}: a block sums `size` rows of WIDE columns; each thread every HIGH-th of them, then in order. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    sum_parts(int64_t rows, int64_t K, int64_t size, int64_t across, const T *__restrict__ gy,
              double *sums) {
  __shared__ double part[HIGH][WIDE];
  int64_t k = blockIdx.x % across * WIDE + threadIdx.x, which = blockIdx.x / across;
  int64_t first = which * size, last = first + size < rows ? first + size : rows;
  double sum = 0;
  if (k < K)
    for (int64_t r = first + threadIdx.y; r < last; r += HIGH) sum += (double)gy[r * K + k];
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || k >= K) return;
  for (int i = 1; i < HIGH; i++) sum += part[i][threadIdx.x];
  sums[which * K + k] = sum;
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    add_parts(int64_t parts, int64_t K, const double *__restrict__ sums, T *gb) {
  int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  double sum = 0;
  if (k >= K) return;
  for (int64_t i = 0; i < parts; i++) sum += sums[i * K + k];
  gb[k] = (T)sum;
}

int64_t part_size(int64_t rows) {
  int64_t size = (rows + MOST_PARTS - 1) / MOST_PARTS;
  return size < LEAST_ROWS ? LEAST_ROWS : size;
}

} // namespace

cudaError_t cvl_cuda_finish(cvl_dtype type, int64_t rows, int64_t K, const void *residual,
                            const void *shift, bool relu, void *y, cudaStream_t stream) {
  launch::rows cut(rows, K);
  if (rows * K == 0) return cudaSuccess;
  FOR_FLOATING(type, (finish<T><<<cut.grid, cut.block, 0, stream>>>(
                         rows, K, (const T *)residual, (const T *)shift, relu, (T *)y)));
  return cudaGetLastError();
}

int64_t cvl_cuda_column_parts(int64_t rows) {
  int64_t size = part_size(rows);
  return (rows + size - 1) / size;
}

cudaError_t cvl_cuda_sum_columns(cvl_dtype type, int64_t rows, int64_t K, const void *gy,
                                 double *sums, void *gb, cudaStream_t stream) {
  int64_t parts = cvl_cuda_column_parts(rows), across = (K + WIDE - 1) / WIDE;
  if (K == 0) return cudaSuccess;
  if (parts > 0)
    FOR_FLOATING(type,
                 (sum_parts<T><<<launch::blocks(parts * across, 1), dim3(WIDE, HIGH), 0, stream>>>(
                     rows, K, part_size(rows), across, (const T *)gy, sums)));
  FOR_FLOATING(type, (add_parts<T><<<launch::blocks(K, THREADS), THREADS, 0, stream>>>(
                         parts, K, sums, (T *)gb)));
  return cudaGetLastError();
}

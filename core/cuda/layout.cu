/* Moves memory into the layouts that cuDNN takes, and back. */
#include "cuda/conv.h"
#include "cuda/launch.cuh"

namespace {

enum { SIDE = 32, HIGH = 8 }; /* a block turns a square of SIDE, HIGH rows at a time */

template <typename T>
__global__ void __launch_bounds__(SIDE *HIGH)
    transpose(const T *__restrict__ from, int64_t rows, int64_t columns, int64_t across, T *to) {
  __shared__ T square[SIDE][SIDE + 1]; /* + 1: a column then lies in as many banks as it is long */
  int64_t row = blockIdx.x / across * SIDE, column = blockIdx.x % across * SIDE;
  for (int i = (int)threadIdx.y; i < SIDE; i += HIGH)
    if (row + i < rows && column + threadIdx.x < columns)
      square[i][threadIdx.x] = from[(row + i) * columns + column + threadIdx.x];
  __syncthreads();
  for (int i = (int)threadIdx.y; i < SIDE; i += HIGH)
    if (column + i < columns && row + threadIdx.x < rows)
      to[(column + i) * rows + row + threadIdx.x] = square[threadIdx.x][i];
}

/* The pixel of the other image that pixel `i` of {N, a} is, from `shift` on (or behind), or -1. */
struct frame {
  int64_t size[3], other[3], shift[3]; /* position in other = position + shift */
  __device__ int64_t find(int64_t i) const {
    int64_t at[3], image;
    at[2] = i % size[2];
    i /= size[2];
    at[1] = i % size[1];
    i /= size[1];
    at[0] = i % size[0];
    image = i / size[0];
    for (int k = 0; k < 3; k++) {
      int64_t there = at[k] + shift[k];
      if (there < 0 || there >= other[k]) return -1;
      image = image * other[k] + there;
    }
    return image;
  }
};

template <typename T>
__global__ void __launch_bounds__(launch::THREADS)
    take(const __grid_constant__ frame f, int64_t n, int64_t C, const T *__restrict__ from, T *to) {
  FOR_ROWS(r, n) {
    int64_t there = f.find(r);
    FOR_CHANNELS(c, C) to[r * C + c] = there < 0 ? T(0) : from[there * C + c];
  }
}

/* `to` has images of `size`, `from` images of `other`. */
cudaError_t run(cvl_dtype type, int64_t N, int64_t C, const int64_t *size, const int64_t *other,
                const int64_t *shift, int sign, const void *from, void *to, cudaStream_t stream) {
  frame f;
  int64_t n = N;
  for (int i = 0; i < 3; i++) {
    f.size[i] = size[i];
    f.other[i] = other[i];
    f.shift[i] = sign * shift[i];
    n *= size[i];
  }
  launch::rows cut(n, C);
  if (n * C == 0) return cudaSuccess;
  FOR_SIZE(type, (take<T><<<cut.grid, cut.block, 0, stream>>>(f, n, C, (const T *)from, (T *)to)));
  return cudaGetLastError();
}

} // namespace

cudaError_t cvl_cuda_transpose(cvl_dtype type, const void *from, int64_t rows, int64_t columns,
                               void *to, cudaStream_t stream) {
  int64_t down = (rows + SIDE - 1) / SIDE, across = (columns + SIDE - 1) / SIDE;
  if (rows * columns == 0) return cudaSuccess;
  FOR_SIZE(type, (transpose<T><<<launch::blocks(down * across, 1), dim3(SIDE, HIGH), 0, stream>>>(
                     (const T *)from, rows, columns, across, (T *)to)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_pad(cvl_dtype type, const cvl_cuda_box *b, const void *inner, void *outer,
                         cudaStream_t stream) {
  return run(type, b->N, b->C, b->outer_size, b->inner_size, b->shift, -1, inner, outer, stream);
}

cudaError_t cvl_cuda_crop(cvl_dtype type, const cvl_cuda_box *b, const void *outer, void *inner,
                          cudaStream_t stream) {
  return run(type, b->N, b->C, b->inner_size, b->outer_size, b->shift, 1, outer, inner, stream);
}

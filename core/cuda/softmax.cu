#include "cuda/softmax.h"

#include "cuda/launch.cuh"
#include "cuda/warp.cuh"

namespace {

using launch::THREADS;
using launch::WARP;
enum { WARPS = THREADS / WARP };

/* inner == 1: a warp takes a row, neighbouring threads neighbouring elements. */
#define FOR_WARP_ROWS(r, count)                                                   \
  for (int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP; r < (count); \
       r += (int64_t)gridDim.x * WARPS)
#define FOR_LANES(i, n) for (int64_t i = threadIdx.x % WARP; i < (n); i += WARP)

template <typename T>
__global__ void __launch_bounds__(THREADS)
    softmax_rows(int64_t rows, int64_t n, bool logarithm, const T *__restrict__ x, T *y) {
  FOR_WARP_ROWS(r, rows) {
    const T *from = x + r * n;
    T *to = y + r * n, most = (T)-INFINITY;
    double sum = 0;
    FOR_LANES(i, n) most = warp::larger(most, from[i]);
    most = warp::max(most);
    FOR_LANES(i, n) sum += (double)exp(from[i] - most);
    sum = warp::sum(sum);
    if (logarithm) {
      T ln = (T)log(sum);
      FOR_LANES(i, n) to[i] = from[i] - most - ln;
    } else {
      T scale = (T)(1 / sum);
      FOR_LANES(i, n) to[i] = exp(from[i] - most) * scale;
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    gradient_rows(int64_t rows, int64_t n, bool logarithm, const T *__restrict__ y,
                  const T *__restrict__ gy, T *gx) {
  FOR_WARP_ROWS(r, rows) {
    const T *p = y + r * n, *g = gy + r * n;
    double sum = 0;
    FOR_LANES(i, n) sum += logarithm ? (double)g[i] : (double)g[i] * (double)p[i];
    T s = (T)warp::sum(sum);
    FOR_LANES(i, n) gx[r * n + i] = logarithm ? g[i] - exp(p[i]) * s : p[i] * (g[i] - s);
  }
}

/* inner > 1: a thread takes a column. */
#define FOR_COLUMNS(at, columns, n, inner)                                       \
  for (int64_t u_ = (int64_t)blockIdx.x * THREADS + threadIdx.x; u_ < (columns); \
       u_ += (int64_t)gridDim.x * THREADS)                                       \
    for (int64_t at = u_ / (inner) * (n) * (inner) + u_ % (inner), once_ = 1; once_; once_ = 0)

template <typename T>
__global__ void __launch_bounds__(THREADS)
    softmax_columns(int64_t columns, int64_t n, int64_t inner, bool logarithm,
                    const T *__restrict__ x, T *y) {
  FOR_COLUMNS(at, columns, n, inner) {
    const T *from = x + at;
    T *to = y + at, most = (T)-INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) most = warp::larger(most, from[i * inner]);
    for (int64_t i = 0; i < n; i++) sum += (double)exp(from[i * inner] - most);
    T ln = (T)log(sum), scale = (T)(1 / sum);
    for (int64_t i = 0; i < n; i++)
      to[i * inner] = logarithm ? from[i * inner] - most - ln : exp(from[i * inner] - most) * scale;
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    gradient_columns(int64_t columns, int64_t n, int64_t inner, bool logarithm,
                     const T *__restrict__ y, const T *__restrict__ gy, T *gx) {
  FOR_COLUMNS(at, columns, n, inner) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
      int64_t k = at + i * inner;
      sum += logarithm ? (double)gy[k] : (double)gy[k] * (double)y[k];
    }
    T s = (T)sum;
    for (int64_t i = 0; i < n; i++) {
      int64_t k = at + i * inner;
      gx[k] = logarithm ? gy[k] - exp(y[k]) * s : y[k] * (gy[k] - s);
    }
  }
}

} // namespace

cudaError_t cvl_cuda_softmax(cvl_dtype type, int64_t outer, int64_t n, int64_t inner,
                             bool logarithm, const void *x, void *y, cudaStream_t stream) {
  if (outer * n * inner == 0) return cudaSuccess;
  if (inner == 1)
    FOR_FLOATING(type, (softmax_rows<T><<<launch::blocks(outer, WARPS), THREADS, 0, stream>>>(
                           outer, n, logarithm, (const T *)x, (T *)y)));
  else
    FOR_FLOATING(
        type, (softmax_columns<T><<<launch::blocks(outer * inner, THREADS), THREADS, 0, stream>>>(
                  outer * inner, n, inner, logarithm, (const T *)x, (T *)y)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_softmax_gradient(cvl_dtype type, int64_t outer, int64_t n, int64_t inner,
                                      bool logarithm, const void *y, const void *gy, void *gx,
                                      cudaStream_t stream) {
  if (outer * n * inner == 0) return cudaSuccess;
  if (inner == 1)
    FOR_FLOATING(type, (gradient_rows<T><<<launch::blocks(outer, WARPS), THREADS, 0, stream>>>(
                           outer, n, logarithm, (const T *)y, (const T *)gy, (T *)gx)));
  else
    FOR_FLOATING(
        type, (gradient_columns<T><<<launch::blocks(outer * inner, THREADS), THREADS, 0, stream>>>(
                  outer * inner, n, inner, logarithm, (const T *)y, (const T *)gy, (T *)gx)));
  return cudaGetLastError();
}

#include <math.h>

#include "cuda/launch.cuh"
#include "cuda/softmax.h"
#include "cuda/warp.cuh"

namespace {

using launch::THREADS;
using launch::WARP;
enum { WARPS = THREADS / WARP };

/* A warp takes a row. */
#define FOR_WARP_ROWS(r, count)                                                   \
  for (int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP; r < (count); \
       r += (int64_t)gridDim.x * WARPS)
#define FOR_LANES(i, n) for (int64_t i = threadIdx.x % WARP; i < (n); i += WARP)

__device__ int64_t label_of(const cvl_cuda_cross_entropy &p, int64_t r) {
  switch (p.label_type) {
  case CVL_I32:
    return ((const int32_t *)p.labels)[r];
  case CVL_I64:
    return ((const int64_t *)p.labels)[r];
  default:
    return ((const uint8_t *)p.labels)[r];
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) losses(const __grid_constant__ cvl_cuda_cross_entropy p,
                                                  T *lse, double *loss, unsigned long long *bad) {
  const T smoothing = (T)p.smoothing, keep = 1 - smoothing, rest = smoothing / (T)p.C;
  FOR_WARP_ROWS(r, p.rows) {
    const T *x = (const T *)p.logits + r * p.C;
    T most = (T)-INFINITY, ln;
    double sum = 0, all = 0, total = 1, picked;
    FOR_LANES(c, p.C) most = warp::larger(most, x[c]);
    most = warp::max(most);
    FOR_LANES(c, p.C) {
      sum += (double)exp(x[c] - most);
      all += (double)x[c];
    }
    sum = warp::sum(sum);
    all = warp::sum(all);
    ln = most + (T)log((T)sum);
    if (p.labels != nullptr) {
      int64_t label = label_of(p, r);
      if (label < 0 || label >= p.C) {
        picked = NAN;
        if (threadIdx.x % WARP == 0) atomicMax(bad, (unsigned long long)(p.rows - r));
      } else {
        picked = (double)(keep * x[label]);
      }
    } else {
      const T *t = (const T *)p.distribution + r * p.C;
      double dot = 0, weight = 0;
      FOR_LANES(c, p.C) {
        dot += (double)t[c] * (double)x[c];
        weight += (double)t[c];
      }
      picked = (double)keep * warp::sum(dot);
      total = (double)keep * warp::sum(weight) + (double)smoothing;
    }
    if (p.smoothing != 0) picked += (double)rest * all;
    if (threadIdx.x % WARP != 0) continue;
    lse[r] = ln;
    loss[r] = (double)ln * total - picked;
  }
}

/* One block: a thread sums every THREADS-th loss, then they are summed by halves. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    total(int64_t rows, double scale, const double *__restrict__ loss, T *y) {
  __shared__ double part[THREADS];
  double sum = 0;
  for (int64_t r = threadIdx.x; r < rows; r += THREADS) sum += loss[r];
  part[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *y = (T)(part[0] * scale);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    each_loss(int64_t rows, const double *__restrict__ loss, T *y) {
  int64_t r = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (r < rows) y[r] = (T)loss[r];
}

/* glogits = g (softmax - t), t made of labels. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    label_gradient(const __grid_constant__ cvl_cuda_cross_entropy p, const T *__restrict__ lse,
                   const T *__restrict__ gy, int gy_step, double scale, T *glogits) {
  const T smoothing = (T)p.smoothing, keep = 1 - smoothing, rest = smoothing / (T)p.C;
  FOR_WARP_ROWS(r, p.rows) {
    const T *x = (const T *)p.logits + r * p.C;
    const T g = (T)((double)gy[r * gy_step] * scale), ln = lse[r];
    const int64_t label = label_of(p, r);
    FOR_LANES(c, p.C)
    glogits[r * p.C + c] = g * (exp(x[c] - ln) - (c == label ? keep : T(0)) - rest);
  }
}

/* glogits = g (softmax * sum of t - t), and gt = g (lse - x), of distributions t. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    distribution_gradient(const __grid_constant__ cvl_cuda_cross_entropy p,
                          const T *__restrict__ lse, const T *__restrict__ gy, int gy_step,
                          double scale, T *glogits, T *gdistribution) {
  const T smoothing = (T)p.smoothing, keep = 1 - smoothing, rest = smoothing / (T)p.C;
  FOR_WARP_ROWS(r, p.rows) {
    const T *x = (const T *)p.logits + r * p.C, *t = (const T *)p.distribution + r * p.C;
    const T g = (T)((double)gy[r * gy_step] * scale), ln = lse[r];
    if (glogits != nullptr) {
      double weight = 0;
      FOR_LANES(c, p.C) weight += (double)t[c];
      const T total = keep * (T)warp::sum(weight) + smoothing;
      FOR_LANES(c, p.C)
      glogits[r * p.C + c] = g * (exp(x[c] - ln) * total - keep * t[c] - rest);
    }
    if (gdistribution != nullptr)
      FOR_LANES(c, p.C) gdistribution[r * p.C + c] = g * keep * (ln - x[c]);
  }
}

} // namespace

cudaError_t cvl_cuda_cross_entropy_rows(cvl_dtype type, const cvl_cuda_cross_entropy *p, void *lse,
                                        double *loss, int64_t *bad, cudaStream_t stream) {
  if (p->rows == 0) return cudaSuccess;
  FOR_FLOATING(type, (losses<T><<<launch::blocks(p->rows, WARPS), THREADS, 0, stream>>>(
                         *p, (T *)lse, loss, (unsigned long long *)bad)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_cross_entropy_reduce(cvl_dtype type, int64_t rows, bool each, double scale,
                                          const double *loss, void *y, cudaStream_t stream) {
  if (each && rows == 0) return cudaSuccess;
  if (each)
    FOR_FLOATING(type, (each_loss<T><<<launch::blocks(rows, THREADS), THREADS, 0, stream>>>(
                           rows, loss, (T *)y)));
  else
    FOR_FLOATING(type, (total<T><<<1, THREADS, 0, stream>>>(rows, scale, loss, (T *)y)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_cross_entropy_gradient(cvl_dtype type, const cvl_cuda_cross_entropy *p,
                                            const void *lse, const void *gy, int gy_step,
                                            double scale, void *glogits, void *gdistribution,
                                            cudaStream_t stream) {
  const unsigned blocks = launch::blocks(p->rows, WARPS);
  if (p->rows == 0) return cudaSuccess;
  if (p->labels == nullptr)
    FOR_FLOATING(type, (distribution_gradient<T>
                        <<<blocks, THREADS, 0, stream>>>(*p, (const T *)lse, (const T *)gy, gy_step,
                                                         scale, (T *)glogits, (T *)gdistribution)));
  else if (glogits != nullptr)
    FOR_FLOATING(type, (label_gradient<T><<<blocks, THREADS, 0, stream>>>(
                           *p, (const T *)lse, (const T *)gy, gy_step, scale, (T *)glogits)));
  return cudaGetLastError();
}

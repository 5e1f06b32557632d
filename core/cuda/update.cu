#include "cuda/update.h"

#include "cuda/launch.cuh"

namespace {

using launch::THREADS;
enum { CHUNK = CVL_CUDA_UPDATE_CHUNK };

/* A block's chunk: elements [first, last) of a parameter. */
struct chunk {
  const cvl_cuda_run *run;
  int64_t first, last;

  __device__ explicit chunk(const cvl_cuda_runs &r) {
    int low = 0, high = r.n - 1;
    while (
        low <
        high) { /* the last parameter that starts at this block or before; empty ones never are */
      int middle = (low + high + 1) / 2;
      if (r.run[middle].first <= (int64_t)blockIdx.x)
        low = middle;
      else
        high = middle - 1;
    }
    run = &r.run[low];
    first = ((int64_t)blockIdx.x - run->first) * CHUNK;
    last = first + CHUNK < run->count ? first + CHUNK : run->count;
  }
};

#define FOR_CHUNK(i, c) for (int64_t i = (c).first + threadIdx.x; i < (c).last; i += THREADS)

/* g' = clamp(g scale, -limit, limit) + l2 w */
template <typename T> struct gradient {
  T scale, limit, l2;
  __device__ gradient(const cvl_gradient_rule &r, const double *clip)
      : scale((T)(clip != nullptr ? r.scale * *clip : r.scale)), limit((T)r.limit), l2((T)r.l2) {}
  __device__ T operator()(T g, T w) const {
    g *= scale;
    g = g > limit ? limit : g; /* NaN stays */
    g = g < -limit ? -limit : g;
    return g + l2 * w;
  }
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
    sgd(const __grid_constant__ cvl_cuda_runs r, double with_momentum, bool nesterov) {
  chunk c(r);
  const T *g = (const T *)c.run->g;
  T *w = (T *)c.run->w, *v = (T *)c.run->state[0];
  const T lr = (T)c.run->lr, keep = (T)c.run->gradient.keep, momentum = (T)with_momentum;
  const gradient<T> rule(c.run->gradient, r.scale);
  FOR_CHUNK(i, c) {
    T step = lr * rule(g[i], w[i]);
    if (v == nullptr) {
      w[i] = keep * w[i] - step;
    } else {
      T speed = momentum * v[i] - step;
      v[i] = speed;
      w[i] = keep * w[i] + (nesterov ? momentum * speed - step : speed);
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    adam(const __grid_constant__ cvl_cuda_runs r, double with_beta1, double with_beta2,
         double with_epsilon) {
  chunk c(r);
  const T *g = (const T *)c.run->g;
  T *w = (T *)c.run->w, *m = (T *)c.run->state[0], *v = (T *)c.run->state[1],
    *u = (T *)c.run->state[2];
  const T lr = (T)c.run->lr, keep = (T)c.run->gradient.keep;
  const T beta1 = (T)with_beta1, beta2 = (T)with_beta2, epsilon = (T)with_epsilon;
  const T rest1 = (T)(1 - with_beta1), rest2 = (T)(1 - with_beta2);
  const T scale = (T)c.run->square_scale;
  const gradient<T> rule(c.run->gradient, r.scale);
  FOR_CHUNK(i, c) {
    T d = rule(g[i], w[i]), mean = beta1 * m[i] + rest1 * d, square = beta2 * v[i] + rest2 * d * d;
    m[i] = mean;
    v[i] = square;
    if (u != nullptr) {
      square = u[i] > square ? u[i] : square;
      u[i] = square;
    }
    w[i] = keep * w[i] - lr * mean / (sqrt(square * scale) + epsilon);
  }
}

/* The sum of v over a block, by halves; thread 0 gets it. */
__device__ double block_sum(double v) {
  __shared__ double part[THREADS];
  part[threadIdx.x] = v;
  __syncthreads();
  for (unsigned half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  return part[0];
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    chunk_squares(const __grid_constant__ cvl_cuda_runs r, double *partial) {
  chunk c(r);
  const T *g = (const T *)c.run->g;
  double sum = 0;
  FOR_CHUNK(i, c) sum += (double)g[i] * (double)g[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* A block per parameter. */
__global__ void __launch_bounds__(THREADS)
    run_squares(const __grid_constant__ cvl_cuda_runs r, const double *__restrict__ partial,
                double *squares) {
  const cvl_cuda_run &run = r.run[blockIdx.x];
  int64_t chunks = (run.count + CHUNK - 1) / CHUNK;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < chunks; i += THREADS) sum += partial[run.first + i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS)
    clip_scale(int n, double most, const double *__restrict__ squares, double *scale) {
  double sum = 0, norm;
  for (int i = (int)threadIdx.x; i < n; i += THREADS) sum += squares[i];
  norm = sqrt(block_sum(sum));
  if (threadIdx.x == 0) *scale = norm > most ? most / norm : 1;
}

} // namespace

cudaError_t cvl_cuda_sgd(cvl_dtype type, const cvl_cuda_runs *r, double momentum, bool nesterov,
                         cudaStream_t stream) {
  if (r->chunks == 0) return cudaSuccess;
  FOR_FLOATING(type, (sgd<T><<<(unsigned)r->chunks, THREADS, 0, stream>>>(*r, momentum, nesterov)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_adam(cvl_dtype type, const cvl_cuda_runs *r, double beta1, double beta2,
                          double epsilon, cudaStream_t stream) {
  if (r->chunks == 0) return cudaSuccess;
  FOR_FLOATING(type,
               (adam<T><<<(unsigned)r->chunks, THREADS, 0, stream>>>(*r, beta1, beta2, epsilon)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_squares(cvl_dtype type, const cvl_cuda_runs *r, double *partial,
                             double *squares, cudaStream_t stream) {
  if (r->n == 0) return cudaSuccess;
  if (r->chunks > 0)
    FOR_FLOATING(type,
                 (chunk_squares<T><<<(unsigned)r->chunks, THREADS, 0, stream>>>(*r, partial)));
  run_squares<<<(unsigned)r->n, THREADS, 0, stream>>>(*r, partial, squares);
  return cudaGetLastError();
}

cudaError_t cvl_cuda_clip_scale(int n, double most, const double *squares, double *scale,
                                cudaStream_t stream) {
  clip_scale<<<1, THREADS, 0, stream>>>(n, most, squares, scale);
  return cudaGetLastError();
}

#include "cuda/batch_norm.h"

#include "cuda/launch.cuh"

namespace {

using launch::THREADS;

/* A block sums one chunk of rows over WIDE channels; a thread every HIGH-th row of it. */
enum { WIDE = 32, HIGH = THREADS / WIDE, MOST_CHUNKS = 256, LEAST_ROWS = 64 };

int64_t chunk_rows(int64_t rows) {
  int64_t size = (rows + MOST_CHUNKS - 1) / MOST_CHUNKS;
  return size < LEAST_ROWS ? LEAST_ROWS : size;
}

/* The chunk, channel and rows of a thread. */
struct part {
  int64_t chunk, c, first, last;
  __device__ part(int64_t rows, int64_t size, int64_t C) {
    int64_t across = (C + WIDE - 1) / WIDE;
    chunk = blockIdx.x / across;
    c = blockIdx.x % across * WIDE + threadIdx.x;
    first = chunk * size;
    last = first + size < rows ? first + size : rows;
  }
};

/* The sum of v over the HIGH threads of a channel, in their order; all of them get it. */
template <typename T> __device__ T sum_high(T v, T (*shared)[WIDE]) {
  T sum = 0;
  __syncthreads(); /* of the sum before */
  shared[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  for (int i = 0; i < HIGH; i++) sum += shared[i][threadIdx.x];
  return sum;
}

/* sums {chunks, 2, C}: mean and sum of squared deviations of a chunk. It is read twice, the second time from the cache. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    chunk_moments(int64_t rows, int64_t size, int64_t C, const T *__restrict__ x, double *sums) {
  __shared__ T shared[HIGH][WIDE];
  part p(rows, size, C);
  T sum = 0, mean, squares = 0;
  bool mine = p.c < C;
  if (mine)
    for (int64_t r = p.first + threadIdx.y; r < p.last; r += HIGH) sum += x[r * C + p.c];
  mean = sum_high(sum, shared) / (T)(p.last - p.first);
  sum = 0;
  if (mine)
    for (int64_t r = p.first + threadIdx.y; r < p.last; r += HIGH) {
      T d = x[r * C + p.c] - mean;
      sum += d;
      squares += d * d;
    }
  sum = sum_high(sum, shared); /* what the rounding of the mean left: 0 but for that */
  squares = sum_high(squares, shared);
  if (threadIdx.y != 0 || !mine) return;
  double n = (double)(p.last - p.first), rest = (double)sum / n;
  sums[2 * p.chunk * C + p.c] = (double)mean + rest;
  sums[(2 * p.chunk + 1) * C + p.c] = (double)squares - rest * rest * n;
}

struct moments {
  double n, mean, squares;
  /* Chan, Golub & LeVeque 1983 */
  __device__ void merge(double more, double mean2, double squares2) {
    double all = n + more, d = mean2 - mean;
    if (more == 0) return;
    mean += d * (more / all);
    squares += squares2 + d * d * (n * more / all);
    n = all;
  }
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
    merge_moments(int64_t rows, int64_t size, int64_t chunks, int64_t C, double momentum,
                  double epsilon, const double *__restrict__ sums, T *mean, T *rstd,
                  T *running_mean, T *running_var) {
  __shared__ moments shared[HIGH][WIDE];
  int64_t c = (int64_t)blockIdx.x * WIDE + threadIdx.x;
  moments m = {0, 0, 0};
  if (c < C)
    for (int64_t k = threadIdx.y; k < chunks; k += HIGH)
      m.merge((double)(k + 1 < chunks ? size : rows - k * size), sums[2 * k * C + c],
              sums[(2 * k + 1) * C + c]);
  shared[threadIdx.y][threadIdx.x] = m;
  __syncthreads();
  if (threadIdx.y != 0 || c >= C) return;
  for (int i = 1; i < HIGH; i++) {
    const moments &o = shared[i][threadIdx.x];
    m.merge(o.n, o.mean, o.squares);
  }
  double var = m.squares / m.n;
  mean[c] = (T)m.mean;
  rstd[c] = (T)(1 / sqrt(var + epsilon));
  running_mean[c] = (T)(momentum * (double)running_mean[c] + (1 - momentum) * m.mean);
  running_var[c] = (T)(momentum * (double)running_var[c] + (1 - momentum) * var);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    take_running(int64_t C, double epsilon, const T *__restrict__ running_mean,
                 const T *__restrict__ running_var, T *mean, T *rstd) {
  int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (c >= C) return;
  mean[c] = running_mean[c];
  rstd[c] = (T)(1 / sqrt((double)running_var[c] + epsilon));
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    apply(int64_t rows, int64_t C, bool relu, const T *__restrict__ x, const T *__restrict__ mean,
          const T *__restrict__ rstd, const T *__restrict__ scale, const T *__restrict__ offset,
          const T *__restrict__ residual, T *y) {
  FOR_CHANNELS(c, C) {
    const T m = mean[c], factor = rstd[c] * scale[c], shift = offset[c];
    FOR_ROWS(r, rows) {
      T v = (x[r * C + c] - m) * factor + shift;
      if (residual != nullptr) v += residual[r * C + c];
      y[r * C + c] = relu && v < 0 ? T(0) : v; /* NaN stays */
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    fold_channels(int64_t K, double epsilon, const T *__restrict__ scale,
                  const T *__restrict__ offset, const T *__restrict__ mean,
                  const T *__restrict__ var, const T *__restrict__ bias, T *factor, T *shift) {
  int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (k >= K) return;
  double f = (double)scale[k] / sqrt((double)var[k] + epsilon);
  double before = bias != nullptr ? (double)bias[k] : 0;
  factor[k] = (T)f;
  shift[k] = (T)((double)offset[k] + (before - (double)mean[k]) * f);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    scale_columns(int64_t rows, int64_t K, const T *__restrict__ filter,
                  const T *__restrict__ factor, T *w) {
  FOR_CHANNELS(k, K) {
    const T f = factor[k];
    FOR_ROWS(r, rows) w[r * K + k] = f * filter[r * K + k];
  }
}

/* sums {chunks, 2, C}: of g and of g (x - mean), g = gy where y > 0. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    chunk_sums(int64_t rows, int64_t size, int64_t C, bool relu, const T *__restrict__ x,
               const T *__restrict__ y, const T *__restrict__ gy, const T *__restrict__ mean,
               T *gresidual, double *sums) {
  __shared__ double shared[HIGH][WIDE];
  part p(rows, size, C);
  T sum = 0, dot = 0;
  if (p.c < C) {
    const T m = mean[p.c];
    for (int64_t r = p.first + threadIdx.y; r < p.last; r += HIGH) {
      int64_t i = r * C + p.c;
      T g = gy[i];
      if (relu && !(y[i] > 0)) g = 0;
      if (gresidual != nullptr) gresidual[i] = g;
      sum += g;
      dot += g * (x[i] - m);
    }
  }
  double all = sum_high((double)sum, shared), all_dots = sum_high((double)dot, shared);
  if (threadIdx.y != 0 || p.c >= C) return;
  sums[2 * p.chunk * C + p.c] = all;
  sums[(2 * p.chunk + 1) * C + p.c] = all_dots;
}

template <typename T> struct results {
  T *gscale, *goffset, *gmean, *gvar;
  T *channel; /* {3, C}: gx = channel[0] (g - channel[1] - (x - mean) channel[2]) */
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
    merge_sums(int64_t rows, int64_t chunks, int64_t C, bool training,
               const double *__restrict__ sums, const T *__restrict__ scale,
               const T *__restrict__ rstd, results<T> to) {
  __shared__ double shared[HIGH][WIDE];
  int64_t c = (int64_t)blockIdx.x * WIDE + threadIdx.x;
  double sum = 0, dot = 0;
  if (c < C)
    for (int64_t k = threadIdx.y; k < chunks; k += HIGH) {
      sum += sums[2 * k * C + c];
      dot += sums[(2 * k + 1) * C + c];
    }
  sum = sum_high(sum, shared);
  dot = sum_high(dot, shared);
  if (threadIdx.y != 0 || c >= C) return;
  double r = (double)rstd[c], s = (double)scale[c];
  if (to.gscale != nullptr) to.gscale[c] = (T)(dot * r);
  if (to.goffset != nullptr) to.goffset[c] = (T)sum;
  if (to.gmean != nullptr) to.gmean[c] = training ? T(0) : (T)(-sum * r * s);
  if (to.gvar != nullptr) to.gvar[c] = training ? T(0) : (T)(-0.5 * dot * r * r * r * s);
  to.channel[c] = scale[c] * rstd[c];
  to.channel[C + c] = training ? (T)(sum / (double)rows) : T(0);
  to.channel[2 * C + c] = training ? (T)(dot * r * r / (double)rows) : T(0);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    data(int64_t rows, int64_t C, bool relu, const T *__restrict__ x, const T *__restrict__ y,
         const T *__restrict__ gy, const T *__restrict__ mean, const T *__restrict__ channel,
         T *gx) {
  FOR_CHANNELS(c, C) {
    const T m = mean[c], factor = channel[c], shift = channel[C + c], slope = channel[2 * C + c];
    FOR_ROWS(r, rows) {
      int64_t i = r * C + c;
      T g = gy[i];
      if (relu && !(y[i] > 0)) g = 0;
      gx[i] = factor * (g - shift - (x[i] - m) * slope);
    }
  }
}

/* Rows that a thread of apply and data takes: fewer loads of what belongs to the channel. */
enum { ROWS_EACH = 8 };

launch::rows rows_of(int64_t rows, int64_t C) {
  launch::rows cut(rows, C);
  cut.grid.x = (cut.grid.x + ROWS_EACH - 1) / ROWS_EACH;
  return cut;
}

unsigned columns(int64_t C) { return launch::blocks(C, WIDE); }

} // namespace

int64_t cvl_cuda_norm_chunks(int64_t rows) {
  int64_t size = chunk_rows(rows);
  return (rows + size - 1) / size;
}

cudaError_t cvl_cuda_norm_moments(cvl_dtype type, int64_t rows, int64_t C, double momentum,
                                  double epsilon, const void *x, double *sums, void *mean,
                                  void *rstd, void *running_mean, void *running_var,
                                  cudaStream_t stream) {
  const dim3 block(WIDE, HIGH);
  int64_t size = chunk_rows(rows), chunks = cvl_cuda_norm_chunks(rows);
  if (C == 0) return cudaSuccess;
  FOR_FLOATING(type, (chunk_moments<T><<<(unsigned)chunks * columns(C), block, 0, stream>>>(
                         rows, size, C, (const T *)x, sums)));
  FOR_FLOATING(type, (merge_moments<T><<<columns(C), block, 0, stream>>>(
                         rows, size, chunks, C, momentum, epsilon, sums, (T *)mean, (T *)rstd,
                         (T *)running_mean, (T *)running_var)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_norm_running(cvl_dtype type, int64_t C, double epsilon,
                                  const void *running_mean, const void *running_var, void *mean,
                                  void *rstd, cudaStream_t stream) {
  if (C == 0) return cudaSuccess;
  FOR_FLOATING(type, (take_running<T><<<launch::blocks(C, THREADS), THREADS, 0, stream>>>(
                         C, epsilon, (const T *)running_mean, (const T *)running_var, (T *)mean,
                         (T *)rstd)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_norm_apply(cvl_dtype type, int64_t rows, int64_t C, bool relu, const void *x,
                                const void *mean, const void *rstd, const void *scale,
                                const void *offset, const void *residual, void *y,
                                cudaStream_t stream) {
  launch::rows cut = rows_of(rows, C);
  if (rows * C == 0) return cudaSuccess;
  FOR_FLOATING(type, (apply<T><<<cut.grid, cut.block, 0, stream>>>(
                         rows, C, relu, (const T *)x, (const T *)mean, (const T *)rstd,
                         (const T *)scale, (const T *)offset, (const T *)residual, (T *)y)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_norm_fold(cvl_dtype type, int64_t count, int64_t K, const cvl_cuda_norm *norm,
                               const void *filter, const void *bias, void *factor, void *shift,
                               void *w, cudaStream_t stream) {
  int64_t rows = K > 0 ? count / K : 0;
  launch::rows cut = rows_of(rows, K);
  if (count == 0) return cudaSuccess;
  FOR_FLOATING(type, (fold_channels<T><<<launch::blocks(K, THREADS), THREADS, 0, stream>>>(
                         K, norm->epsilon, (const T *)norm->scale, (const T *)norm->offset,
                         (const T *)norm->mean, (const T *)norm->var, (const T *)bias, (T *)factor,
                         (T *)shift)));
  FOR_FLOATING(type, (scale_columns<T><<<cut.grid, cut.block, 0, stream>>>(
                         rows, K, (const T *)filter, (const T *)factor, (T *)w)));
  return cudaGetLastError();
}

template <typename T>
static cudaError_t gradient(const cvl_cuda_norm_backward *b, cudaStream_t stream) {
  const dim3 block(WIDE, HIGH);
  const T *x = (const T *)b->x, *y = (const T *)b->y, *gy = (const T *)b->gy,
          *mean = (const T *)b->mean;
  results<T> to = {(T *)b->gscale, (T *)b->goffset, (T *)b->gmean, (T *)b->gvar, (T *)b->channel};
  int64_t chunks = cvl_cuda_norm_chunks(b->rows);
  launch::rows cut = rows_of(b->rows, b->C);
  if (chunks > 0)
    chunk_sums<T><<<(unsigned)chunks * columns(b->C), block, 0, stream>>>(
        b->rows, chunk_rows(b->rows), b->C, b->relu, x, y, gy, mean, (T *)b->gresidual, b->sums);
  merge_sums<T><<<columns(b->C), block, 0, stream>>>(b->rows, chunks, b->C, b->training, b->sums,
                                                     (const T *)b->scale, (const T *)b->rstd, to);
  if (b->gx != nullptr && b->rows > 0)
    data<T><<<cut.grid, cut.block, 0, stream>>>(b->rows, b->C, b->relu, x, y, gy, mean, to.channel,
                                                (T *)b->gx);
  return cudaGetLastError();
}

cudaError_t cvl_cuda_norm_gradient(cvl_dtype type, const cvl_cuda_norm_backward *b,
                                   cudaStream_t stream) {
  if (b->C == 0) return cudaSuccess;
  return type == CVL_F64 ? gradient<double>(b, stream) : gradient<float>(b, stream);
}

#include "cuda/pool.h"

#include <math.h>

#include "cuda/launch.cuh"

namespace {

using launch::THREADS;

struct window {
  int64_t in[3], filter[3], out[3], stride[3], before[3], after[3];
  bool count_padding;
};

/* The part of a window that lies in the input, for one output. */
struct taps {
  int first[3], last[3]; /* taps [first, last): a window has fewer than 2^31 */
  int64_t start[3];      /* input position of tap 0 */
  int64_t image;

  __device__ taps(const window &w, int64_t output) {
    int64_t at[3];
    split(w.out, output, at);
    for (int i = 0; i < 3; i++) {
      int64_t room;
      start[i] = at[i] * w.stride[i] - w.before[i];
      room = w.in[i] - start[i];
      first[i] = start[i] < 0 ? (int)-start[i] : 0;
      last[i] = (int)(room < w.filter[i] ? room : w.filter[i]);
    }
  }
  __device__ void split(const int64_t size[3], int64_t i, int64_t at[3]) {
    at[2] = i % size[2];
    i /= size[2];
    at[1] = i % size[1];
    i /= size[1];
    at[0] = i % size[0];
    image = i / size[0];
  }
  /* The pixel that tap f reads. */
  __device__ int64_t pixel(const window &w, const int f[3]) const {
    return ((image * w.in[0] + start[0] + f[0]) * w.in[1] + start[1] + f[1]) * w.in[2] + start[2] +
           f[2];
  }
  /* By how much an average is divided. */
  __device__ int64_t divisor(const window &w) const {
    int64_t count = 1;
    for (int i = 0; i < 3; i++) {
      int64_t end = start[i] + w.filter[i], most = w.in[i] + w.after[i];
      count *= !w.count_padding ? last[i] - first[i] : (end < most ? end : most) - start[i];
    }
    return count;
  }
};

__device__ int number(const window &w, const int f[3]) {
  return (f[0] * (int)w.filter[1] + f[1]) * (int)w.filter[2] + f[2];
}

#define FOR_TAPS(t, f)                                    \
  for (f[0] = (t).first[0]; f[0] < (t).last[0]; f[0]++)   \
    for (f[1] = (t).first[1]; f[1] < (t).last[1]; f[1]++) \
      for (f[2] = (t).first[2]; f[2] < (t).last[2]; f[2]++)

/* The outputs whose windows a pixel lies in, in their order: [first, last) of each axis. */
struct covering {
  int64_t at[3], first[3], last[3], image;

  __device__ covering(const window &w, int64_t pixel) {
    at[2] = pixel % w.in[2];
    pixel /= w.in[2];
    at[1] = pixel % w.in[1];
    pixel /= w.in[1];
    at[0] = pixel % w.in[0];
    image = pixel / w.in[0];
    for (int i = 0; i < 3; i++) {
      int64_t from = at[i] + w.before[i], past = from - w.filter[i]; /* the last start too early */
      first[i] = past < 0 ? 0 : past / w.stride[i] + 1;
      last[i] = from / w.stride[i] + 1;
      if (last[i] > w.out[i]) last[i] = w.out[i];
    }
  }
  __device__ int64_t output(const window &w, const int64_t o[3]) const {
    return ((image * w.out[0] + o[0]) * w.out[1] + o[1]) * w.out[2] + o[2];
  }
  /* The number of the tap of output o that is this pixel. */
  __device__ int tap(const window &w, const int64_t o[3]) const {
    int f[3];
    for (int i = 0; i < 3; i++) f[i] = (int)(at[i] + w.before[i] - o[i] * w.stride[i]);
    return number(w, f);
  }
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
    max_pool(const __grid_constant__ window w, int64_t outputs, int64_t C, const T *__restrict__ x,
             T *y, int32_t *place) {
  FOR_ROWS(r, outputs) {
    taps t(w, r);
    FOR_CHANNELS(c, C) {
      T best = (T)-INFINITY;
      int where = number(w, t.first); /* for windows that hold nothing but -inf */
      int f[3];
      FOR_TAPS(t, f) {
        T v = x[t.pixel(w, f) * C + c];
        if (v > best || (v != v && best == best)) { /* the first of equals, and the first NaN */
          best = v;
          where = number(w, f);
        }
      }
      y[r * C + c] = best;
      place[r * C + c] = where;
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    scatter(const __grid_constant__ window w, int64_t pixels, int64_t C, const T *__restrict__ gy,
            const int32_t *__restrict__ place, T *gx) {
  FOR_ROWS(r, pixels) {
    covering v(w, r);
    FOR_CHANNELS(c, C) {
      T sum = 0;
      int64_t o[3];
      FOR_TAPS(v, o) {
        int64_t at = v.output(w, o) * C + c;
        if (place[at] == v.tap(w, o)) sum += gy[at];
      }
      gx[r * C + c] = sum;
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    gather(const __grid_constant__ window w, int64_t outputs, int64_t C, const T *__restrict__ x,
           const int32_t *__restrict__ place, T *y) {
  FOR_ROWS(r, outputs) {
    taps t(w, r);
    FOR_CHANNELS(c, C) {
      int tap = place[r * C + c], high = (int)w.filter[1], wide = (int)w.filter[2], f[3];
      f[2] = tap % wide;
      f[1] = tap / wide % high;
      f[0] = tap / wide / high;
      y[r * C + c] = x[t.pixel(w, f) * C + c];
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    avg_pool(const __grid_constant__ window w, int64_t outputs, int64_t C, const T *__restrict__ x,
             T *y) {
  FOR_ROWS(r, outputs) {
    taps t(w, r);
    T scale = 1 / (T)t.divisor(w);
    FOR_CHANNELS(c, C) {
      T sum = 0;
      int f[3];
      FOR_TAPS(t, f) sum += x[t.pixel(w, f) * C + c];
      y[r * C + c] = sum * scale;
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    avg_pool_data(const __grid_constant__ window w, int64_t pixels, int64_t C,
                  const T *__restrict__ gy, T *gx) {
  FOR_ROWS(r, pixels) {
    covering v(w, r);
    FOR_CHANNELS(c, C) {
      T sum = 0;
      int64_t o[3];
      FOR_TAPS(v, o) {
        int64_t at = v.output(w, o);
        sum += gy[at * C + c] * (1 / (T)taps(w, at).divisor(w));
      }
      gx[r * C + c] = sum;
    }
  }
}

/* A global pooling is one window over everything: its pixels are summed by a block, one in LANES at a time. */
enum { WIDE = 32, LANES = THREADS / WIDE };

template <typename T>
__global__ void __launch_bounds__(THREADS)
    global_average(int64_t pixels, int64_t C, int64_t across, const T *__restrict__ x, T *y) {
  __shared__ double part[LANES][WIDE];
  int64_t c = blockIdx.x % across * WIDE + threadIdx.x, image = blockIdx.x / across;
  double sum = 0;
  if (c < C)
    for (int64_t i = threadIdx.y; i < pixels; i += LANES)
      sum += (double)x[(image * pixels + i) * C + c];
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= C) return;
  for (int i = 1; i < LANES; i++) sum += part[i][threadIdx.x];
  y[image * C + c] = (T)(sum / (double)pixels);
}

int64_t product(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

window window_of(const cvl_cuda_pool *p) {
  window w;
  for (int i = 0; i < 3; i++) {
    w.in[i] = p->in[i];
    w.filter[i] = p->filter[i];
    w.out[i] = p->out[i];
    w.stride[i] = p->stride[i];
    w.before[i] = p->before[i];
    w.after[i] = p->after[i];
  }
  w.count_padding = p->count_padding;
  return w;
}

bool is_global(const cvl_cuda_pool *p) {
  bool all = true;
  for (int i = 0; i < 3; i++)
    all = all && p->filter[i] == p->in[i] && p->out[i] == 1 && p->before[i] == 0;
  return all;
}

} // namespace

#define RUN(kernel, count, ...)                                                              \
  do {                                                                                       \
    int64_t n = p->N * product(p->count);                                                    \
    launch::rows cut(n, p->C);                                                               \
    if (n * p->C == 0) return cudaSuccess;                                                   \
    FOR_FLOATING(type, (kernel<T><<<cut.grid, cut.block, 0, stream>>>(window_of(p), n, p->C, \
                                                                      __VA_ARGS__)));        \
    return cudaGetLastError();                                                               \
  } while (0)

cudaError_t cvl_cuda_max_pool(cvl_dtype type, const cvl_cuda_pool *p, const void *x, void *y,
                              int32_t *place, cudaStream_t stream) {
  RUN(max_pool, out, (const T *)x, (T *)y, place);
}

cudaError_t cvl_cuda_pool_scatter(cvl_dtype type, const cvl_cuda_pool *p, const void *gy,
                                  const int32_t *place, void *gx, cudaStream_t stream) {
  RUN(scatter, in, (const T *)gy, place, (T *)gx);
}

cudaError_t cvl_cuda_pool_gather(cvl_dtype type, const cvl_cuda_pool *p, const void *x,
                                 const int32_t *place, void *y, cudaStream_t stream) {
  RUN(gather, out, (const T *)x, place, (T *)y);
}

cudaError_t cvl_cuda_avg_pool(cvl_dtype type, const cvl_cuda_pool *p, const void *x, void *y,
                              cudaStream_t stream) {
  if (is_global(p) && p->N * p->C > 0) {
    int64_t across = (p->C + WIDE - 1) / WIDE;
    FOR_FLOATING(type, (global_average<T>
                        <<<launch::blocks(p->N * across, 1), dim3(WIDE, LANES), 0, stream>>>(
                            product(p->in), p->C, across, (const T *)x, (T *)y)));
    return cudaGetLastError();
  }
  RUN(avg_pool, out, (const T *)x, (T *)y);
}

cudaError_t cvl_cuda_avg_pool_data(cvl_dtype type, const cvl_cuda_pool *p, const void *gy, void *gx,
                                   cudaStream_t stream) {
  RUN(avg_pool_data, in, (const T *)gy, (T *)gx);
}

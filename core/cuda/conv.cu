/*
** The three maps of a convolution as matrix products whose left operand is gathered from the images on the way
** (Chetlur et al. 2014, arXiv:1410.0759, section 3.1): any stride, padding, dilation and groups, no workspace but for the
** filter's gradient, whose long sum is cut into splits of fixed size and added up in their order.
**   forward  {N out, taps C/g} x {taps C/g, K/g}    data  {N in, taps K/g} x {taps K/g, C/g}
**   filter   {taps C/g, N out} x {N out, K/g}       one group at a time
*/
#include "cuda/conv.h"

#include "cuda/gemm.cuh"
#include "cuda/launch.cuh"

namespace {

struct sizes {
  int N, C, K; /* of all groups */
  int Cg, Kg;  /* of one */
  int in[3], filter[3], out[3], stride[3], dilation[3], before[3];
  int ins, outs, taps; /* products of the above */
};

struct place { /* of an image: where its window, or its pixel, is */
  int image, at[3];
};
struct tap {
  int offset[3]; /* filter position times dilation */
  int channel;
};

__device__ void split3(unsigned i, const int size[3], int at[3]) {
  at[2] = (int)(i % (unsigned)size[2]);
  i /= (unsigned)size[2];
  at[1] = (int)(i % (unsigned)size[1]);
  at[0] = (int)(i / (unsigned)size[1]);
}

__device__ tap tap_of(const sizes &z, unsigned k, unsigned channels) {
  tap t;
  t.channel = (int)(k % channels);
  split3(k / channels, z.filter, t.offset);
  for (int i = 0; i < 3; i++) t.offset[i] *= z.dilation[i];
  return t;
}

__device__ place window_of(const sizes &z, unsigned output) {
  place p;
  p.image = (int)(output / (unsigned)z.outs);
  split3(output % (unsigned)z.outs, z.out, p.at);
  for (int i = 0; i < 3; i++) p.at[i] = p.at[i] * z.stride[i] - z.before[i];
  return p;
}

template <typename T>
__device__ T pixel(const sizes &z, const T *x, const place &p, const tap &t, int group) {
  int64_t at = p.image;
  for (int i = 0; i < 3; i++) {
    int here = p.at[i] + t.offset[i];
    if (here < 0 || here >= z.in[i]) return T(0);
    at = at * z.in[i] + here;
  }
  return x[at * z.C + group * z.Cg + t.channel];
}

/* a of forward: the pixels under a window */
template <typename T> struct windows {
  typedef place line;
  typedef tap step;
  static const bool steps_fast = true;
  const sizes &z;
  const T *x;
  int group;
  __device__ place line_of(int i) const { return window_of(z, i); }
  __device__ tap step_of(int k) const { return tap_of(z, k, z.Cg); }
  __device__ T at(const place &p, const tap &t) const { return pixel(z, x, p, t, group); }
};

/* a of filter: the same with the roles exchanged */
template <typename T> struct taps_of_filter {
  typedef tap line;
  typedef place step;
  static const bool steps_fast = false;
  const sizes &z;
  const T *x;
  int group;
  __device__ tap line_of(int i) const { return tap_of(z, i, z.Cg); }
  __device__ place step_of(int k) const { return window_of(z, k); }
  __device__ T at(const tap &t, const place &p) const { return pixel(z, x, p, t, group); }
};

/* a of data: the outputs that a pixel went into */
template <typename T> struct outputs {
  typedef place line;
  typedef tap step;
  static const bool steps_fast = true;
  const sizes &z;
  const T *gy;
  int group;
  __device__ place line_of(int i) const {
    place p;
    p.image = (int)((unsigned)i / (unsigned)z.ins);
    split3((unsigned)i % (unsigned)z.ins, z.in, p.at);
    for (int k = 0; k < 3; k++) p.at[k] += z.before[k];
    return p;
  }
  __device__ tap step_of(int k) const { return tap_of(z, k, z.Kg); }
  __device__ T at(const place &p, const tap &t) const {
    int64_t at = p.image;
    for (int i = 0; i < 3; i++) {
      int scaled = p.at[i] - t.offset[i], o = scaled / z.stride[i];
      if (scaled < 0 || scaled % z.stride[i] != 0 || o >= z.out[i]) return T(0);
      at = at * z.out[i] + o;
    }
    return gy[at * z.K + group * z.Kg + t.channel];
  }
};

/* b of forward and filter: row k of a matrix {any, K}, the columns of a group */
template <typename T> struct matrix {
  typedef int line;
  typedef int64_t step;
  static const bool steps_fast = false;
  const T *from; /* at the group's first column */
  int64_t K;
  __device__ int line_of(int i) const { return i; }
  __device__ int64_t step_of(int k) const { return k * K; }
  __device__ T at(int column, int64_t row) const { return from[row + column]; }
};

/* b of data: the filter, {tap, k} by c */
template <typename T> struct turned_filter {
  typedef int64_t line;
  typedef int64_t step;
  static const bool steps_fast = true;
  const sizes &z;
  const T *w; /* at the group's first filter */
  __device__ int64_t line_of(int c) const { return (int64_t)c * z.K; }
  __device__ int64_t step_of(int k) const {
    unsigned tap = (unsigned)k / (unsigned)z.Kg;
    return (int64_t)tap * z.Cg * z.K + (int64_t)(k - tap * z.Kg);
  }
  __device__ T at(int64_t channel, int64_t tap_and_k) const { return w[tap_and_k + channel]; }
};

/* result {M, all} at the group's first column */
template <typename T> struct result {
  T *to;
  int64_t all;
  __device__ void operator()(int row, int column, T sum) const { to[row * all + column] = sum; }
};

/* blockIdx: x the tile, the columns' ones first; y the group; z the split */
struct position {
  int row, column, group;
  __device__ explicit position(int N) {
    unsigned across = ((unsigned)N + gemm::TILE - 1) / gemm::TILE;
    row = (int)(blockIdx.x / across) * gemm::TILE;
    column = (int)(blockIdx.x % across) * gemm::TILE;
    group = (int)blockIdx.y;
  }
};

template <typename T>
__global__ void __launch_bounds__(gemm::THREADS)
    conv_forward(const __grid_constant__ sizes z, const T *x, const T *w, T *y) {
  __shared__ gemm::shared_tiles<T> s;
  position p(z.Kg);
  windows<T> a = {z, x, p.group};
  matrix<T> b = {w + p.group * z.Kg, z.K};
  result<T> c = {y + p.group * z.Kg, z.K};
  gemm::tile(s, a, b, c, z.N * z.outs, z.Kg, p.row, p.column, 0, z.taps * z.Cg);
}

template <typename T>
__global__ void __launch_bounds__(gemm::THREADS)
    conv_backward_data(const __grid_constant__ sizes z, const T *gy, const T *w, T *gx) {
  __shared__ gemm::shared_tiles<T> s;
  position p(z.Cg);
  outputs<T> a = {z, gy, p.group};
  turned_filter<T> b = {z, w + p.group * z.Kg};
  result<T> c = {gx + p.group * z.Cg, z.C};
  gemm::tile(s, a, b, c, z.N * z.ins, z.Cg, p.row, p.column, 0, z.taps * z.Kg);
}

template <typename T>
__global__ void __launch_bounds__(gemm::THREADS)
    conv_backward_filter(const __grid_constant__ sizes z, const T *x, const T *gy, T *gw,
                         int split) {
  __shared__ gemm::shared_tiles<T> s;
  position p(z.Kg);
  int from = (int)blockIdx.z * split, end = z.N * z.outs, left = end - from;
  taps_of_filter<T> a = {z, x, p.group};
  matrix<T> b = {gy + p.group * z.Kg, z.K};
  result<T> c = {gw + (int64_t)blockIdx.z * z.taps * z.Cg * z.K + p.group * z.Kg, z.K};
  gemm::tile(s, a, b, c, z.taps * z.Cg, z.Kg, p.row, p.column, from,
             from + (split < left ? split : left));
}

using launch::THREADS;

/* gw = the sum of the splits, in their order */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    sum_splits(const T *partial, int64_t splits, int64_t n, T *gw) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= n) return;
  double sum = 0;
  for (int64_t k = 0; k < splits; k++) sum += (double)partial[k * n + i];
  gw[i] = (T)sum;
}

sizes sizes_of(const cvl_conv *c) {
  sizes z = {(int)c->N, (int)c->C, (int)c->K, (int)(c->C / c->groups), (int)(c->K / c->groups)};
  z.ins = z.outs = z.taps = 1;
  for (int i = 0; i < 3; i++) {
    z.in[i] = (int)c->in[i];
    z.filter[i] = (int)c->filter[i];
    z.out[i] = (int)c->out[i];
    z.stride[i] = (int)c->stride[i];
    z.dilation[i] = (int)c->dilation[i];
    z.before[i] = (int)c->before[i];
    z.ins *= (int)c->in[i];
    z.outs *= (int)c->out[i];
    z.taps *= (int)c->filter[i];
  }
  return z;
}

dim3 tiles(int64_t M, int64_t N, int64_t groups, int64_t splits) {
  int64_t down = (M + gemm::TILE - 1) / gemm::TILE, across = (N + gemm::TILE - 1) / gemm::TILE;
  return dim3((unsigned)(down * across), (unsigned)groups, (unsigned)splits);
}

/* Places that one split adds up: by sizes alone, so that every device gives the same bits. */
enum { LEAST_SPLIT = 2048, MOST_SPLITS = 64 };

int64_t split_size(int64_t places) {
  int64_t size = (places + MOST_SPLITS - 1) / MOST_SPLITS;
  return size < LEAST_SPLIT ? LEAST_SPLIT : size;
}

} // namespace

bool cvl_cuda_conv_fits(const cvl_conv *c) {
  const int64_t most = INT32_MAX / 2;
  int64_t ins = c->N, outs = c->N, taps = c->C > c->K ? c->C : c->K;
  for (int i = 0; i < 3; i++) {
    if (c->stride[i] > most || c->dilation[i] > most || c->before[i] > most) return false;
    if ((ins *= c->in[i]) > most || (outs *= c->out[i]) > most || (taps *= c->filter[i]) > most)
      return false;
    if (c->dilation[i] * c->filter[i] > most || c->out[i] * c->stride[i] > most) return false;
  }
  return c->groups <= 65535; /* blocks along y */
}

cudaError_t cvl_cuda_conv_forward(cvl_dtype type, const cvl_conv *c, const void *x, const void *w,
                                  void *y, cudaStream_t stream) {
  sizes z = sizes_of(c);
  dim3 grid = tiles((int64_t)z.N * z.outs, z.Kg, c->groups, 1);
  if (z.N == 0 || z.outs == 0 || z.K == 0) return cudaSuccess;
  FOR_FLOATING(type, (conv_forward<T>
                      <<<grid, gemm::THREADS, 0, stream>>>(z, (const T *)x, (const T *)w, (T *)y)));
  return cudaGetLastError();
}

cudaError_t cvl_cuda_conv_backward_data(cvl_dtype type, const cvl_conv *c, const void *gy,
                                        const void *w, void *gx, cudaStream_t stream) {
  sizes z = sizes_of(c);
  dim3 grid = tiles((int64_t)z.N * z.ins, z.Cg, c->groups, 1);
  if (z.N == 0 || z.ins == 0 || z.C == 0) return cudaSuccess;
  FOR_FLOATING(type, (conv_backward_data<T><<<grid, gemm::THREADS, 0, stream>>>(
                         z, (const T *)gy, (const T *)w, (T *)gx)));
  return cudaGetLastError();
}

int64_t cvl_cuda_conv_splits(const cvl_conv *c) {
  int64_t places = c->N * c->out[0] * c->out[1] * c->out[2], size = split_size(places);
  return places > 0 ? (places + size - 1) / size : 1;
}

cudaError_t cvl_cuda_conv_backward_filter(cvl_dtype type, const cvl_conv *c, const void *x,
                                          const void *gy, void *gw, void *partial,
                                          cudaStream_t stream) {
  sizes z = sizes_of(c);
  int64_t splits = cvl_cuda_conv_splits(c), size = split_size((int64_t)z.N * z.outs);
  int64_t n = (int64_t)z.taps * z.Cg * z.K;
  void *to = splits > 1 ? partial : gw;
  if (n == 0) return cudaSuccess;
  FOR_FLOATING(type, (conv_backward_filter<T>
                      <<<tiles(z.taps * z.Cg, z.Kg, c->groups, splits), gemm::THREADS, 0, stream>>>(
                          z, (const T *)x, (const T *)gy, (T *)to, (int)size)));
  if (splits > 1)
    FOR_FLOATING(type, (sum_splits<T><<<launch::blocks(n, THREADS), THREADS, 0, stream>>>(
                           (const T *)partial, splits, n, (T *)gw)));
  return cudaGetLastError();
}

/* See ops/upsample.c. A thread makes one element: of y from up to 8 corners, of gx from the outputs that look at it. */
#include "cuda/kernel.cuh"

extern "C" {
#include "ops/upsample.h"
#include "ops/window.h"
}

struct images {
  int64_t in[CVL_MAX_SPATIAL], out[CVL_MAX_SPATIAL], C, count;
  int mode;
};

/* Element u of {N, (size), C} as image, position and channel. */
__device__ static int64_t split(int64_t u, const int64_t *size, int64_t C, int64_t *at,
                                int64_t *c) {
  *c = u % C;
  u /= C;
  for (int i = CVL_MAX_SPATIAL - 1; i >= 0; i--) {
    at[i] = u % size[i];
    u /= size[i];
  }
  return u;
}

__device__ static int64_t join(int64_t image, const int64_t *size, int64_t C, int64_t p, int64_t q,
                               int64_t r, int64_t c) {
  return (((image * size[0] + p) * size[1] + q) * size[2] + r) * C + c;
}

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    up_kernel(const images j, const real *x, real *y) {
  const int64_t u = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (u >= j.count) return;
  int64_t o[CVL_MAX_SPATIAL], c;
  const int64_t image = split(u, j.out, j.C, o, &c);
  cvl_upsample_tap t[CVL_MAX_SPATIAL];
  real sum = 0;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++)
    t[i] = cvl_upsample_find(o[i], j.in[i], j.out[i], j.mode);
  for (int k = 0; k < 8; k++) {
    const int p = k >> 2, q = k >> 1 & 1, r = k & 1;
    const real weight = (p ? (real)t[0].t : 1 - (real)t[0].t) *
                        (q ? (real)t[1].t : 1 - (real)t[1].t) *
                        (r ? (real)t[2].t : 1 - (real)t[2].t);
    if (weight != 0) /* 0 also beyond the end */
      sum += weight * x[join(image, j.in, j.C, t[0].i + p, t[1].i + q, t[2].i + r, c)];
  }
  y[u] = sum;
}

/* How much output o of an axis takes of input i. */
__device__ static real share(const images &j, int axis, int64_t o, int64_t i) {
  const cvl_upsample_tap t = cvl_upsample_find(o, j.in[axis], j.out[axis], j.mode);
  return t.i == i ? 1 - (real)t.t : t.i + 1 == i ? (real)t.t : 0;
}

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    down_kernel(const images j, const real *gy, real *gx) {
  const int64_t u = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (u >= j.count) return;
  int64_t i[CVL_MAX_SPATIAL], first[CVL_MAX_SPATIAL], last[CVL_MAX_SPATIAL], c;
  const int64_t image = split(u, j.in, j.C, i, &c);
  real sum = 0;
  for (int k = 0; k < CVL_MAX_SPATIAL;
       k++) { /* outputs further away than one input look elsewhere */
    const int64_t size = j.out[k] / j.in[k];
    first[k] = i[k] > 0 ? (i[k] - 1) * size : 0;
    last[k] = (i[k] + 2) * size < j.out[k] ? (i[k] + 2) * size : j.out[k];
  }
  for (int64_t p = first[0]; p < last[0]; p++) {
    const real sp = share(j, 0, p, i[0]);
    if (sp == 0) continue;
    for (int64_t q = first[1]; q < last[1]; q++) {
      const real sq = sp * share(j, 1, q, i[1]);
      if (sq == 0) continue;
      for (int64_t r = first[2]; r < last[2]; r++) {
        const real weight = sq * share(j, 2, r, i[2]);
        if (weight != 0) sum += weight * gy[join(image, j.out, j.C, p, q, r, c)];
      }
    }
  }
  gx[u] = sum;
}

/* x and y: the shapes of the small and of the large tensor; missing spatial axes are put before. */
static images images_of(const cvl_args *a, const cvl_shape *x, const cvl_shape *y,
                        const cvl_tensor *result) {
  images j = {};
  const int axes = x->ndim - 2;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    const int axis = i - (CVL_MAX_SPATIAL - axes);
    j.in[i] = axis < 0 ? 1 : x->dim[1 + axis];
    j.out[i] = axis < 0 ? 1 : y->dim[1 + axis];
  }
  j.C = x->dim[x->ndim - 1];
  j.count = cvl_count(result);
  j.mode = ((const cvl_upsample_options *)a->options)->mode;
  return j;
}

static int run(void (*kernel)(const images, const real *, real *), const images &j,
               const cvl_tensor *from, cvl_tensor *to, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_on(to, e);
  if (d == NULL) return -1;
  if (j.count == 0) return 0;
  kernel<<<cvl_cuda_blocks(j.count, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      j, (const real *)cvl_data(from), (real *)cvl_data(to));
  return cvl_cuda_launched(d, e);
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(up_kernel, images_of(a, &a->in[0]->shape, &y->shape, y), a->in[0], y, e);
}
static int backward(const cvl_args *a, const cvl_tensor *, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  if (gx[0] == NULL) return 0;
  return run(down_kernel, images_of(a, &gx[0]->shape, &gy->shape, gx[0]), gy, gx[0], e);
}
CVL_KERNELS(upsample, forward, backward)

static int data_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(down_kernel, images_of(a, &y->shape, &a->in[0]->shape, y), a->in[0], y, e);
}
static int data_backward(const cvl_args *a, const cvl_tensor *, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  if (gx[0] == NULL) return 0;
  return run(up_kernel, images_of(a, &gy->shape, &gx[0]->shape, gx[0]), gy, gx[0], e);
}
CVL_KERNELS(upsample_data, data_forward, data_backward)

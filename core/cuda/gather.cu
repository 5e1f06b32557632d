/*
** See ops/gather.c. A thread makes one element of the result. Sums go through all positions in their order and take
** those that fall on the thread's place, so that nothing is added twice at once and the bits never vary.
** CVL_EVERY_DTYPE
*/
#include "cuda/kernel.cuh"

extern "C" {
#include "cuda/positions.h"
#include "ops/gather.h"
#include "ops/position.h"
}

struct places {
  const void *p;
  cvl_dtype dtype;
  int64_t n; /* of the axis */

  __device__ int64_t operator[](int64_t i) const {
    const int64_t at = cvl_position_in(p, dtype, i);
    return at < 0 ? at + n : at;
  }
};

static places places_of(const cvl_tensor *positions, int64_t n) {
  return places{cvl_data(positions), positions->dtype, n};
}

#define GRID(count) cvl_cuda_blocks(count, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream
#define THIS_ELEMENT(count)                                             \
  const int64_t u = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x; \
  if (u >= (count)) return

/* ------------------------------------------------------- slices: {outer, n, inner}, {outer, m, inner} */

struct slabs {
  int64_t count, n, m, inner;
};

static int64_t inner_of(const cvl_shape *x, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < x->ndim; i++) inner *= x->dim[i];
  return inner;
}

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    select_kernel(const slabs s, const places at, const real *x, real *y) {
  THIS_ELEMENT(s.count);
  const int64_t slab = u / s.inner, outer = slab / s.m;
  y[u] = x[(outer * s.n + at[slab % s.m]) * s.inner + u % s.inner];
}

static int select_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape;
  const int axis = cvl_at_axis(a, e);
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (axis < 0 || d == NULL || cvl_cuda_positions_check(a->in[1], x->dim[axis], axis, 2, e) != 0)
    return -1;
  const slabs s = {cvl_count(y), x->dim[axis], cvl_count(a->in[1]), inner_of(x, axis)};
  if (s.count == 0) return 0;
  select_kernel<<<GRID(s.count)>>>(s, places_of(a->in[1], s.n), (const real *)cvl_data(a->in[0]),
                                   (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(index_select, select_forward, NULL)

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    index_add_kernel(const slabs s, const places at, const real *g, real *y) {
  THIS_ELEMENT(s.count);
  const int64_t place = u / s.inner % s.n, outer = u / s.inner / s.n;
  real sum = 0;
  for (int64_t i = 0; i < s.m; i++)
    if (at[i] == place) sum = (real)(sum + g[(outer * s.m + i) * s.inner + u % s.inner]);
  y[u] = sum;
}

static int index_add(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const int axis = (int)((const cvl_at_options *)a->options)->axis;
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (d == NULL) return -1;
  const slabs s = {cvl_count(y), y->shape.dim[axis], cvl_count(a->in[1]),
                   inner_of(&y->shape, axis)};
  if (s.count == 0) return 0;
  index_add_kernel<<<GRID(s.count)>>>(s, places_of(a->in[1], s.n), (const real *)cvl_data(a->in[0]),
                                      (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(index_add, index_add, NULL)

/* --------------------------------------------------------- elements: x[positions[i, j], j] and the like */

/* The positions' shape, and x's, which is no smaller but along the axis. */
struct shapes {
  cvl_shape index, place;
  int axis;
  int64_t count; /* of the result */
};

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    gather_kernel(const shapes s, const places at, const real *x, real *y) {
  THIS_ELEMENT(s.count);
  int64_t left = u, from = 0, step = 1;
  for (int d = s.index.ndim - 1; d >= 0; d--) {
    const int64_t i = left % s.index.dim[d];
    from += (d == s.axis ? at[u] : i) * step;
    left /= s.index.dim[d];
    step *= s.place.dim[d];
  }
  y[u] = x[from];
}

static int gather(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape;
  const int axis = cvl_at_axis(a, e);
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (axis < 0 || d == NULL || cvl_cuda_positions_check(a->in[1], x->dim[axis], axis, 2, e) != 0)
    return -1;
  const shapes s = {y->shape, *x, axis, cvl_count(y)};
  if (s.count == 0) return 0;
  gather_kernel<<<GRID(s.count)>>>(s, places_of(a->in[1], x->dim[axis]),
                                   (const real *)cvl_data(a->in[0]), (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(gather, gather, NULL)

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    scatter_add_kernel(const shapes s, const places at, const real *g, real *y) {
  THIS_ELEMENT(s.count);
  int64_t left = u, line = 0, step = 1, axis_step = 1, place = 0;
  bool inside = true;
  real sum = 0;
  for (int d = s.place.ndim - 1; d >= 0; d--) {
    const int64_t i = left % s.place.dim[d];
    left /= s.place.dim[d];
    if (d == s.axis) {
      place = i;
      axis_step = step;
    } else {
      inside = inside && i < s.index.dim[d];
      line += i * step;
    }
    step *= s.index.dim[d];
  }
  for (int64_t i = 0; inside && i < s.index.dim[s.axis]; i++) {
    const int64_t k = line + i * axis_step;
    if (at[k] == place) sum = (real)(sum + g[k]);
  }
  y[u] = sum;
}

static int scatter_add(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const int axis = (int)((const cvl_at_options *)a->options)->axis;
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (d == NULL) return -1;
  const shapes s = {a->in[0]->shape, y->shape, axis, cvl_count(y)};
  if (s.count == 0) return 0;
  scatter_add_kernel<<<GRID(s.count)>>>(s, places_of(a->in[1], y->shape.dim[axis]),
                                        (const real *)cvl_data(a->in[0]), (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(scatter_add, scatter_add, NULL)

/* -------------------------------------------------------------------------------------- one_hot */

#if !CVL_FLOATING
template <class T>
__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    one_hot_kernel(int64_t count, int64_t n, const real *labels, T *y) {
  THIS_ELEMENT(count);
  y[u] = labels[u / n] == (real)(u % n);
}

template <class T>
static int one_hot_of(cvl_cuda *d, int64_t n, const cvl_tensor *labels, cvl_tensor *y, cvl_err *e) {
  one_hot_kernel<<<GRID(cvl_count(y))>>>(cvl_count(y), n, (const real *)cvl_data(labels),
                                         (T *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}

static int one_hot(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const int64_t n = ((const cvl_one_hot_options *)a->options)->class_count;
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (d == NULL || cvl_cuda_labels_check(a->in[0], n, 1, e) != 0) return -1;
  if (cvl_count(y) == 0) return 0;
  switch (y->dtype) {
  case CVL_F32:
    return one_hot_of<float>(d, n, a->in[0], y, e);
  case CVL_F64:
    return one_hot_of<double>(d, n, a->in[0], y, e);
  case CVL_I32:
    return one_hot_of<int32_t>(d, n, a->in[0], y, e);
  case CVL_I64:
    return one_hot_of<int64_t>(d, n, a->in[0], y, e);
  default:
    return one_hot_of<uint8_t>(d, n, a->in[0], y, e);
  }
}
CVL_KERNELS(one_hot, one_hot, NULL)
#endif

/* See ops/scan.c. One thread for each line. CVL_EVERY_DTYPE */
#include "cuda/kernel.cuh"

extern "C" {
#include "ops/reduce.h"
#include "ops/scan.h"
}

/* Lines of x and of y along the axis, which may have another length in y. */
struct lines {
  cvl_axes_walk from, to;
  int64_t count, n, x_step, y_step;
};

static lines lines_of(const cvl_tensor *x, const cvl_tensor *y, int axis) {
  bool set[CVL_MAX_DIM] = {false};
  cvl_reduction from, to;
  set[axis] = true;
  cvl_reduction_init(&from, x, set);
  cvl_reduction_init(&to, y, set);
  return lines{from.kept,          to.kept,         from.outputs,
               x->shape.dim[axis], x->stride[axis], y->stride[axis]};
}

#if CVL_FLOATING
typedef double sum_t;
typedef real out_t;
#else
typedef int64_t sum_t, out_t;
#endif

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    cumsum_kernel(const lines l, bool reverse, const real *of, out_t *to) {
  const int64_t line = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (line >= l.count) return;
  const real *x = of + cvl_walk_offset(&l.from, line);
  out_t *y = to + cvl_walk_offset(&l.to, line);
  sum_t s = 0;
  for (int64_t i = 0; i < l.n; i++) {
    const int64_t at = reverse ? l.n - 1 - i : i;
    s += (sum_t)x[at * l.x_step];
    y[at * l.y_step] = (out_t)s;
  }
}

static int cumsum(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_cumsum_options *o = (const cvl_cumsum_options *)a->options;
  const int axis = cvl_axis(o->axis, y->shape.ndim, "axis", e);
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (axis < 0 || d == NULL) return -1;
  if (cvl_count(y) == 0) return 0;
  const lines l = lines_of(a->in[0], y, axis);
  cumsum_kernel<<<cvl_cuda_blocks(l.count, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      l, o->reverse, (const real *)cvl_data(a->in[0]), (out_t *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(cumsum, cumsum, NULL)

/* Whether u stands before v: NaN is the largest, as for max. */
__device__ static bool larger(real u, real v) { return u > v || (u != u && v == v); }

/* The best so far are kept in y, in order; each further element finds its place from the end. */
__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    topk_kernel(const lines l, int64_t k, const real *of, int64_t *to) {
  const int64_t line = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (line >= l.count) return;
  const real *x = of + cvl_walk_offset(&l.from, line);
  int64_t *y = to + cvl_walk_offset(&l.to, line);
  for (int64_t i = 0; i < l.n; i++) {
    int64_t place = i < k ? i : k;
    const real v = x[i * l.x_step];
    while (place > 0 && larger(v, x[y[(place - 1) * l.y_step] * l.x_step])) {
      if (place < k) y[place * l.y_step] = y[(place - 1) * l.y_step];
      place--;
    }
    if (place < k) y[place * l.y_step] = i;
  }
}

static int topk(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_topk_options *o = (const cvl_topk_options *)a->options;
  const int axis = cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, y->shape.ndim, "axis", e);
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (axis < 0 || d == NULL) return -1;
  if (cvl_count(y) == 0) return 0;
  const lines l = lines_of(a->in[0], y, axis);
  topk_kernel<<<cvl_cuda_blocks(l.count, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      l, o->k, (const real *)cvl_data(a->in[0]), (int64_t *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(topk, topk, NULL)

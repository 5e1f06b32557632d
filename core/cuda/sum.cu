/* CVL_EVERY_DTYPE */
#include "cuda/reduce.cuh"

extern "C" {
#include "ops/sum.h"
}

#if CVL_FLOATING
typedef double sum_t;
typedef real out_t;
#else
typedef int64_t sum_t, out_t;
#endif

struct total {
  typedef sum_t state;
  out_t *y;
  __device__ state begin() const { return 0; }
  __device__ void add(state &s, real v, int64_t, int64_t) const { s += (sum_t)v; }
  __device__ void join(state &s, const state &other) const { s += other; }
  __device__ void finish(const state &s, int64_t output) const { y[output] = (out_t)s; }
};

static int sum(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_sum_options *o = (const cvl_sum_options *)a->options;
  bool set[CVL_MAX_DIM];
  if (cvl_reduce_axes(&o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;
  return cvl_reduce(a->in[0], set, total{(out_t *)cvl_data(y)}, e);
}
CVL_KERNELS(sum, sum, NULL)

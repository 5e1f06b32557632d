/* The reductions of ops/reduce.c. CVL_EVERY_DTYPE */
#include "cuda/reduce.cuh"

extern "C" {
#include "ops/math.h"
}

static int over_axes(const cvl_args *a, bool *set, cvl_err *e) {
  const cvl_reduce_options *o = (const cvl_reduce_options *)a->options;
  return cvl_reduce_axes(&o->axis, a->in[0]->shape.ndim, set, e);
}

#define FORWARD(name)                                                 \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) { \
    bool set[CVL_MAX_DIM];                                            \
    if (over_axes(a, set, e) != 0) return -1;                         \
    name##_rule rule;                                                 \
    rule.y = (decltype(rule.y))cvl_data(y);                           \
    return cvl_reduce(a->in[0], set, rule, e);                        \
  }

/* ------------------------------------------------------------------------------- max, min, where */

/* The best so far and where it stands; none when at is negative. NaN is best, of equals the first. */
struct found {
  real best;
  int64_t at;
};

template <bool LARGEST> __device__ static void take(found &s, real v, int64_t at) {
  const bool nan = v != v, was_nan = s.best != s.best;
  const bool better = LARGEST ? v > s.best : v < s.best;
  const bool wins = s.at < 0      ? at >= 0
                    : nan         ? !was_nan || at < s.at
                    : was_nan     ? false
                    : v == s.best ? at < s.at
                                  : better;
  if (at >= 0 && wins) s = found{v, at};
}

template <bool LARGEST> struct find_rule {
  typedef found state;
  real *value; /* one of them is NULL */
  int64_t *place;
  __device__ state begin() const { return found{0, -1}; }
  __device__ void add(state &s, real v, int64_t i, int64_t) const { take<LARGEST>(s, v, i); }
  __device__ void join(state &s, const state &other) const {
    take<LARGEST>(s, other.best, other.at);
  }
  __device__ void finish(const state &s, int64_t output) const {
    if (value != NULL)
      value[output] = s.best;
    else
      place[output] = s.at;
  }
};

template <bool LARGEST> static int extreme(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  bool set[CVL_MAX_DIM];
  if (over_axes(a, set, e) != 0) return -1;
  return cvl_reduce(a->in[0], set, find_rule<LARGEST>{(real *)cvl_data(y), NULL}, e);
}

template <bool LARGEST> static int where(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_find_options *o = (const cvl_find_options *)a->options;
  bool set[CVL_MAX_DIM];
  if (cvl_reduce_axis(o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;
  return cvl_reduce(a->in[0], set, find_rule<LARGEST>{NULL, (int64_t *)cvl_data(y)}, e);
}

CVL_KERNELS(max, extreme<true>, NULL)
CVL_KERNELS(min, extreme<false>, NULL)
CVL_KERNELS(argmax, where<true>, NULL)
CVL_KERNELS(argmin, where<false>, NULL)

/* ------------------------------------------------------------------------------ any, all, prod */

struct any_rule {
  typedef uint8_t state;
  uint8_t *y;
  __device__ state begin() const { return 0; }
  __device__ void add(state &s, real v, int64_t, int64_t) const { s |= v != 0; }
  __device__ void join(state &s, const state &other) const { s |= other; }
  __device__ void finish(const state &s, int64_t output) const { y[output] = s; }
};
FORWARD(any)
CVL_KERNELS(any, any_forward, NULL)

struct all_rule {
  typedef uint8_t state;
  uint8_t *y;
  __device__ state begin() const { return 1; }
  __device__ void add(state &s, real v, int64_t, int64_t) const { s &= v != 0; }
  __device__ void join(state &s, const state &other) const { s &= other; }
  __device__ void finish(const state &s, int64_t output) const { y[output] = s; }
};
FORWARD(all)
CVL_KERNELS(all, all_forward, NULL)

#if CVL_FLOATING
typedef double product_t;
typedef real product_out;
#else
typedef int64_t product_t, product_out;
#endif

struct prod_rule {
  typedef product_t state;
  product_out *y;
  __device__ state begin() const { return 1; }
  __device__ void add(state &s, real v, int64_t, int64_t) const { s *= (product_t)v; }
  __device__ void join(state &s, const state &other) const { s *= other; }
  __device__ void finish(const state &s, int64_t output) const { y[output] = (product_out)s; }
};
FORWARD(prod)

#if !CVL_FLOATING
CVL_KERNELS(prod, prod_forward, NULL)
#else

/* gx = gy times the product of the others: of those before, then of those after. One thread for each product. */
__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    prod_grad_kernel(const cvl_reduction r, const real *x, const real *gy, real *gx) {
  const int64_t output = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (output >= r.outputs) return;
  const int64_t at = cvl_walk_offset(&r.kept, output);
  double before = gy[output], after = 1;
  for (int64_t k = 0; k < r.count; k++) {
    const int64_t place = at + cvl_walk_offset(&r.reduced, k);
    gx[place] = (real)before;
    before *= x[place];
  }
  for (int64_t k = r.count - 1; k >= 0; k--) {
    const int64_t place = at + cvl_walk_offset(&r.reduced, k);
    gx[place] = (real)(gx[place] * after);
    after *= x[place];
  }
}

static int prod_backward(const cvl_args *a, const cvl_tensor *, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_on(gy, e);
  cvl_reduction r;
  bool set[CVL_MAX_DIM];
  if (d == NULL || over_axes(a, set, e) != 0) return -1;
  cvl_reduction_init(&r, a->in[0], set);
  if (r.outputs == 0) return 0;
  prod_grad_kernel<<<cvl_cuda_blocks(r.outputs, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      r, (const real *)cvl_data(a->in[0]), (const real *)cvl_data(gy), (real *)cvl_data(gx[0]));
  return cvl_cuda_launched(d, e);
}
CVL_KERNELS(prod, prod_forward, prod_backward)

/* ------------------------------------------------------------------------------------ logsumexp */

/* The largest so far and the sum of e^(x - largest); an infinity or NaN is the result itself. */
struct scaled_sum {
  real largest;
  double sum;
};

__device__ static void take(scaled_sum &s, real largest, double sum) {
  if (s.largest != s.largest || sum == 0) return;
  if (largest <= s.largest) {
    s.sum += largest == s.largest ? sum : sum * (double)cvl_exp(largest - s.largest);
  } else {
    const double shrink = s.sum == 0 ? 0 : (double)cvl_exp(s.largest - largest);
    s = scaled_sum{largest, s.sum * shrink + sum};
  }
}

struct logsumexp_rule {
  typedef scaled_sum state;
  real *y;
  __device__ state begin() const { return scaled_sum{(real)-INFINITY, 0}; }
  __device__ void add(state &s, real v, int64_t, int64_t) const { take(s, v, 1); }
  __device__ void join(state &s, const state &other) const { take(s, other.largest, other.sum); }
  __device__ void finish(const state &s, int64_t output) const {
    y[output] = s.largest - s.largest == 0 ? (real)(s.largest + log(s.sum)) : s.largest;
  }
};
FORWARD(logsumexp)
CVL_KERNELS(logsumexp, logsumexp_forward, NULL)

/* ---------------------------------------------------------------------------------- first_equal */

/* 1 at the first element that equals its output m; y is all zeros before. */
struct first_equal_rule {
  typedef int64_t state; /* the place so far, or LLONG_MAX */
  cvl_axes_walk kept, reduced;
  const real *m;
  real *y;
  __device__ state begin() const { return INT64_MAX; }
  __device__ void add(state &s, real v, int64_t i, int64_t output) const {
    const real want = m[output];
    if ((v == want || (v != v && want != want)) && i < s) s = i;
  }
  __device__ void join(state &s, const state &other) const { s = other < s ? other : s; }
  __device__ void finish(const state &s, int64_t output) const {
    if (s < INT64_MAX) y[cvl_walk_offset(&kept, output) + cvl_walk_offset(&reduced, s)] = 1;
  }
};

static int first_equal(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_on(y, e);
  cvl_reduction r;
  bool set[CVL_MAX_DIM];
  if (d == NULL || over_axes(a, set, e) != 0 ||
      cvl_cuda_clear(&d->base, cvl_data(y), (size_t)cvl_count(y) * sizeof(real), e) != 0)
    return -1;
  cvl_reduction_init(&r, a->in[0], set); /* x is dense here, so that y has its layout */
  return cvl_reduce(
      a->in[0], set,
      first_equal_rule{r.kept, r.reduced, (const real *)cvl_data(a->in[1]), (real *)cvl_data(y)},
      e);
}
CVL_KERNELS(first_equal, first_equal, NULL)
#endif

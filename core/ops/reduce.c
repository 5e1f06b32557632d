/*
** Reductions over an axis, a list of axes, or all (sum is in sum.c, those made of it in
** statistics.c):
**   max, min      the extreme; NaN wins. Among equals the first has the gradient
**   prod          the product; its gradient is exact where elements are 0 too
**   any, all      of x ~= 0, as bool
**   logsumexp     ln(sum of e^x), the maximum subtracted first
** and over one axis, or all of x flattened:
**   argmax, argmin      the position of the first extreme, int64
*/
/* CVL_EVERY_DTYPE */
#include "ops/reduce.h"
#include "ops/elementwise.h"

#ifdef CVL_REAL
#include "base/pool.h"
#include "ops/row.h"

enum { GRAIN = 16384, /* elements that are worth another thread */ PART = 256 };

typedef struct {
  cvl_reduction r;
  const real *x, *y, *gy;
  void *out;
} job;

static int run(job *j, const cvl_tensor *x, const bool set[CVL_MAX_DIM], cvl_range_body *body) {
  cvl_reduction_init(&j->r, x, set);
  j->x = cvl_data(x);
  cvl_parallel_range(j->r.outputs, GRAIN / (j->r.count + 1) + 1, body, j);
  return 0;
}

static int run_axes(job *j, const cvl_args *a, cvl_range_body *body, cvl_err *e) {
  const cvl_reduce_options *o = a->options;
  bool set[CVL_MAX_DIM];
  if (cvl_reduce_axes(&o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;
  return run(j, a->in[0], set, body);
}

/* For each output: `begin`, then `each` with its elements v in turn, then `finish`. */
#define REDUCTION(name, begin, each, finish)                                            \
  static void name##_range(void *context, int64_t first, int64_t last) {                \
    const job *j = context;                                                             \
    for (int64_t i = first; i < last; i++) {                                            \
      const real *x = j->x + cvl_walk_offset(&j->r.kept, i);                            \
      begin;                                                                            \
      for (cvl_piece p = cvl_pieces(0, j->r.count); cvl_next_piece(&j->r.reduced, &p);) \
        for (int64_t k = 0; k < p.n; k++) {                                             \
          const real v = x[p.offset + k * p.step];                                      \
          each;                                                                         \
        }                                                                               \
      finish;                                                                           \
    }                                                                                   \
  }
#define OUT(type) ((type *)j->out)[i]
#define FORWARD(name)                                                 \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) { \
    return run_axes(&(job){.out = cvl_data(y)}, a, name##_range, e);  \
  }

#define EXTREME(name, better)                                                             \
  static void name##_range(void *context, int64_t first, int64_t last) {                  \
    const job *j = context;                                                               \
    for (int64_t i = first; i < last; i++) {                                              \
      const real *x = j->x + cvl_walk_offset(&j->r.kept, i);                              \
      real m = *x;                                                                        \
      for (cvl_piece p = cvl_pieces(0, j->r.count); cvl_next_piece(&j->r.reduced, &p);) { \
        int64_t once = p.step == 1 ? 1 : p.n; /* a dense piece is looked at in one go */  \
        for (int64_t k = 0; k < once; k++) {                                              \
          const real *at = x + p.offset + k * p.step;                                     \
          const real v = p.step == 1 ? cvl_row_##name(at, p.n) : *at;                     \
          m = v better m || v != v ? v : m;                                               \
        }                                                                                 \
      }                                                                                   \
      OUT(real) = m;                                                                      \
    }                                                                                     \
  }                                                                                       \
  FORWARD(name)                                                                           \
  CVL_KERNELS(name, name##_forward, NULL)
EXTREME(max, >)
EXTREME(min, <)

REDUCTION(any, uint8_t found = 0, found |= v != 0, OUT(uint8_t) = found)
FORWARD(any)
CVL_KERNELS(any, any_forward, NULL)

REDUCTION(all, uint8_t held = 1, held &= v != 0, OUT(uint8_t) = held)
FORWARD(all)
CVL_KERNELS(all, all_forward, NULL)

#if CVL_FLOATING
REDUCTION(prod, double m = 1, m *= v, OUT(real) = (real)m)
#else
REDUCTION(prod, int64_t m = 1, m *= (int64_t)v, OUT(int64_t) = m)
#endif
FORWARD(prod)

#define FIRST  \
  real m = *x; \
  int64_t at = 0
#define TAKE_IF(wins) \
  if (wins) {         \
    m = v;            \
    at = p.first + k; \
  }
#define FIND(name, better)                                                           \
  REDUCTION(name, FIRST, TAKE_IF((better) || (v != v && m == m)), OUT(int64_t) = at) \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                \
    const cvl_find_options *o = a->options;                                          \
    bool set[CVL_MAX_DIM];                                                           \
    if (cvl_reduce_axis(o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;      \
    return run(&(job){.out = cvl_data(y)}, a->in[0], set, name##_range);             \
  }                                                                                  \
  CVL_KERNELS(name, name##_forward, NULL)
FIND(argmax, v > m)
FIND(argmin, v < m)

#if CVL_FLOATING
/* 1 at the first element that equals its output, else 0; x is dense here, so that y has its
** layout. */
static void first_equal_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t i = first; i < last; i++) {
    int64_t at = cvl_walk_offset(&j->r.kept, i);
    const real m = j->y[i];
    bool found = false;
    for (cvl_piece p = cvl_pieces(0, j->r.count); cvl_next_piece(&j->r.reduced, &p);)
      for (int64_t k = 0; k < p.n; k++) {
        int64_t place = at + p.offset + k * p.step;
        bool here = !found && (j->x[place] == m || (m != m && j->x[place] != j->x[place]));
        ((real *)j->out)[place] = here ? 1 : 0;
        found |= here;
      }
  }
}
static int first_equal(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run_axes(&(job){.y = cvl_data(a->in[1]), .out = cvl_data(y)}, a, first_equal_range, e);
}
CVL_KERNELS(first_equal, first_equal, NULL)

/* gx = gy times the product of the others: of those before, in a first pass, and of those after, in
** a second. */
static void prod_grad_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  real *gx = j->out;
  for (int64_t i = first; i < last; i++) {
    int64_t at = cvl_walk_offset(&j->r.kept, i);
    double before = j->gy[i], after = 1;
    for (int64_t k = 0; k < j->r.count; k++) {
      int64_t place = at + cvl_walk_offset(&j->r.reduced, k);
      gx[place] = (real)before;
      before *= j->x[place];
    }
    for (int64_t k = j->r.count - 1; k >= 0; k--) {
      int64_t place = at + cvl_walk_offset(&j->r.reduced, k);
      gx[place] = (real)(gx[place] * after);
      after *= j->x[place];
    }
  }
}
static int prod_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  return run_axes(&(job){.gy = cvl_data(gy), .out = cvl_data(gx[0])}, a, prod_grad_range, e);
}
CVL_KERNELS(prod, prod_forward, prod_backward)

static void logsumexp_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t i = first; i < last; i++) {
    const real *x = j->x + cvl_walk_offset(&j->r.kept, i);
    real m = -INFINITY;
    double sum = 0;
    for (cvl_piece p = cvl_pieces(0, j->r.count); cvl_next_piece(&j->r.reduced, &p);)
      for (int64_t k = 0; k < p.n; k++) {
        real v = x[p.offset + k * p.step];
        m = v <= m || m != m ? m : v;
      }
    if (m - m == 0) /* else it is the result: an infinity or NaN */
      for (cvl_piece p = cvl_pieces(0, j->r.count); cvl_next_piece(&j->r.reduced, &p);)
        for (int64_t k = 0; k < p.n; k += PART) { /* by parts, so that both loops are vector code */
          real part[PART];
          int64_t n = p.n - k < PART ? p.n - k : PART;
          for (int64_t c = 0; c < n; c++) part[c] = cvl_exp(x[p.offset + (k + c) * p.step] - m);
          sum += cvl_row_sum(part, n);
        }
    OUT(real) = m - m == 0 ? (real)(m + log(sum)) : m;
  }
}
FORWARD(logsumexp)
CVL_KERNELS(logsumexp, logsumexp_forward, NULL)
#else
CVL_KERNELS(prod, prod_forward, NULL)
#endif

#elif defined CVL_DESCRIBE
#include "ops/view.h"

extern const cvl_op cvl_op_first_equal;

static int axes_of(const cvl_args *a, bool set[CVL_MAX_DIM], cvl_err *e) {
  return cvl_reduce_axes(&((const cvl_reduce_options *)a->options)->axis, a->in[0]->shape.ndim, set,
                         e);
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  bool set[CVL_MAX_DIM];
  if (axes_of(a, set, e) != 0) return -1;
  cvl_reduce_shape(&a->in[0]->shape, set, ((const cvl_reduce_options *)a->options)->keep,
                   &y->shape);
  return 0;
}

static int extreme_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  bool set[CVL_MAX_DIM];
  if (axes_of(a, set, e) != 0 || cvl_reduce_not_empty(&a->in[0]->shape, set, e) != 0) return -1;
  return shape(a, y, e);
}

static int bool_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  y->dtype = CVL_BOOL;
  return shape(a, y, e);
}

static int prod_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  if (!cvl_dtype_floating(y->dtype)) y->dtype = CVL_I64;
  return shape(a, y, e);
}

static int position_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_find_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape;
  bool set[CVL_MAX_DIM];
  if (cvl_reduce_axis(o->axis, x->ndim, set, e) != 0 || cvl_reduce_not_empty(x, set, e) != 0)
    return -1;
  cvl_reduce_shape(x, set, o->keep, &y->shape);
  y->dtype = CVL_I64;
  return 0;
}

static int same_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  return cvl_shape_same(a, y, e);
}

CVL_OP(first_equal,
  .doc = "first_equal(x, m, axis) -> y\n"
         "1 at the first element of each group that equals m, which the group was reduced to.",
  .n_in = 2, .internal = true, .option_bytes = sizeof(cvl_reduce_options), .drops = CVL_DROP_ALL,
  .shape = same_shape);

static cvl_tensor *unreduce(cvl_scope *s, const cvl_args *a, cvl_tensor *y) {
  bool set[CVL_MAX_DIM];
  return axes_of(a, set, s->e) != 0 ? NULL : cvl_unreduce(s, y, set, &a->in[0]->shape);
}

static cvl_tensor *extreme_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                               int i) {
  cvl_tensor *here = cvl_call(s, &cvl_op_first_equal, a->options, 2, a->in[i], y);
  return cvl_mul(s, unreduce(s, a, gy), here);
}

static cvl_tensor *prod_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  return cvl_div(s, unreduce(s, a, cvl_mul(s, gy, y)), a->in[i]);
}

static cvl_tensor *logsumexp_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                                 int i) {
  cvl_tensor *share = cvl_exp_of(s, cvl_sub(s, a->in[i], unreduce(s, a, y)));
  return cvl_mul(s, unreduce(s, a, gy), share);
}

#define AXES                                                                                       \
  .n_in = 1,                                                                                       \
  CVL_OPTIONS(                                                                                     \
      cvl_reduce_options,                                                                          \
      CVL_AXES(cvl_reduce_options, axis, CVL_ANY, "an axis or a list of axes; all when left out"), \
      CVL_FLAG(cvl_reduce_options, keep, false, "whether reduced axes stay, with size 1"))
#define AXIS                                                                                    \
  .n_in = 1,                                                                                    \
  CVL_OPTIONS(cvl_find_options,                                                                 \
              CVL_AXIS(cvl_find_options, axis, CVL_ANY, "the axis; x flattened when left out"), \
              CVL_FLAG(cvl_find_options, keep, false, "whether the axis stays, with size 1"))
#define SAMPLES(name)                                             \
  CVL_SAMPLES(#name "(randn{2, 3})", #name "(randn{2, 3, 2}, 2)", \
              #name "(randn{2, 1, 3}, {1, -1}, {keep = true})",   \
              #name "(randn{3, 1, 2}:transpose(1, 3), {axis = 1})")
#define REJECTS(name)                                                                      \
  CVL_REJECTS({#name "(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"}, \
              {#name "(randn{2, 3}, {1, 1})", "each axis once expected, got axis 1 twice"})
#define EXTREME_REJECTS(name)                                                              \
  CVL_REJECTS({#name "(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"}, \
              {#name "(zeros{2, 0}, 2)",                                                   \
               "at least one element along axis 2 expected, got a tensor {2, 0}"})

CVL_OP(max,
  .doc = "max(x, axis = nil, {keep = false}) -> y\n"
         "The largest element along an axis, a list of axes, or of all; NaN wins. Among equals the "
         "first has the gradient.",
  AXES, .strided = true, .shape = extreme_shape, .vjp = extreme_vjp, SAMPLES(max),
  EXTREME_REJECTS(max));
CVL_OP(min,
  .doc = "min(x, axis = nil, {keep = false}) -> y\n"
         "The smallest element along an axis, a list of axes, or of all; NaN wins. Among equals "
         "the first has the gradient.",
  AXES, .strided = true, .shape = extreme_shape, .vjp = extreme_vjp, SAMPLES(min),
  EXTREME_REJECTS(min));
CVL_OP(prod,
  .doc = "prod(x, axis = nil, {keep = false}) -> y\n"
         "The product along an axis, a list of axes, or of all; integers and bool give int64. The "
         "second derivative is finite only where no element is 0.",
  AXES, .shape = prod_shape, .vjp = prod_vjp, SAMPLES(prod), REJECTS(prod));
CVL_OP(any,
  .doc = "any(x, axis = nil, {keep = false}) -> y\n"
         "Whether an element is true (not 0), as bool.",
  AXES, .strided = true, .drops = CVL_DROP_ALL, .shape = bool_shape, SAMPLES(any), REJECTS(any));
CVL_OP(all,
  .doc = "all(x, axis = nil, {keep = false}) -> y\n"
         "Whether every element is true (not 0), as bool.",
  AXES, .strided = true, .drops = CVL_DROP_ALL, .shape = bool_shape, SAMPLES(all), REJECTS(all));
CVL_OP(logsumexp,
  .doc = "logsumexp(x, axis = nil, {keep = false}) -> y\n"
         "y = ln(sum of e^x), without overflow.",
  AXES, .strided = true, .floating = true, .shape = shape, .vjp = logsumexp_vjp, SAMPLES(logsumexp),
  REJECTS(logsumexp));
CVL_OP(argmax,
  .doc = "argmax(x, axis = nil, {keep = false}) -> positions\n"
         "Where the largest element stands along an axis, or in x flattened, as int64 from 1; the "
         "first of equals; NaN wins.",
  AXIS, .strided = true, .positions = true, .drops = CVL_DROP_ALL, .shape = position_shape,
  CVL_SAMPLES("argmax(randn{2, 3})", "argmax(randn{2, 3}, 2)",
              "argmax(randn{3, 1, 2}:transpose(1, 3), {axis = -1, keep = true})"),
  EXTREME_REJECTS(argmax));
CVL_OP(argmin,
  .doc = "argmin(x, axis = nil, {keep = false}) -> positions\n"
         "Where the smallest element stands along an axis, or in x flattened, as int64 from 1; the "
         "first of equals; NaN wins.",
  AXIS, .strided = true, .positions = true, .drops = CVL_DROP_ALL, .shape = position_shape,
  CVL_SAMPLES("argmin(randn{2, 3})", "argmin(randn{2, 3}, 2)",
              "argmin(randn{3, 1, 2}:transpose(1, 3), {axis = -1, keep = true})"),
  EXTREME_REJECTS(argmin));
#endif

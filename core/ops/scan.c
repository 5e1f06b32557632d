/*
** Along one axis:
**   cumsum(x, axis, {reverse})    sums of the elements so far, or of those from here on
**   topk(x, k, axis)              the positions of the k largest elements, largest first, int64
*/
/* CVL_EVERY_DTYPE */
#include "ops/scan.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

#ifdef CVL_REAL
#include "base/pool.h"

enum { GRAIN = 16384 /* elements that are worth another thread */ };

/* Lines of x and of y along the axis, which may have another length in y. */
typedef struct {
  const real *x;
  void *y;
  cvl_reduction from, to; /* .kept: the lines, in the same order */
  int64_t n, x_step, y_step, k;
  bool reverse;
} job;

static int run(job *j, const cvl_args *a, cvl_tensor *y, int axis, cvl_range_body *body) {
  const cvl_tensor *x = a->in[0];
  bool set[CVL_MAX_DIM] = {false};
  set[axis] = true;
  cvl_reduction_init(&j->from, x, set);
  cvl_reduction_init(&j->to, y, set);
  j->x = cvl_data(x);
  j->y = cvl_data(y);
  j->n = x->shape.dim[axis];
  j->x_step = x->stride[axis];
  j->y_step = y->stride[axis];
  cvl_parallel_range(j->from.outputs, GRAIN / (j->n + 1) + 1, body, j);
  return 0;
}

#if CVL_FLOATING
typedef double sum_t;
typedef real out_t;
#else
typedef int64_t sum_t, out_t;
#endif

static void cumsum_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t line = first; line < last; line++) {
    const real *x = j->x + cvl_walk_offset(&j->from.kept, line);
    out_t *y = (out_t *)j->y + cvl_walk_offset(&j->to.kept, line);
    sum_t s = 0;
    for (int64_t i = 0; i < j->n; i++) {
      int64_t at = j->reverse ? j->n - 1 - i : i;
      s += (sum_t)x[at * j->x_step];
      y[at * j->y_step] = (out_t)s;
    }
  }
}

static int cumsum(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_cumsum_options *o = a->options;
  int axis = cvl_axis(o->axis, y->shape.ndim, "axis", e);
  return axis < 0 ? -1 : run(&(job){.reverse = o->reverse}, a, y, axis, cumsum_range);
}
CVL_KERNELS(cumsum, cumsum, NULL)

/* Whether u stands before v: NaN is the largest, as for max. */
static inline bool larger(real u, real v) { return u > v || (u != u && v == v); }

/* The best so far are kept in y, in order; each further element finds its place from the end. */
static void topk_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t line = first; line < last; line++) {
    const real *x = j->x + cvl_walk_offset(&j->from.kept, line);
    int64_t *y = (int64_t *)j->y + cvl_walk_offset(&j->to.kept, line);
    for (int64_t i = 0; i < j->n; i++) {
      int64_t place = i < j->k ? i : j->k;
      real v = x[i * j->x_step];
      while (place > 0 && larger(v, x[y[(place - 1) * j->y_step] * j->x_step])) {
        if (place < j->k) y[place * j->y_step] = y[(place - 1) * j->y_step];
        place--;
      }
      if (place < j->k) y[place * j->y_step] = i;
    }
  }
}

static int topk(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_topk_options *o = a->options;
  int axis = cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, y->shape.ndim, "axis", e);
  return axis < 0 ? -1 : run(&(job){.k = o->k}, a, y, axis, topk_range);
}
CVL_KERNELS(topk, topk, NULL)

#elif defined CVL_DESCRIBE
#include "ops/call.h"

extern const cvl_op cvl_op_cumsum;

static int cumsum_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  if (!cvl_dtype_floating(y->dtype)) y->dtype = CVL_I64;
  return cvl_axis(((const cvl_cumsum_options *)a->options)->axis, y->shape.ndim, "axis", e) < 0 ? -1
                                                                                                : 0;
}

static cvl_tensor *cumsum_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                              int i) {
  cvl_cumsum_options o = *(const cvl_cumsum_options *)a->options;
  o.reverse = !o.reverse;
  return (void)y, (void)i, cvl_call(s, &cvl_op_cumsum, &o, 1, gy);
}

CVL_OP(cumsum,
  .doc = "cumsum(x, axis, {reverse = false}) -> y\n"
         "The sum of the elements up to each along an axis, or, in reverse, from each on; integers "
         "and bool give int64.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .shape = cumsum_shape, .vjp = cumsum_vjp,
  CVL_OPTIONS(cvl_cumsum_options,
    CVL_AXIS(cvl_cumsum_options, axis, CVL_REQUIRED, "the axis"),
    CVL_FLAG(cvl_cumsum_options, reverse, false, "from the end to the start")),
  CVL_SAMPLES("cumsum(randn{4}, 1)", "cumsum(randn{2, 3, 2}, 2, {reverse = true})",
              "cumsum(randn{3, 1, 2}:transpose(1, 3), -1)"),
  CVL_REJECTS({"cumsum(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"},
              {"cumsum(randn{2, 3})", "option 'axis' is missing"}));

static int topk_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_topk_options *o = a->options;
  int axis = cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, y->shape.ndim, "axis", e);
  if (axis < 0) return -1;
  if (o->k < 1 || o->k > y->shape.dim[axis])
    return cvl_fail(e, CVL_EARG, 0, "k must lie in 1..%lld, the size of axis %d, got %lld",
                    (long long)y->shape.dim[axis], axis + 1, (long long)o->k);
  y->shape.dim[axis] = o->k;
  y->dtype = CVL_I64;
  return 0;
}

CVL_OP(topk,
  .doc = "topk(x, k, axis = -1) -> positions\n"
         "Where the k largest elements stand along an axis, as int64 from 1, largest first; of "
         "equals the earlier one first. gather(x, positions, axis) has the elements.",
  .n_in = 1, .strided = true, .positions = true, .drops = CVL_DROP_ALL, .shape = topk_shape,
  CVL_OPTIONS(cvl_topk_options,
    CVL_INTEGER(cvl_topk_options, k, 0, CVL_REQUIRED, "how many"),
    CVL_AXIS(cvl_topk_options, axis, CVL_ANY, "the axis; the last when left out")),
  CVL_SAMPLES("topk(randn{2, 5}, 3)", "topk(randn{4, 1}, 2, 1)",
              "topk(randn{3, 2}:transpose(1, 2), {k = 1, axis = 2})"),
  CVL_REJECTS({"topk(randn{2, 3}, 4)", "k must lie in 1..3, the size of axis 2, got 4"},
              {"topk(randn{2, 3}, 1, 3)", "axis 3 is out of range: the tensor has 2 axes"}));
#endif

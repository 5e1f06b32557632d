/*
** softmax(x, axis = -1)        y = e^x / sum of e^x along the axis
** log_softmax(x, axis = -1)    y = x - ln(sum of e^x)
** Both subtract the maximum first, so that nothing overflows.
*/
#include "ops/softmax.h"

#include "ops/elementwise.h"

typedef cvl_softmax_options softmax_options;

#ifdef CVL_REAL
#include "base/pool.h"
#include "ops/row.h"

enum { GRAIN = 8192, /* elements that are worth another thread */ TILE = 64 };

/* x {outer, n, inner}; a unit is one row (inner == 1) or up to TILE columns of one outer index. */
typedef struct {
  const real *x, *y, *gy;
  real *out;
  int64_t n, inner, tiles;
  bool logarithm;
} job;

static void row_forward(const job *j, const real *x, real *y) {
  int64_t n = j->n;
  real m = cvl_row_max(x, n), scale;
  if (j->logarithm) {
    real s;
    for (int64_t i = 0; i < n; i++) y[i] = cvl_exp(x[i] - m);
    s = (real)cvl_log((real)cvl_row_sum(y, n));
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - m - s;
    return;
  }
  for (int64_t i = 0; i < n; i++) y[i] = cvl_exp(x[i] - m);
  scale = (real)(1 / cvl_row_sum(y, n));
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static void row_backward(const job *j, const real *y, const real *gy, real *gx) {
  int64_t n = j->n;
  if (j->logarithm) {
    real s = (real)cvl_row_sum(gy, n);
    for (int64_t i = 0; i < n; i++) gx[i] = gy[i] - cvl_exp(y[i]) * s;
  } else {
    real s = (real)cvl_row_dot(gy, y, n);
    for (int64_t i = 0; i < n; i++) gx[i] = y[i] * (gy[i] - s);
  }
}

static void columns_forward(const job *j, const real *x, real *y, int64_t columns) {
  real m[TILE];
  double s[TILE] = {0};
  for (int64_t c = 0; c < columns; c++) m[c] = x[c];
  for (int64_t i = 0; i < j->n; i++)
    for (int64_t c = 0; c < columns; c++)
      m[c] = x[i * j->inner + c] <= m[c] ? m[c] : x[i * j->inner + c];
  for (int64_t i = 0; i < j->n; i++)
    for (int64_t c = 0; c < columns; c++) {
      real t = cvl_exp(x[i * j->inner + c] - m[c]);
      y[i * j->inner + c] = t;
      s[c] += t;
    }
  for (int64_t c = 0; c < columns; c++)
    s[c] = j->logarithm ? (double)cvl_log((real)s[c]) : 1 / s[c];
  for (int64_t i = 0; i < j->n; i++)
    for (int64_t c = 0; c < columns; c++) {
      real *p = &y[i * j->inner + c];
      *p = j->logarithm ? x[i * j->inner + c] - m[c] - (real)s[c] : *p * (real)s[c];
    }
}

static void columns_backward(const job *j, const real *y, const real *gy, real *gx,
                             int64_t columns) {
  double s[TILE] = {0};
  for (int64_t i = 0; i < j->n; i++)
    for (int64_t c = 0; c < columns; c++)
      s[c] += (double)gy[i * j->inner + c] * (j->logarithm ? 1 : y[i * j->inner + c]);
  for (int64_t i = 0; i < j->n; i++)
    for (int64_t c = 0; c < columns; c++) {
      int64_t k = i * j->inner + c;
      gx[k] = j->logarithm ? gy[k] - cvl_exp(y[k]) * (real)s[c] : y[k] * (gy[k] - (real)s[c]);
    }
}

static void run(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t u = first; u < last; u++) {
    int64_t column = u % j->tiles * TILE, at = u / j->tiles * j->n * j->inner + column;
    int64_t columns = j->inner - column < TILE ? j->inner - column : TILE;
    if (j->gy == NULL && j->inner == 1)
      row_forward(j, j->x + at, j->out + at);
    else if (j->gy == NULL)
      columns_forward(j, j->x + at, j->out + at, columns);
    else if (j->inner == 1)
      row_backward(j, j->y + at, j->gy + at, j->out + at);
    else
      columns_backward(j, j->y + at, j->gy + at, j->out + at, columns);
  }
}

static int start(job *j, const cvl_args *a, cvl_err *e) {
  const softmax_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape;
  int axis = cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, x->ndim, "axis", e);
  int64_t outer = 1, columns;
  if (axis < 0) return -1;
  if (cvl_shape_count(x) == 0) return 0;
  j->n = x->dim[axis];
  j->inner = 1;
  for (int i = 0; i < axis; i++) outer *= x->dim[i];
  for (int i = axis + 1; i < x->ndim; i++) j->inner *= x->dim[i];
  j->tiles = (j->inner + TILE - 1) / TILE;
  columns = j->inner < TILE ? j->inner : TILE;
  cvl_parallel_range(outer * j->tiles, GRAIN / (j->n * columns) + 1, run, j);
  return 0;
}

static int softmax_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return start(&(job){.x = cvl_data(a->in[0]), .out = cvl_data(y)}, a, e);
}
static int softmax_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                            cvl_tensor *const *gx, cvl_err *e) {
  return start(&(job){.y = cvl_data(y), .gy = cvl_data(gy), .out = cvl_data(gx[0])}, a, e);
}
static int log_softmax_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return start(&(job){.x = cvl_data(a->in[0]), .out = cvl_data(y), .logarithm = true}, a, e);
}
static int log_softmax_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                                cvl_tensor *const *gx, cvl_err *e) {
  return start(
      &(job){.y = cvl_data(y), .gy = cvl_data(gy), .out = cvl_data(gx[0]), .logarithm = true}, a,
      e);
}
CVL_KERNELS(softmax, softmax_forward, softmax_backward)
CVL_KERNELS(log_softmax, log_softmax_forward, log_softmax_backward)

#elif defined CVL_DESCRIBE
#include "ops/call.h"

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const softmax_options *o = a->options;
  (void)y;
  return cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, a->in[0]->shape.ndim, "axis", e) < 0 ? -1
                                                                                              : 0;
}

static cvl_tensor *sum_along(cvl_scope *s, const cvl_args *a, cvl_tensor *x) {
  const softmax_options *o = a->options;
  return cvl_sum(s, x, &(cvl_ints){1, {o->axis == CVL_NO_AXIS ? -1 : o->axis}}, true);
}

static cvl_tensor *softmax_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                               int i) {
  (void)i;
  return cvl_mul(s, y, cvl_sub(s, gy, sum_along(s, a, cvl_mul(s, gy, y))));
}

static cvl_tensor *log_softmax_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                                   int i) {
  (void)i;
  return cvl_sub(s, gy, cvl_mul(s, cvl_exp_of(s, y), sum_along(s, a, gy)));
}

#define DESCRIBE(name)                                                                       \
  .n_in = 1, .floating = true, .drops = CVL_DROP_X0, .shape = shape, .vjp = name##_vjp,      \
  CVL_OPTIONS(softmax_options,                                                               \
              CVL_AXIS(softmax_options, axis, CVL_ANY, "the axis; the last when left out")), \
  CVL_SAMPLES(#name "(randn{2, 3})", #name "(randn{2, 3, 2}, 2)",                            \
              #name "(randn{3, 2}:transpose(1, 2), {axis = -1})", #name "(randn{2, 1})"),    \
  CVL_REJECTS({#name "(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"},   \
              {#name "(randn{2}:cast(\"int32\"))", "float32 or float64 expected, got int32"})

CVL_OP(softmax,
  .doc = "softmax(x, axis = -1) -> y\n"
         "y = e^x / sum of e^x along the axis: positive numbers whose sum is 1.",
  DESCRIBE(softmax));
CVL_OP(log_softmax,
  .doc = "log_softmax(x, axis = -1) -> y\n"
         "y = x - ln(sum of e^x along the axis), without overflow.",
  DESCRIBE(log_softmax));
#endif

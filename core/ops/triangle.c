/*
** tril(x, k = 0), triu(x, k = 0)       x {..., M, N} with 0 above (below) the k-th diagonal; k > 0
**                                      lies above the main one
*/
/* CVL_EVERY_DTYPE */
#include "ops/triangle.h"

#ifdef CVL_REAL
#include "base/pool.h"

enum { GRAIN = 16384 /* elements that are worth another thread */ };

typedef struct {
  const real *x;
  real *y;
  int64_t M, N, k;
  bool upper;
} job;

static void run(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t r = first; r < last; r++) {
    int64_t cut = r % j->M + j->k + !j->upper; /* elements before it are of the lower side */
    const real *x = j->x + r * j->N;
    real *y = j->y + r * j->N;
    for (int64_t c = 0; c < j->N; c++) y[c] = (c < cut) != j->upper ? x[c] : 0;
  }
}

static int cut(cvl_args *a, cvl_tensor *y, bool upper) {
  const cvl_triangle_options *o = a->options;
  const cvl_shape *s = &y->shape;
  job j = {.x = cvl_data(a->in[0]),
           .y = cvl_data(y),
           .M = s->dim[s->ndim - 2],
           .N = s->dim[s->ndim - 1],
           .upper = upper};
  j.k = o->k < -j.M ? -j.M : o->k > j.N ? j.N : o->k;
  if (cvl_count(y) > 0) cvl_parallel_range(cvl_count(y) / j.N, GRAIN / j.N + 1, run, &j);
  return 0;
}
static int tril(cvl_args *a, cvl_tensor *y, cvl_err *e) { return (void)e, cut(a, y, false); }
static int triu(cvl_args *a, cvl_tensor *y, cvl_err *e) { return (void)e, cut(a, y, true); }
CVL_KERNELS(tril, tril, NULL)
CVL_KERNELS(triu, triu, NULL)

#elif defined CVL_DESCRIBE
#include "ops/call.h"

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  if (y->shape.ndim >= 2) return cvl_shape_same(a, y, e);
  return cvl_fail(e, CVL_ESHAPE, 1, "at least 2 axes expected, got a tensor %s",
                  cvl_shape_text(&y->shape, text));
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  return (void)y, (void)i, cvl_call(s, a->op, a->options, 1, gy);
}

#define DESCRIBE(name)                                                                           \
  .n_in = 1, .drops = CVL_DROP_ALL, .shape = shape, .vjp = vjp,                                  \
  CVL_OPTIONS(cvl_triangle_options, CVL_INTEGER(cvl_triangle_options, k, 0, CVL_ANY,             \
                                                "which diagonal; above the main one when > 0")), \
  CVL_SAMPLES(#name "(randn{3, 3})", #name "(randn{2, 2, 3}, 1)",                                \
              #name "(randn{3, 2}:transpose(1, 2), {k = -1})"),                                  \
  CVL_REJECTS({#name "(randn{3})", "at least 2 axes expected, got a tensor {3}"})

CVL_OP(tril,
  .doc = "tril(x, k = 0) -> y\nx {..., M, N} with 0 above the k-th diagonal.",
  DESCRIBE(tril));
CVL_OP(triu,
  .doc = "triu(x, k = 0) -> y\nx {..., M, N} with 0 below the k-th diagonal.",
  DESCRIBE(triu));
#endif

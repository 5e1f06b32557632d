/* Flatten: {N, ...} -> {N, everything else}.  Reshape: {N, ...} -> {N, shape...}, one size may be -1. */
#include "ops/view.h"

#include "layers/layer.h"

typedef struct {
  cvl_ints shape;
} options;

/* The new shape for x; -1 becomes what fits. */
static int target(const cvl_shape *x, const cvl_ints *sizes, cvl_shape *y, cvl_err *e) {
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  cvl_shape asked = {.ndim = sizes->n + 1};
  int64_t rest = 1, given = 1;
  int open = 0;
  if (x->ndim < 1 || asked.ndim > CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 1, "expected x with a batch axis, got %s", cvl_shape_text(x, a));
  for (int i = 1; i < x->ndim; i++) rest *= x->dim[i];
  asked.dim[0] = x->dim[0];
  for (int i = 0; i < sizes->n; i++) {
    asked.dim[1 + i] = sizes->v[i];
    if (sizes->v[i] < 0)
      open = 1 + i;
    else if (__builtin_mul_overflow(given, sizes->v[i], &given))
      return cvl_fail(e, CVL_EARG, 0, "shape %s is too large", cvl_shape_text(&asked, b));
  }
  *y = asked;
  if (open > 0 && given > 0 && rest % given == 0) {
    y->dim[open] = rest / given;
    given *= y->dim[open];
  }
  if (given != rest || (open > 0 && y->dim[open] < 0))
    return cvl_fail(e, CVL_ESHAPE, 1, "x %s does not fill %s", cvl_shape_text(x, a),
                    cvl_shape_text(&asked, b));
  return 0;
}

static int build(cvl_layer *l, cvl_err *e) {
  const options *o = l->options;
  int open = 0;
  if (o->shape.n >= CVL_MAX_DIM)
    return cvl_fail(e, CVL_EARG, 0, "shape may have %d sizes at most, got %d", CVL_MAX_DIM - 1,
                    o->shape.n);
  for (int i = 0; i < o->shape.n; i++) open += o->shape.v[i] < 0;
  return open > 1 ? cvl_fail(e, CVL_EARG, 0, "only one size of shape may be -1") : 0;
}

static cvl_tensor *reshape(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  cvl_shape y;
  if (target(&in[0]->shape, &((const options *)l->options)->shape, &y, s->e) != 0) return NULL;
  return cvl_reshape(s, in[0], &y);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  (void)multiply_adds;
  return target(x, &((const options *)l->options)->shape, y, e);
}

static const cvl_ints everything = {.n = 1, .v = {-1}};

static cvl_tensor *flatten(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  cvl_shape y;
  (void)l;
  return target(&in[0]->shape, &everything, &y, s->e) != 0 ? NULL : cvl_reshape(s, in[0], &y);
}

static int flat_cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                     cvl_err *e) {
  (void)l, (void)multiply_adds;
  return target(x, &everything, y, e);
}

CVL_LAYER(Flatten, .doc = "Flatten{}\nx {N, ...} -> {N, count}: everything but the batch on one axis, channels fastest.",
  .n_in = 1, .forward = flatten, .cost = flat_cost);
CVL_LAYER(Reshape,
  .doc = "Reshape{shape}\nx {N, ...} -> {N, shape...}: the batch stays, one size may be -1.",
  .n_in = 1, .build = build, .forward = reshape, .cost = cost,
  CVL_OPTIONS(options, CVL_SHAPE(options, shape, "sizes without the batch's; -1: whatever fits")));

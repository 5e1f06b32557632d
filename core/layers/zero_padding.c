/* ZeroPadding1D, 2D, 3D: zeros around the spatial axes of x {N, (spatial), C}. */
#include "layers/layer.h"
#include "ops/pad.h"

typedef struct {
  cvl_padding padding;
} options;

static int axes_of(const cvl_layer *l) { return l->type->name[11] - '0'; }

static int build(cvl_layer *l, cvl_err *e) {
  const cvl_padding *p = &((const options *)l->options)->padding;
  if (p->kind != CVL_PAD_EXPLICIT)
    return cvl_fail(e, CVL_EARG, 0,
                    "padding must be a number, {h, w} or {{top, bottom}, {left, right}}");
  if (p->n != 1 && p->n != axes_of(l))
    return cvl_fail(e, CVL_EARG, 0, "padding must be given for %d spatial axes, got %d", axes_of(l),
                    p->n);
  return 0;
}

/* Before and after for every axis of x, the batch and the channels included. */
static cvl_padding pairs(const cvl_layer *l) {
  const cvl_padding *p = &((const options *)l->options)->padding;
  cvl_padding all = {.kind = CVL_PAD_EXPLICIT, .n = axes_of(l) + 2};
  for (int i = 0; i < axes_of(l); i++) {
    all.before[1 + i] = p->before[p->n == 1 ? 0 : i];
    all.after[1 + i] = p->after[p->n == 1 ? 0 : i];
  }
  return all;
}

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  cvl_window w;
  cvl_pad_options o = {.pads = pairs(l)};
  if (cvl_window_init(&w, &in[0]->shape, axes_of(l), s->e) != 0)
    return NULL; /* checks the number of axes */
  return cvl_call(s, &cvl_op_pad, &o, 1, in[0]);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  cvl_window w;
  cvl_padding p = pairs(l);
  (void)multiply_adds;
  if (cvl_window_init(&w, x, axes_of(l), e) != 0) return -1;
  for (int i = 0; i < p.n; i++)
    if (__builtin_add_overflow(y->dim[i], p.before[i], &y->dim[i]) ||
        __builtin_add_overflow(y->dim[i], p.after[i], &y->dim[i]))
      return cvl_fail(e, CVL_EARG, 0, "the padding is too large");
  return 0;
}

#define PADDING_OPTION                                                                           \
  .n_in = 1, .build = build, .forward = forward, .cost = cost,                                   \
  CVL_OPTIONS(options, {"padding", CVL_OPT_PADDING, offsetof(options, padding), 0, CVL_REQUIRED, \
                        NULL, "a number, {h, w} or {{top, bottom}, {left, right}}"})

CVL_LAYER(ZeroPadding1D, .doc = "ZeroPadding1D{padding}\nx {N, L, C} with `padding` zeros at both ends, or padding = {{before, after}}.", PADDING_OPTION);
CVL_LAYER(ZeroPadding2D, .doc = "ZeroPadding2D{padding}\nx {N, H, W, C} with zeros around: a number, {h, w} or {{top, bottom}, {left, right}}.", PADDING_OPTION);
CVL_LAYER(ZeroPadding3D, .doc = "ZeroPadding3D{padding}\nx {N, D, H, W, C} with zeros around: a number, {d, h, w} or pairs.", PADDING_OPTION);

/* UpSampling1D, UpSampling2D, UpSampling3D: each spatial axis `size` times as long; ops/upsample.c has the formulas. */
#include "ops/upsample.h"

#include "layers/layer.h"

static int axes_of(const cvl_layer *l) { return l->type->name[10] - '0'; }

static int build(cvl_layer *l, cvl_err *e) {
  cvl_window w;
  cvl_shape x = {.ndim = axes_of(l) + 2};
  if (cvl_window_init(&w, &x, axes_of(l), e) != 0) return -1;
  return cvl_window_spread(&w, &((const cvl_upsample_options *)l->options)->size, "size", w.stride,
                           e);
}

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  cvl_window w;
  if (cvl_window_init(&w, &in[0]->shape, axes_of(l), s->e) != 0) return NULL;
  return cvl_call(s, &cvl_op_upsample, l->options, 1, in[0]);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  cvl_window w;
  (void)multiply_adds;
  if (cvl_window_init(&w, x, axes_of(l), e) != 0) return -1;
  cvl_window_spread(&w, &((const cvl_upsample_options *)l->options)->size, "size", w.stride, NULL);
  for (int i = 0; i < w.axes; i++) y->dim[1 + i] *= w.stride[CVL_MAX_SPATIAL - w.axes + i];
  return 0;
}

#define O cvl_upsample_options
static const char *const modes[] = {"nearest", "bilinear", NULL};
#define UP                                                                                         \
  .n_in = 1, .build = build, .forward = forward, .cost = cost,                                     \
  CVL_OPTIONS(O,                                                                                   \
              CVL_SIZES(O, size, 2, "how many times as long, one number or one per spatial axis"), \
              CVL_CHOICE(O, mode, CVL_UPSAMPLE_NEAREST, modes,                                     \
                         "\"nearest\" or \"bilinear\" (linear on one axis)"))

CVL_LAYER(UpSampling1D, .doc = "UpSampling1D{size = 2, mode = \"nearest\"}\nx {N, L, C} -> {N, L*size, C}.", UP);
CVL_LAYER(UpSampling2D, .doc = "UpSampling2D{size = 2, mode = \"nearest\"}\nx {N, H, W, C} -> {N, H*size, W*size, C}.", UP);
CVL_LAYER(UpSampling3D, .doc = "UpSampling3D{size = 2, mode = \"nearest\"}\nx {N, D, H, W, C} -> {N, D*size, H*size, W*size, C}.", UP);

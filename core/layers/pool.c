/* MaxPool, AvgPool and their global forms: no parameters; ops/pool.c has formulas and sizes. x {N, (spatial), C} */
#include "ops/pool.h"

#include "layers/layer.h"

/* The number before the D of a layer's name. */
static int axes_of(const cvl_layer *l) {
  const char *p = l->type->name;
  while (*p < '0' || *p > '9') p++;
  return *p - '0';
}

/* Numbers of sizes and the like that do not fit are found now: on an x that every window fits into. */
static int build(cvl_layer *l, cvl_err *e) {
  cvl_window w;
  cvl_shape x = {.ndim = axes_of(l) + 2, .dim = {1, 1, 1, 1, 1}};
  for (int i = 0; i < axes_of(l); i++) x.dim[1 + i] = 1 << 28;
  return cvl_pool_window(&w, &x, axes_of(l), l->options, e);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  cvl_window w;
  (void)multiply_adds;
  if (cvl_pool_window(&w, x, axes_of(l), l->options, e) != 0) return -1;
  cvl_window_shape(&w, x->dim[0], x->dim[x->ndim - 1], y);
  return 0;
}

static void window(const cvl_layer *l, cvl_window *w) {
  const cvl_pool_options *o = l->options;
  cvl_shape x = {.ndim = axes_of(l) + 2};
  bool given = o->strides.n != 1 || o->strides.v[0] != 0;
  cvl_window_init(w, &x, axes_of(l), NULL);
  cvl_window_spread(w, &o->pool_size, "pool_size", w->filter, NULL);
  cvl_window_spread(w, given ? &o->strides : &o->pool_size, "strides", w->stride, NULL);
}

static const cvl_pool_options *pooling(const cvl_layer *l, int *axes, bool *max) {
  *axes = axes_of(l);
  *max = l->type->name[0] == 'M';
  return l->options;
}

static cvl_tensor *max_pool(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  static const cvl_op *const ops[] = {&cvl_op_max_pool1d, &cvl_op_max_pool2d, &cvl_op_max_pool3d};
  return cvl_call(s, ops[axes_of(l) - 1], l->options, 1, in[0]);
}

static cvl_tensor *avg_pool(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  static const cvl_op *const ops[] = {&cvl_op_avg_pool1d, &cvl_op_avg_pool2d, &cvl_op_avg_pool3d};
  return cvl_call(s, ops[axes_of(l) - 1], l->options, 1, in[0]);
}

static int check_axes(const cvl_layer *l, const cvl_shape *x, cvl_err *e) {
  cvl_window w;
  return cvl_window_init(&w, x, axes_of(l), e);
}

static int global_cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                       cvl_err *e) {
  (void)multiply_adds;
  if (check_axes(l, x, e) != 0) return -1;
  *y = (cvl_shape){.ndim = 2, .dim = {x->dim[0], x->dim[x->ndim - 1]}};
  return 0;
}

static cvl_tensor *global_avg(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  return check_axes(l, &in[0]->shape, s->e) != 0
             ? NULL
             : cvl_call(s, &cvl_op_global_avg_pool, NULL, 1, in[0]);
}

static cvl_tensor *global_max(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  return check_axes(l, &in[0]->shape, s->e) != 0
             ? NULL
             : cvl_call(s, &cvl_op_global_max_pool, NULL, 1, in[0]);
}

#define P cvl_pool_options
#define MAX_OPTIONS                                                                          \
  CVL_SIZES(P, pool_size, 2, "size of the window, one number or one per spatial axis"),      \
      CVL_SIZES(P, strides, 0, "step of the window; pool_size when left out"),               \
      CVL_PADDING(                                                                           \
          P, padding,                                                                        \
          "\"valid\" (none), \"same\", a number, {h, w} or {{top, bottom}, {left, right}}"), \
      CVL_FLAG(P, ceil_mode, 0, "round the output size up: the last window may hang over the end")
#define MAX                                                                         \
  .n_in = 1, .build = build, .forward = max_pool, .pooling = pooling, .cost = cost, \
  .window = window, CVL_OPTIONS(P, MAX_OPTIONS)
#define AVG                                                                         \
  .n_in = 1, .build = build, .forward = avg_pool, .pooling = pooling, .cost = cost, \
  .window = window,                                                                 \
  CVL_OPTIONS(P, MAX_OPTIONS,                                                       \
              CVL_FLAG(P, count_padding, 0, "divide by the places inside the padding too"))

#define SIZES "{pool_size = 2, strides = pool_size, padding = \"valid\", ceil_mode = false"

CVL_LAYER(MaxPool1D, .doc = "MaxPool1D" SIZES "}\nx {N, L, C} -> {N, P, C}: the largest of each window.", MAX);
CVL_LAYER(MaxPool2D, .doc = "MaxPool2D" SIZES "}\nx {N, H, W, C} -> {N, P, Q, C}: the largest of each window.", MAX);
CVL_LAYER(MaxPool3D, .doc = "MaxPool3D" SIZES "}\nx {N, D, H, W, C} -> {N, O, P, Q, C}: the largest of each window.", MAX);
CVL_LAYER(AvgPool1D, .doc = "AvgPool1D" SIZES ", count_padding = false}\nx {N, L, C} -> {N, P, C}: the mean of each window.", AVG);
CVL_LAYER(AvgPool2D, .doc = "AvgPool2D" SIZES ", count_padding = false}\nx {N, H, W, C} -> {N, P, Q, C}: the mean of each window.", AVG);
CVL_LAYER(AvgPool3D, .doc = "AvgPool3D" SIZES ", count_padding = false}\nx {N, D, H, W, C} -> {N, O, P, Q, C}: the mean of each window.", AVG);

#define GLOBAL_AVG .n_in = 1, .forward = global_avg, .cost = global_cost
#define GLOBAL_MAX .n_in = 1, .forward = global_max, .cost = global_cost

CVL_LAYER(GlobalAvgPool1D, .doc = "GlobalAvgPool1D{}\nx {N, L, C} -> {N, C}: the mean of each channel.", GLOBAL_AVG);
CVL_LAYER(GlobalAvgPool2D, .doc = "GlobalAvgPool2D{}\nx {N, H, W, C} -> {N, C}: the mean of each channel.", GLOBAL_AVG);
CVL_LAYER(GlobalAvgPool3D, .doc = "GlobalAvgPool3D{}\nx {N, D, H, W, C} -> {N, C}: the mean of each channel.", GLOBAL_AVG);
CVL_LAYER(GlobalMaxPool1D, .doc = "GlobalMaxPool1D{}\nx {N, L, C} -> {N, C}: the largest of each channel.", GLOBAL_MAX);
CVL_LAYER(GlobalMaxPool2D, .doc = "GlobalMaxPool2D{}\nx {N, H, W, C} -> {N, C}: the largest of each channel.", GLOBAL_MAX);
CVL_LAYER(GlobalMaxPool3D, .doc = "GlobalMaxPool3D{}\nx {N, D, H, W, C} -> {N, C}: the largest of each channel.", GLOBAL_MAX);

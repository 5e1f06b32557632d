/*
** y = conv1d, conv2d, conv3d(x, w, b; strides, padding, dilations, groups)      cross-correlation: no flip
**   x {N, (spatial), C}   w {(spatial), C/groups, K}   b {K} or nil   y {N, (spatial), K}
**   y[n, o, k] = b[k] + sum over taps f and channels c of k's group: x[n, o stride + f dilation - before, c] w[f, c, k]
**   Output sizes: ops/window.h, each axis with its own numbers.
** CPU: kernels/conv.h for float32; float64, meant for checks, runs kernels/reference.h.
**
** The three maps of a convolution are each other's derivatives, so that any order of gradient is made of them:
**   conv(x, w) -> y      conv_data(y, w) -> x      conv_filter(x, y) -> w
** Errors: CVL_ESHAPE when groups does not divide C and K, w does not fit x, or an output size is below 1.
*/
#include "ops/conv.h"

#include "kernels/reference.h"
#include "ops/conv_problem.h"

#ifndef CVL_DESCRIBE
#include "ops/bias_rows.h"

#ifdef CVL_DTYPE_F32
#define RUN(map, ...) cvl_conv_##map(__VA_ARGS__, e)
#else
#define RUN(map, ...) (cvl_reference_conv_##map(__VA_ARGS__), 0)
#endif

static int run_forward(const cvl_args *a, cvl_precision least, const cvl_tensor *x,
                       const cvl_tensor *w, const cvl_tensor *b, const cvl_tensor *y, cvl_err *e) {
  cvl_conv p;
  if (cvl_conv_problem(&p, a, a->options, least, &x->shape, &w->shape, e) != 0) return -1;
  const real *bias = b != NULL ? cvl_data(b) : NULL;
#ifdef CVL_DTYPE_F32
  return cvl_conv_forward(&p, cvl_data(x), cvl_data(w), &(cvl_epilogue){.shift = bias}, cvl_data(y),
                          e);
#else
  cvl_reference_conv_forward(&p, cvl_data(x), cvl_data(w), bias, cvl_data(y));
  return 0;
#endif
}

static int run_data(const cvl_args *a, cvl_precision least, const cvl_tensor *gy,
                    const cvl_tensor *w, bool add, const cvl_tensor *gx, cvl_err *e) {
  cvl_conv p;
  if (cvl_conv_problem(&p, a, a->options, least, &gx->shape, &w->shape, e) != 0) return -1;
  return RUN(backward_data, &p, cvl_data(gy), cvl_data(w), add, cvl_data(gx));
}

static int run_filter(const cvl_args *a, cvl_precision least, const cvl_tensor *x,
                      const cvl_tensor *gy, const cvl_tensor *gw, cvl_err *e) {
  cvl_conv p;
  if (cvl_conv_problem(&p, a, a->options, least, &x->shape, &gw->shape, e) != 0) return -1;
  return RUN(backward_filter, &p, cvl_data(x), cvl_data(gy), cvl_data(gw));
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run_forward(a, CVL_CONV_FORWARD, a->in[0], a->in[1], a->n_in > 2 ? a->in[2] : NULL, y, e);
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run_data(a, CVL_CONV_BACKWARD, gy, a->in[1], a->add & 1, gx[0], e) != 0)
    return -1;
  if (gx[1] != NULL && run_filter(a, CVL_CONV_BACKWARD, a->in[0], gy, gx[1], e) != 0) return -1;
  if (a->n_in > 2 && gx[2] != NULL) {
    int64_t K = cvl_count(gx[2]);
    return sum_bias(cvl_data(gy), K > 0 ? cvl_count(gy) / K : 0, K, cvl_data(gx[2]), e);
  }
  return 0;
}

CVL_KERNELS_ADDING(conv1d, forward, backward, 1 << 0)
CVL_KERNELS_ADDING(conv2d, forward, backward, 1 << 0)
CVL_KERNELS_ADDING(conv3d, forward, backward, 1 << 0)

static int data_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run_data(a, CVL_CONV_FORWARD, a->in[0], a->in[1], false, y, e);
}

static int data_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run_forward(a, CVL_CONV_BACKWARD, gy, a->in[1], NULL, gx[0], e) != 0)
    return -1;
  if (gx[1] != NULL && run_filter(a, CVL_CONV_BACKWARD, gy, a->in[0], gx[1], e) != 0) return -1;
  return 0;
}
CVL_KERNELS(conv_data, data_forward, data_backward)

static int filter_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run_filter(a, CVL_CONV_FORWARD, a->in[0], a->in[1], y, e);
}

static int filter_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                           cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run_data(a, CVL_CONV_BACKWARD, a->in[1], gy, false, gx[0], e) != 0)
    return -1;
  if (gx[1] != NULL && run_forward(a, CVL_CONV_BACKWARD, a->in[0], gy, NULL, gx[1], e) != 0)
    return -1;
  return 0;
}
CVL_KERNELS(conv_filter, filter_forward, filter_backward)

#else
#include <inttypes.h>

#include "ops/call.h"

static int check_types(const cvl_args *a, cvl_err *e) {
  for (int i = 1; i < a->n_in; i++)
    if (a->in[i] != NULL && a->in[i]->dtype != a->in[0]->dtype)
      return cvl_fail(e, CVL_EDTYPE, i + 1, "expected %s, the type of x, got %s",
                      cvl_dtype_name(a->in[0]->dtype), cvl_dtype_name(a->in[i]->dtype));
  return 0;
}

/* The op's own number of spatial axes is in its name. */
static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape, *w = &a->in[1]->shape;
  const cvl_tensor *b = a->n_in > 2 ? a->in[2] : NULL;
  char text[CVL_SHAPE_TEXT];
  cvl_window g;
  int axes = a->op->name[4] - '0';
  if (x->ndim != axes + 2) return cvl_window_init(&g, x, axes, e); /* has the message */
  if (check_types(a, e) != 0 || cvl_conv_window(&g, x, w, a->options, e) != 0) return -1;
  if (b != NULL && (b->shape.ndim != 1 || b->shape.dim[0] != w->dim[axes + 1]))
    return cvl_fail(e, CVL_ESHAPE, 3, "expected b {%" PRId64 "}, one for each filter, got %s",
                    w->dim[axes + 1], cvl_shape_text(&b->shape, text));
  cvl_window_shape(&g, x->dim[0], w->dim[axes + 1], &y->shape);
  return 0;
}

/* conv_data(gy, w) -> gx, and conv_filter(x, gy) -> gw: both are made for shapes that conv has checked. */
static int data_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_conv_options *o = a->options;
  const cvl_shape *gy = &a->in[0]->shape, *w = &a->in[1]->shape;
  cvl_window g;
  int axes = gy->ndim - 2;
  char text[CVL_SHAPE_TEXT];
  y->shape.ndim = gy->ndim;
  y->shape.dim[0] = gy->dim[0];
  for (int i = 0; i < axes; i++) y->shape.dim[1 + i] = o->size.v[i];
  y->shape.dim[axes + 1] = w->dim[axes] * o->groups;
  if (check_types(a, e) != 0 || cvl_conv_window(&g, &y->shape, w, o, e) != 0) return -1;
  for (int i = 0; i < axes; i++)
    if (g.out[CVL_MAX_SPATIAL - axes + i] != gy->dim[1 + i] ||
        gy->dim[axes + 1] != w->dim[axes + 1])
      return cvl_fail(e, CVL_ESHAPE, 1, "gy %s does not fit", cvl_shape_text(gy, text));
  return 0;
}

static int filter_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_conv_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape, *gy = &a->in[1]->shape;
  cvl_window g;
  int axes = x->ndim - 2;
  y->shape.ndim = x->ndim;
  for (int i = 0; i < axes; i++) y->shape.dim[i] = o->size.v[i];
  y->shape.dim[axes] = x->dim[axes + 1] / o->groups;
  y->shape.dim[axes + 1] = gy->dim[axes + 1];
  return check_types(a, e) != 0 ? -1 : cvl_conv_window(&g, x, &y->shape, o, e);
}

static cvl_tensor *call_conv(cvl_scope *s, cvl_tensor *x, cvl_tensor *w,
                             const cvl_conv_options *o) {
  static const cvl_op *const ops[] = {&cvl_op_conv1d, &cvl_op_conv2d, &cvl_op_conv3d};
  if (x == NULL || w == NULL) return NULL;
  return cvl_call(s, ops[x->shape.ndim - 3], o, 3, x, w, NULL);
}

/* The same geometry with `size` set to the spatial sizes of `shape`, which start at `from`. */
static cvl_conv_options sized(const cvl_conv_options *o, const cvl_shape *shape, int from) {
  cvl_conv_options r = *o;
  r.size.n = shape->ndim - 2;
  for (int i = 0; i < r.size.n; i++) r.size.v[i] = shape->dim[from + i];
  return r;
}

static cvl_tensor *call_data(cvl_scope *s, cvl_tensor *gy, cvl_tensor *w, const cvl_shape *x,
                             const cvl_conv_options *o) {
  cvl_conv_options r = sized(o, x, 1);
  return cvl_call(s, &cvl_op_conv_data, &r, 2, gy, w);
}

static cvl_tensor *call_filter(cvl_scope *s, cvl_tensor *x, cvl_tensor *gy, const cvl_shape *w,
                               const cvl_conv_options *o) {
  cvl_conv_options r = sized(o, w, 0);
  return cvl_call(s, &cvl_op_conv_filter, &r, 2, x, gy);
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  cvl_ints all_but_last = {0};
  (void)y;
  if (i == 0) return call_data(s, gy, a->in[1], &a->in[0]->shape, a->options);
  if (i == 1) return call_filter(s, a->in[0], gy, &a->in[1]->shape, a->options);
  for (int axis = 0; axis < gy->shape.ndim - 1; axis++) all_but_last.v[all_but_last.n++] = axis;
  return cvl_sum(s, gy, &all_but_last, false);
}

static cvl_tensor *data_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  (void)y;
  return i == 0 ? call_conv(s, gy, a->in[1], a->options)
                : call_filter(s, gy, a->in[0], &a->in[1]->shape, a->options);
}

static cvl_tensor *filter_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                              int i) {
  (void)y;
  return i == 0 ? call_data(s, a->in[1], gy, &a->in[0]->shape, a->options)
                : call_conv(s, a->in[0], gy, a->options);
}

#define STRIDES \
  CVL_SIZES(cvl_conv_options, strides, 1, "step of the filter, one number or one per spatial axis")
#define PADDING                  \
  CVL_PADDING(                   \
      cvl_conv_options, padding, \
      "\"valid\" (none), \"same\" (TensorFlow's: size in/stride), a number, {h, w} or {{top, bottom}, {left, right}}")
#define DILATION CVL_SIZES(cvl_conv_options, dilations, 1, "distance between the filter's taps")
#define GROUPS                                           \
  CVL_INTEGER(cvl_conv_options, groups, 1, CVL_POSITIVE, \
              "input and output channels in separate groups")

#define CONV                                                                                       \
  .n_in = 3, .n_optional = 1, .floating = true, .drops = CVL_DROP_X2 | CVL_DROP_Y, .shape = shape, \
  .vjp = vjp, CVL_OPTIONS(cvl_conv_options, STRIDES, PADDING, DILATION, GROUPS)
#define INTERNAL                                                      \
  .n_in = 2, .internal = true, .floating = true, .drops = CVL_DROP_Y, \
  CVL_OPTIONS(cvl_conv_options, STRIDES, PADDING, DILATION, GROUPS,   \
              CVL_SHAPE(cvl_conv_options, size, "spatial sizes of the result"))

#define DOC(name, x, w, y)                                                                                                \
  name                                                                                                                    \
      "(x, w, b, {strides = 1, padding = \"valid\", dilations = 1, groups = 1}) -> y\n"                                   \
      "Cross-correlation (the filter is not flipped), channels last. x " x ", w " w                                       \
      ", b {K} or nil, y " y ". Each "                                                                                    \
      "spatial size becomes floor((in + before + after - (dilation*(filter - 1) + 1)) / stride) + 1; padding = \"same\" " \
      "is TensorFlow's rule, ceil(in / stride). Sizes: Dumoulin & Visin 2016, arXiv:1603.07285."

CVL_OP(conv1d,
  .doc = DOC("conv1d", "{N, L, C}", "{R, C/groups, K}", "{N, P, K}"), CONV,
  CVL_SAMPLES("conv1d(randn{2, 7, 2}, randn{3, 2, 3}, randn{3})",
              "conv1d(randn{1, 8, 4}, randn{2, 2, 2}, nil, {strides = 2, dilations = 3, groups = 2, padding = \"same\"})",
              "conv1d(randn{3, 1, 6}:transpose(2, 3), randn{2, 1, 1}, nil, {padding = {{2, 0}}})"),
  CVL_REJECTS({"conv1d(randn{7, 2}, randn{3, 2, 3})", "expected x {N, length, C}, got {7, 2}"},
              {"conv1d(randn{1, 4, 2}, randn{5, 2, 3})", "floor((4 + 0 + 0 - (1*(5 - 1) + 1))/1) + 1 < 1"}));

CVL_OP(conv2d,
  .doc = DOC("conv2d", "{N, H, W, C}", "{R, S, C/groups, K}", "{N, P, Q, K}"), CONV,
  CVL_SAMPLES("conv2d(randn{2, 4, 5, 3}, randn{3, 2, 3, 2}, randn{2})",
              "conv2d(randn{1, 5, 4, 2}, randn{3, 3, 2, 2}, nil, {strides = {2, 1}, padding = \"same\"})",
              "conv2d(randn{1, 6, 7, 4}, randn{2, 3, 1, 8}, randn{8}, {groups = 4, dilations = {3, 2}, padding = 1})",
              "conv2d(randn{1, 3, 5, 2}:transpose(2, 3), randn{1, 1, 2, 3}, nil, {padding = {{0, 1}, {2, 0}}, strides = 2})"),
  CVL_REJECTS({"conv2d(randn{4, 4, 3}, randn{3, 3, 3, 2})", "expected x {N, height, width, C}, got {4, 4, 3}"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 2, 2})", "expected w {3, 3, 3, 2} for 3 channels in 1 group, got {3, 3, 2, 2}"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 3, 2}, randn{3})", "expected b {2}, one for each filter, got {3}"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 1, 2}, nil, {groups = 3})", "groups 3 must divide the 3 channels of x and the 2 filters"},
              {"conv2d(randn{1, 4, 4, 3}, randn{5, 1, 3, 2})", "height: floor((4 + 0 + 0 - (1*(5 - 1) + 1))/1) + 1 < 1"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 3, 2}:cast(\"float64\"))", "expected float32, the type of x, got float64"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 3, 2}, nil, {strides = 0})", "strides"},
              {"conv2d(randn{1, 4, 4, 3}, randn{3, 3, 3, 2}, nil, {strides = {1, 1, 1}})", "strides must be one number or 2"}));

CVL_OP(conv3d,
  .doc = DOC("conv3d", "{N, D, H, W, C}", "{T, R, S, C/groups, K}", "{N, O, P, Q, K}"), CONV,
  CVL_SAMPLES("conv3d(randn{1, 3, 4, 3, 2}, randn{2, 2, 2, 2, 2}, randn{2}, {padding = \"same\", strides = {1, 2, 1}})"),
  CVL_REJECTS({"conv3d(randn{1, 4, 4, 3}, randn{1, 1, 1, 3, 2})", "expected x {N, depth, height, width, C}, got {1, 4, 4, 3}"}));

CVL_OP(conv_data,
  .doc = "conv_data(gy, w, {size, ...}) -> gx\nThe gradient of a convolution in its input.",
  INTERNAL, .shape = data_shape, .vjp = data_vjp);

CVL_OP(conv_filter,
  .doc = "conv_filter(x, gy, {size, ...}) -> gw\nThe gradient of a convolution in its filter.",
  INTERNAL, .shape = filter_shape, .vjp = filter_vjp);
#endif

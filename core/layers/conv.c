/*
** Conv1D, Conv2D, Conv3D, DepthwiseConv2D: y = activation(conv(x, filter) + bias)
**   x {N, (spatial), C}   filter {(spatial), C/groups, K}   bias {K}   y {N, (spatial), K}      sizes: ops/window.h
**   DepthwiseConv2D: filter {h, w, C, M}: each channel has M filters of its own, y {N, P, Q, C M}
** The filter starts as glorot_uniform, the bias with zeros.
*/
#include <inttypes.h>
#include <string.h>

#include "autograd/autograd.h"
#include "layers/layer.h"
#include "ops/conv_batch_norm.h"
#include "ops/conv_norm.h"
#include "ops/conv_pool.h"
#include "ops/view.h"

typedef struct {
  cvl_ints filter_shape, strides;
  cvl_padding padding;
  cvl_ints dilations;
  int64_t groups;
  bool use_bias;
  int activation, filter_initializer, bias_initializer;
} options;

static cvl_conv_options conv_options(const options *o) {
  return (cvl_conv_options){
      .strides = o->strides, .padding = o->padding, .dilations = o->dilations, .groups = o->groups};
}

/* Spatial axes of the layer: the digit in its name, Conv2D. */
static int axes_of(const cvl_layer *l) { return l->type->name[4] - '0'; }

static int filter_of(const cvl_layer *l, int axes, cvl_shape *f, cvl_err *e) {
  const options *o = l->options;
  char text[CVL_SHAPE_TEXT];
  static const char *const wanted[] = {"", "{length, in, out}", "{height, width, in, out}",
                                       "{depth, height, width, in, out}"};
  f->ndim = o->filter_shape.n;
  for (int i = 0; i < f->ndim; i++) f->dim[i] = o->filter_shape.v[i];
  if (f->ndim != axes + 2)
    return cvl_fail(e, CVL_EARG, 0, "filter_shape must be %s, got %s", wanted[axes],
                    cvl_shape_text(f, text));
  for (int i = 0; i < f->ndim; i++)
    if (f->dim[i] < 1)
      return cvl_fail(e, CVL_EARG, 0, "filter_shape must be positive, got %s",
                      cvl_shape_text(f, text));
  return 0;
}

/* Wrong numbers of strides and the like are found now: by the sizes of an x that the filter just covers. */
static int try_out(const cvl_shape *filter, const cvl_conv_options *o, cvl_err *e) {
  cvl_window w;
  cvl_shape x = {.ndim = filter->ndim, .dim = {1}};
  for (int i = 0; i < filter->ndim - 2; i++) x.dim[1 + i] = 1 << 28;
  x.dim[filter->ndim - 1] = filter->dim[filter->ndim - 2] * o->groups;
  return cvl_conv_window(&w, &x, filter, o, e);
}

static double taps(const cvl_shape *filter) {
  double n = 1;
  for (int i = 0; i < filter->ndim - 2; i++) n *= (double)filter->dim[i];
  return n;
}

static int declare_bias(cvl_layer *l, int64_t K, cvl_err *e) {
  const options *o = l->options;
  cvl_shape shape = {.ndim = 1, .dim = {K}};
  if (!o->use_bias) return 0;
  return cvl_declare_parameter(l, "bias", &shape, (cvl_initializer)o->bias_initializer,
                               (cvl_fans){(double)K, (double)K}, e);
}

static int build(cvl_layer *l, cvl_err *e) {
  const options *o = l->options;
  cvl_conv_options c = conv_options(o);
  cvl_shape f;
  int axes = axes_of(l);
  if (filter_of(l, axes, &f, e) != 0 || try_out(&f, &c, e) != 0 ||
      declare_bias(l, f.dim[axes + 1], e) != 0)
    return -1;
  return cvl_declare_parameter(
      l, "filter", &f, (cvl_initializer)o->filter_initializer,
      (cvl_fans){taps(&f) * (double)f.dim[axes], taps(&f) * (double)f.dim[axes + 1]}, e);
}

/* In inference bias and ReLU are done to the results at hand, where there is a kernel for that. NULL: there is none. */
static cvl_tensor *forward_relu(cvl_scope *s, const cvl_layer *l, const cvl_conv_options *conv,
                                cvl_tensor *x) {
  const options *o = l->options;
  cvl_conv_norm_options c = {.conv = *conv, .activation = CVL_NORM_RELU};
  if (cvl_grad_enabled() || strcmp(cvl_activations[o->activation], "relu") != 0 ||
      cvl_op_kernels(&cvl_op_conv_norm, x, NULL) == NULL)
    return NULL;
  return cvl_call(s, &cvl_op_conv_norm, &c, 8, x, cvl_slot_tensor(l, "filter"),
                  cvl_slot_tensor(l, "bias"), NULL, NULL, NULL, NULL, NULL);
}

/* With a pooling behind it, or with its own ReLU alone where `pool` is NULL, in one pass where there is one that is faster. */
static cvl_tensor *forward_pool(cvl_scope *s, cvl_layer *l, cvl_tensor *x, const cvl_layer *pool) {
  const options *o = l->options;
  bool relu = strcmp(cvl_activations[o->activation], "relu") == 0, max = false;
  int axes = axes_of(l);
  const cvl_pool_options *p = pool != NULL ? pool->type->pooling(pool, &axes, &max) : NULL;
  cvl_conv_options conv = conv_options(o);
  cvl_conv_pool_options c;
  cvl_tensor *filter = cvl_slot_tensor(l, "filter");
  if ((!relu && o->activation != 0) || axes != axes_of(l) ||
      !cvl_conv_pool_options_for(&c, x, filter, &conv, relu, max, p))
    return NULL;
  return cvl_call(s, &cvl_op_conv_pool, &c, 3, x, filter, cvl_slot_tensor(l, "bias"));
}

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  static const cvl_op *const ops[] = {&cvl_op_conv1d, &cvl_op_conv2d, &cvl_op_conv3d};
  const options *o = l->options;
  cvl_conv_options c = conv_options(o);
  cvl_tensor *filter = cvl_slot_tensor(l, "filter"), *y;
  int axes = axes_of(l);
  if (cvl_check_channels(&in[0]->shape, axes + 2, filter->shape.dim[axes] * o->groups, s->e) != 0)
    return NULL;
  if ((y = forward_relu(s, l, &c, in[0])) != NULL || cvl_scope_failed(s)) return y;
  if (o->activation != 0 && (y = forward_pool(s, l, in[0], NULL)) != NULL) return y;
  if (cvl_scope_failed(s)) return NULL;
  return cvl_activate(s, o->activation,
                      cvl_call(s, ops[axes - 1], &c, 3, in[0], filter, cvl_slot_tensor(l, "bias")));
}

/* The statistics must be for as many channels as there are filters; otherwise the norm's own forward says so. */
static cvl_tensor *forward_norm(cvl_scope *s, cvl_layer *l, cvl_tensor *x,
                                const cvl_statistics *norm) {
  const options *o = l->options;
  const int activation = norm->relu ? CVL_NORM_RELU : CVL_NORM_IDENTITY;
  const cvl_conv_norm_options given = {conv_options(o), norm->epsilon, activation};
  const cvl_conv_batch_norm_options batch = {conv_options(o),
                                             {norm->momentum, norm->epsilon, true, activation}};
  const cvl_op *op = norm->training ? &cvl_op_conv_batch_norm : &cvl_op_conv_norm;
  cvl_tensor *filter = cvl_slot_tensor(l, "filter");
  int axes = axes_of(l);
  if (o->activation != 0 || norm->scale->shape.dim[0] != filter->shape.dim[axes + 1] ||
      cvl_op_kernels(op, x, NULL) == NULL)
    return NULL;
  if (cvl_check_channels(&x->shape, axes + 2, filter->shape.dim[axes] * o->groups, s->e) != 0)
    return NULL;
  return cvl_call(s, op, norm->training ? (const void *)&batch : &given, 8, x, filter,
                  cvl_slot_tensor(l, "bias"), norm->scale, norm->offset, norm->mean, norm->var,
                  norm->residual);
}

/* Per output element: the filter's taps times its input channels. */
static int count(const cvl_shape *x, const cvl_shape *filter, const cvl_conv_options *c,
                 cvl_shape *y, int64_t *multiply_adds, cvl_err *e) {
  cvl_window w;
  int axes = filter->ndim - 2;
  if (cvl_check_channels(x, axes + 2, filter->dim[axes] * c->groups, e) != 0) return -1;
  if (cvl_conv_window(&w, x, filter, c, e) != 0) return -1;
  cvl_window_shape(&w, x->dim[0], filter->dim[axes + 1], y);
  return cvl_count_products(y, filter->dim, axes + 1, multiply_adds, e);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  cvl_conv_options c = conv_options(l->options);
  return count(x, &cvl_slot_tensor(l, "filter")->shape, &c, y, multiply_adds, e);
}

static void window(const cvl_layer *l, cvl_window *w) {
  const options *o = l->options;
  cvl_shape x = {.ndim = o->filter_shape.n};
  cvl_window_init(w, &x, o->filter_shape.n - 2, NULL);
  for (int i = 0; i < w->axes; i++) w->filter[CVL_MAX_SPATIAL - w->axes + i] = o->filter_shape.v[i];
  cvl_window_spread(w, &o->strides, "strides", w->stride, NULL); /* build() has checked them */
  cvl_window_spread(w, &o->dilations, "dilations", w->dilation, NULL);
}

/* --------------------------------------------------------------------------------------------------------- depthwise */

/* The same numbers as {h, w, 1, C M} with C groups: filter k belongs to channel k / M. */
static cvl_shape grouped(const cvl_shape *f) {
  return (cvl_shape){.ndim = 4, .dim = {f->dim[0], f->dim[1], 1, f->dim[2] * f->dim[3]}};
}

static int depthwise_build(cvl_layer *l, cvl_err *e) {
  options *o = l->options;
  cvl_conv_options c;
  cvl_shape f, g;
  if (filter_of(l, 2, &f, e) != 0) return -1;
  o->groups = f.dim[2];
  c = conv_options(o);
  g = grouped(&f);
  if (try_out(&g, &c, e) != 0 || declare_bias(l, g.dim[3], e) != 0) return -1;
  return cvl_declare_parameter(l, "filter", &f, (cvl_initializer)o->filter_initializer,
                               (cvl_fans){taps(&f), taps(&f) * (double)f.dim[3]}, e);
}

static cvl_tensor *depthwise(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  const options *o = l->options;
  cvl_conv_options c = conv_options(o);
  cvl_tensor *filter = cvl_slot_tensor(l, "filter");
  cvl_shape g = grouped(&filter->shape);
  if (cvl_check_channels(&in[0]->shape, 4, o->groups, s->e) != 0) return NULL;
  filter = cvl_reshape(s, filter, &g);
  return cvl_activate(
      s, o->activation,
      cvl_call(s, &cvl_op_conv2d, &c, 3, in[0], filter, cvl_slot_tensor(l, "bias")));
}

static int depthwise_cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y,
                          int64_t *multiply_adds, cvl_err *e) {
  cvl_conv_options c = conv_options(l->options);
  cvl_shape g = grouped(&cvl_slot_tensor(l, "filter")->shape);
  return count(x, &g, &c, y, multiply_adds, e);
}

#define FILTER                     \
  CVL_SHAPE(options, filter_shape, \
            "sizes of the filter, then input channels (of a group) and filters")
#define STRIDES \
  CVL_SIZES(options, strides, 1, "step of the filter, one number or one per spatial axis")
#define PADDING         \
  CVL_PADDING(          \
      options, padding, \
      "\"valid\" (none), \"same\" (TensorFlow's: size in/stride), a number, {h, w} or {{top, bottom}, {left, right}}")
#define DILATIONS CVL_SIZES(options, dilations, 1, "distance between the filter's taps")
#define GROUPS \
  CVL_INTEGER(options, groups, 1, CVL_POSITIVE, "input and output channels in separate groups")
#define REST                                                                       \
  CVL_USE_BIAS(options), CVL_ACTIVATION(options), CVL_FILTER_INITIALIZER(options), \
      CVL_BIAS_INITIALIZER(options)

#define CONV                                                                   \
  .n_in = 1, .build = build, .forward = forward, .forward_norm = forward_norm, \
  .forward_pool = forward_pool, .cost = cost, .window = window,                \
  CVL_OPTIONS(options, FILTER, STRIDES, PADDING, DILATIONS, GROUPS, REST)

CVL_LAYER(Conv1D,
  .doc = "Conv1D{filter_shape = {length, in, out}, strides = 1, padding = \"valid\", dilations = 1, groups = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, L, in} -> {N, P, out}: a convolution (cross-correlation) along one axis, a bias, an activation.",
  CONV);
CVL_LAYER(Conv2D,
  .doc = "Conv2D{filter_shape = {height, width, in, out}, strides = 1, padding = \"valid\", dilations = 1, groups = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, H, W, in} -> {N, P, Q, out}: a convolution (cross-correlation) of images, a bias, an activation. With groups, `in` "
         "is the number of channels in a group.",
  CONV);
CVL_LAYER(Conv3D,
  .doc = "Conv3D{filter_shape = {depth, height, width, in, out}, strides = 1, padding = \"valid\", dilations = 1, groups = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, D, H, W, in} -> {N, O, P, Q, out}: a convolution (cross-correlation) of volumes or videos, a bias, an activation.",
  CONV);
CVL_LAYER(DepthwiseConv2D,
  .doc = "DepthwiseConv2D{filter_shape = {height, width, in, multiplier}, strides = 1, padding = \"valid\", dilations = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, H, W, in} -> {N, P, Q, in*multiplier}: each channel is convolved with filters of its own.",
  .n_in = 1, .build = depthwise_build, .forward = depthwise, .cost = depthwise_cost, .window = window,
  CVL_OPTIONS(options, FILTER, STRIDES, PADDING, DILATIONS, REST));

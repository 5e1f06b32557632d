/*
** TransposedConv1D, TransposedConv2D: y = activation(transposed_conv(x, filter) + bias)
**   x {N, (spatial), C}   filter {(spatial), K, C}: out before in   bias {K}   y {N, (spatial), K}
*/
#include "layers/layer.h"
#include "ops/conv.h"

typedef struct {
  cvl_ints filter_shape, strides;
  cvl_padding padding;
  cvl_ints output_padding, dilations;
  bool use_bias;
  int activation, filter_initializer, bias_initializer;
} options;

static cvl_transposed_conv_options conv_options(const options *o) {
  return (cvl_transposed_conv_options){.strides = o->strides,
                                       .padding = o->padding,
                                       .output_padding = o->output_padding,
                                       .dilations = o->dilations};
}

static int axes_of(const cvl_layer *l) { return l->type->name[14] - '0'; } /* TransposedConv1D */

static int build(cvl_layer *l, cvl_err *e) {
  const options *o = l->options;
  cvl_transposed_conv_options t = conv_options(o);
  static const char *const wanted[] = {"", "{length, out, in}", "{height, width, out, in}"};
  char text[CVL_SHAPE_TEXT];
  cvl_shape f = {.ndim = o->filter_shape.n}, x = {.ndim = o->filter_shape.n, .dim = {1}},
            bias = {.ndim = 1};
  cvl_window w;
  double taps = 1;
  int axes = axes_of(l);
  for (int i = 0; i < f.ndim; i++) f.dim[i] = o->filter_shape.v[i];
  if (f.ndim != axes + 2)
    return cvl_fail(e, CVL_EARG, 0, "filter_shape must be %s, got %s", wanted[axes],
                    cvl_shape_text(&f, text));
  for (int i = 0; i < f.ndim; i++)
    if (f.dim[i] < 1)
      return cvl_fail(e, CVL_EARG, 0, "filter_shape must be positive, got %s",
                      cvl_shape_text(&f, text));
  for (int i = 0; i < axes; i++) {
    x.dim[1 + i] = 1 << 28; /* the options are tried on an x that leaves something of any padding */
    taps *= (double)f.dim[i];
  }
  x.dim[axes + 1] = f.dim[axes + 1];
  if (cvl_transposed_conv_window(&w, &x, &f, &t, e) != 0) return -1;
  bias.dim[0] = f.dim[axes];
  if (o->use_bias &&
      cvl_declare_parameter(l, "bias", &bias, (cvl_initializer)o->bias_initializer,
                            (cvl_fans){(double)f.dim[axes], (double)f.dim[axes]}, e) != 0)
    return -1;
  return cvl_declare_parameter(
      l, "filter", &f, (cvl_initializer)o->filter_initializer,
      (cvl_fans){taps * (double)f.dim[axes + 1], taps * (double)f.dim[axes]}, e);
}

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  static const cvl_op *const ops[] = {&cvl_op_transposed_conv1d, &cvl_op_transposed_conv2d};
  const options *o = l->options;
  cvl_transposed_conv_options t = conv_options(o);
  cvl_tensor *filter = cvl_slot_tensor(l, "filter");
  int axes = axes_of(l);
  if (cvl_check_channels(&in[0]->shape, axes + 2, filter->shape.dim[axes + 1], s->e) != 0)
    return NULL;
  return cvl_activate(s, o->activation,
                      cvl_call(s, ops[axes - 1], &t, 3, in[0], filter, cvl_slot_tensor(l, "bias")));
}

/* Per input element: the filter's taps times its output channels. */
static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  cvl_transposed_conv_options t = conv_options(l->options);
  const cvl_shape *f = &cvl_slot_tensor(l, "filter")->shape;
  cvl_window w;
  int axes = axes_of(l);
  if (cvl_check_channels(x, axes + 2, f->dim[axes + 1], e) != 0) return -1;
  if (cvl_transposed_conv_window(&w, x, f, &t, e) != 0) return -1;
  cvl_window_shape(&w, x->dim[0], f->dim[axes], y);
  return cvl_count_products(x, f->dim, axes + 1, multiply_adds, e);
}

#define TRANSPOSED                                                                              \
  .n_in = 1, .build = build, .forward = forward, .cost = cost,                                  \
  CVL_OPTIONS(                                                                                  \
      options,                                                                                  \
      CVL_SHAPE(options, filter_shape, "sizes of the filter, then filters and input channels"), \
      CVL_SIZES(options, strides, 1, "distance between the places of two inputs"),              \
      CVL_PADDING(options, padding, "what to cut from the result; \"same\" gives in*stride"),   \
      {"output_padding", CVL_OPT_SIZES, offsetof(options, output_padding), 0, CVL_NOT_NEGATIVE, \
       NULL, "added to the end of the result, smaller than the stride"},                        \
      CVL_SIZES(options, dilations, 1, "distance between the filter's taps"),                   \
      CVL_USE_BIAS(options), CVL_ACTIVATION(options), CVL_FILTER_INITIALIZER(options),          \
      CVL_BIAS_INITIALIZER(options))

CVL_LAYER(TransposedConv1D,
  .doc = "TransposedConv1D{filter_shape = {length, out, in}, strides = 1, padding = \"valid\", output_padding = 0, dilations = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, L, in} -> {N, P, out}, P = stride*(L - 1) + dilation*(length - 1) + 1 - padding + output_padding, or L*stride with \"same\".",
  TRANSPOSED);
CVL_LAYER(TransposedConv2D,
  .doc = "TransposedConv2D{filter_shape = {height, width, out, in}, strides = 1, padding = \"valid\", output_padding = 0, dilations = 1, use_bias = true, activation = \"identity\"}\n"
         "x {N, H, W, in} -> {N, P, Q, out}, P = stride*(H - 1) + dilation*(height - 1) + 1 - padding + output_padding, or H*stride with \"same\".",
  TRANSPOSED);

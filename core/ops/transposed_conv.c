/*
** y = transposed_conv1d, transposed_conv2d(x, w, b; strides, padding, output_padding, dilations)
**   x {N, (spatial), C}   w {(spatial), K, C}: out, in   b {K} or nil   y {N, (spatial), K}
**   o = stride (i - 1) + dilation (filter - 1) + 1 - before - after + output_padding; "same" gives i stride
** The adjoint of a convolution of y with w and the same strides, padding and dilations: x[i] is spread over the places
** that the convolution would have read for it. Dumoulin & Visin 2016, arXiv:1603.07285, chapter 4.
*/
#include "ops/conv.h"

#ifdef CVL_DESCRIBE
#include <inttypes.h>

#include "ops/call.h"

int cvl_transposed_conv_window(cvl_window *g, const cvl_shape *x, const cvl_shape *w,
                               const cvl_transposed_conv_options *o, cvl_err *e) {
  char text[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
  int axes = x->ndim - 2;
  int64_t more[CVL_MAX_SPATIAL] = {0};
  if (cvl_window_init(g, x, axes, e) != 0) return -1;
  if (w->ndim != axes + 2)
    return cvl_fail(e, CVL_ESHAPE, 2,
                    "expected w with %d spatial axes, filters and channels, got %s", axes,
                    cvl_shape_text(w, text));
  if (w->dim[axes + 1] != x->dim[axes + 1]) {
    cvl_shape want = *w;
    want.dim[axes + 1] = x->dim[axes + 1];
    return cvl_fail(e, CVL_ESHAPE, 2, "expected w %s (out, in) for %" PRId64 " channels, got %s",
                    cvl_shape_text(&want, text), x->dim[axes + 1], cvl_shape_text(w, got));
  }
  for (int i = 0; i < axes; i++) g->filter[CVL_MAX_SPATIAL - axes + i] = w->dim[i];
  if (cvl_window_spread(g, &o->strides, "strides", g->stride, e) != 0) return -1;
  if (cvl_window_spread(g, &o->dilations, "dilations", g->dilation, e) != 0) return -1;
  if (cvl_window_spread(g, &o->output_padding, "output_padding", more, e) != 0) return -1;
  return cvl_window_transposed(g, &o->padding, more, e);
}

/* Everything is said by conv's own data gradient with the padding in numbers; its derivatives come with it. */
static cvl_tensor *compose(cvl_scope *s, const cvl_args *a) {
  const cvl_shape *x = &a->in[0]->shape, *w = &a->in[1]->shape;
  const cvl_tensor *b = a->in[2];
  char text[CVL_SHAPE_TEXT];
  cvl_window g;
  cvl_conv_options o = {.groups = 1};
  cvl_tensor *y;
  int axes = a->op->name[15] - '0'; /* transposed_conv1d */
  if (x->ndim != axes + 2) {
    cvl_window_init(&g, x, axes, s->e); /* has the message */
    return NULL;
  }
  if (cvl_transposed_conv_window(&g, x, w, a->options, s->e) != 0) return NULL;
  if (b != NULL && (b->shape.ndim != 1 || b->shape.dim[0] != w->dim[axes])) {
    cvl_fail(s->e, CVL_ESHAPE, 3, "expected b {%" PRId64 "}, one for each filter, got %s",
             w->dim[axes], cvl_shape_text(&b->shape, text));
    return NULL;
  }
  o.strides = cvl_window_ints(&g, g.stride);
  o.dilations = cvl_window_ints(&g, g.dilation);
  o.size = cvl_window_ints(&g, g.out);
  o.padding = cvl_window_padding(&g);
  y = cvl_call(s, &cvl_op_conv_data, &o, 2, a->in[0], a->in[1]);
  return b != NULL ? cvl_add(s, y, a->in[2]) : y;
}

#define T cvl_transposed_conv_options
#define TRANSPOSED                                                                              \
  .n_in = 3, .n_optional = 1, .floating = true, .computes = true, .compose = compose,           \
  CVL_OPTIONS(                                                                                  \
      T, CVL_SIZES(T, strides, 1, "distance between the places of two inputs"),                 \
      CVL_PADDING(                                                                              \
          T, padding,                                                                           \
          "what to cut from the result; \"same\" gives in*stride, \"valid\" cuts nothing"),     \
      {"output_padding", CVL_OPT_SIZES, offsetof(T, output_padding), 0, CVL_NOT_NEGATIVE, NULL, \
       "added to the end of the result, smaller than the stride"},                              \
      CVL_SIZES(T, dilations, 1, "distance between the filter's taps"))

#define DOC(name, x, w, y)                                                                                                \
  name                                                                                                                    \
      "(x, w, b, {strides = 1, padding = \"valid\", output_padding = 0, dilations = 1}) -> y\n"                           \
      "The adjoint of a convolution, for up-sampling. x " x ", w " w                                                      \
      " (out before in), b {K} or nil, y " y ". Each "                                                                    \
      "spatial size becomes stride*(in - 1) + dilation*(filter - 1) + 1 - before - after + output_padding, or in*stride " \
      "with padding = \"same\". A filter that the stride does not divide makes checkerboards. Dumoulin & Visin 2016, "    \
      "arXiv:1603.07285."

CVL_OP(transposed_conv1d,
  .doc = DOC("transposed_conv1d", "{N, L, C}", "{R, K, C}", "{N, P, K}"), TRANSPOSED,
  CVL_SAMPLES("transposed_conv1d(randn{2, 4, 2}, randn{3, 3, 2}, randn{3}, {strides = 2})",
              "transposed_conv1d(randn{1, 5, 2}, randn{4, 1, 2}, nil, {strides = 2, padding = 1})"),
  CVL_REJECTS({"transposed_conv1d(randn{1, 4, 2}, randn{3, 2, 3})", "expected w {3, 2, 2} (out, in) for 2 channels, got {3, 2, 3}"},
              {"transposed_conv1d(randn{1, 1, 2}, randn{2, 1, 2}, nil, {padding = 1})", "nothing is left"}));

CVL_OP(transposed_conv2d,
  .doc = DOC("transposed_conv2d", "{N, H, W, C}", "{R, S, K, C}", "{N, P, Q, K}"), TRANSPOSED,
  CVL_SAMPLES("transposed_conv2d(randn{1, 3, 2, 2}, randn{3, 3, 3, 2}, randn{3}, {strides = 2, padding = \"same\"})",
              "transposed_conv2d(randn{1, 2, 3, 2}, randn{2, 3, 1, 2}, nil, {strides = {3, 2}, output_padding = {1, 0}, dilations = {1, 2}})"),
  CVL_REJECTS({"transposed_conv2d(randn{1, 2, 2, 2}, randn{3, 3, 1, 2}, nil, {output_padding = 1})", "must be smaller than the stride"},
              {"transposed_conv2d(randn{2, 2, 2}, randn{3, 3, 1, 2})", "expected x {N, height, width, C}, got {2, 2, 2}"}));
#endif

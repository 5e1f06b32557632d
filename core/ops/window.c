#include "ops/window.h"

#include <inttypes.h>

enum { LARGEST = 1 << 30 }; /* of any size here: products of two stay far from overflow */

static const char *axis_name(const cvl_window *w, int i) {
  static const char *const names[] = {"depth", "height", "width"};
  return w->axes == 1 ? "length" : names[i];
}

static int first_axis(const cvl_window *w) { return CVL_MAX_SPATIAL - w->axes; }
static int64_t reach(const cvl_window *w, int i) { return w->dilation[i] * (w->filter[i] - 1) + 1; }

int cvl_window_init(cvl_window *w, const cvl_shape *x, int axes, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  static const char *const wanted[] = {"", "{N, length, C}", "{N, height, width, C}",
                                       "{N, depth, height, width, C}"};
  if (axes < 1 || axes > CVL_MAX_SPATIAL)
    return cvl_fail(e, CVL_ESHAPE, 1, "expected x with 1 to 3 spatial axes between N and C, got %s",
                    cvl_shape_text(x, text));
  *w = (cvl_window){.axes = axes};
  for (int i = 0; i < CVL_MAX_SPATIAL; i++)
    w->in[i] = w->filter[i] = w->out[i] = w->stride[i] = w->dilation[i] = 1;
  if (x->ndim != axes + 2)
    return cvl_fail(e, CVL_ESHAPE, 1, "expected x %s, got %s", wanted[axes],
                    cvl_shape_text(x, text));
  for (int i = 0; i < axes; i++) {
    if (x->dim[1 + i] > LARGEST)
      return cvl_fail(e, CVL_ESHAPE, 1, "axis %d of x has %" PRId64 " elements, the limit is %d",
                      i + 2, x->dim[1 + i], LARGEST);
    w->in[first_axis(w) + i] = x->dim[1 + i];
  }
  return 0;
}

int cvl_window_spread(const cvl_window *w, const cvl_ints *from, const char *name, int64_t *to,
                      cvl_err *e) {
  int first = first_axis(w);
  if (from->n != 1 && from->n != w->axes)
    return cvl_fail(e, CVL_EARG, 0,
                    "%s must be one number or %d, one for each spatial axis, got %d numbers", name,
                    w->axes, from->n);
  for (int i = 0; i < w->axes; i++) {
    int64_t v = from->v[from->n == 1 ? 0 : i];
    if (v > LARGEST) return cvl_fail(e, CVL_EARG, 0, "%s %" PRId64 " is too large", name, v);
    to[first + i] = v;
  }
  return 0;
}

static int spread_padding(cvl_window *w, const cvl_padding *p, cvl_err *e) {
  int first = first_axis(w);
  if (p->kind != CVL_PAD_EXPLICIT) return 0;
  if (p->n != 1 && p->n != w->axes)
    return cvl_fail(e, CVL_EARG, 0, "padding must be given for %d spatial axes, got %d", w->axes,
                    p->n);
  for (int i = 0; i < w->axes; i++) {
    int from = p->n == 1 ? 0 : i;
    if (p->before[from] < 0 || p->after[from] < 0)
      return cvl_fail(e, CVL_EARG, 0, "padding must not be negative, got %" PRId64 " and %" PRId64,
                      p->before[from], p->after[from]);
    if (p->before[from] > LARGEST || p->after[from] > LARGEST)
      return cvl_fail(e, CVL_EARG, 0, "padding of %" PRId64 " and %" PRId64 " is too large",
                      p->before[from], p->after[from]);
    w->before[first + i] = p->before[from];
    w->after[first + i] = p->after[from];
  }
  return 0;
}

/* What the filter's sizes owe; `what` is its name in messages. */
static int check_filter(const cvl_window *w, const char *what, cvl_err *e) {
  for (int i = first_axis(w); i < CVL_MAX_SPATIAL; i++) {
    if (w->filter[i] < 1)
      return cvl_fail(e, CVL_ESHAPE, 0, "%s: the %s has size %" PRId64 ", at least 1 is needed",
                      axis_name(w, i), what, w->filter[i]);
    if (w->filter[i] > LARGEST / w->dilation[i])
      return cvl_fail(e, CVL_ESHAPE, 0,
                      "%s: a %s of %" PRId64 " with dilation %" PRId64 " is too large",
                      axis_name(w, i), what, w->filter[i], w->dilation[i]);
    if (w->stride[i] < 1)
      return cvl_fail(e, CVL_EARG, 0, "%s: the stride must be positive, got %" PRId64,
                      axis_name(w, i), w->stride[i]);
  }
  return 0;
}

static void pad_same(cvl_window *w, int i) {
  int64_t total;
  w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
  total = (w->out[i] - 1) * w->stride[i] + reach(w, i) - w->in[i];
  if (total < 0 || w->out[i] == 0) total = 0;
  w->before[i] = total / 2;
  w->after[i] = total - total / 2;
}

static int too_large(const cvl_window *w, int i, const char *what, cvl_err *e) {
  if (w->in[i] == 0)
    return cvl_fail(e, CVL_ESHAPE, 0, "%s: the input has no elements along this axis",
                    axis_name(w, i));
  return cvl_fail(e, CVL_ESHAPE, 0,
                  "%s: floor((%" PRId64 " + %" PRId64 " + %" PRId64 " - (%" PRId64 "*(%" PRId64
                  " - 1) + 1))/%" PRId64 ") + 1 < 1: the %s is larger than the padded input",
                  axis_name(w, i), w->in[i], w->before[i], w->after[i], w->dilation[i],
                  w->filter[i], w->stride[i], what);
}

int cvl_window_conv(cvl_window *w, const cvl_padding *padding, cvl_err *e) {
  if (check_filter(w, "filter", e) != 0 || spread_padding(w, padding, e) != 0) return -1;
  for (int i = first_axis(w); i < CVL_MAX_SPATIAL; i++) {
    int64_t room;
    if (padding->kind == CVL_PAD_SAME) pad_same(w, i);
    room = w->in[i] + w->before[i] + w->after[i] - reach(w, i);
    if (room < 0 || w->in[i] == 0) return too_large(w, i, "filter", e);
    w->out[i] = room / w->stride[i] + 1;
  }
  return 0;
}

int cvl_window_pool(cvl_window *w, const cvl_padding *padding, bool ceil_mode, cvl_err *e) {
  if (check_filter(w, "window", e) != 0 || spread_padding(w, padding, e) != 0) return -1;
  for (int i = first_axis(w); i < CVL_MAX_SPATIAL; i++) {
    int64_t room;
    if (padding->kind == CVL_PAD_SAME) pad_same(w, i);
    if (w->before[i] >= w->filter[i] ||
        w->after[i] >= w->filter[i]) /* a window of nothing but padding */
      return cvl_fail(e, CVL_EARG, 0,
                      "%s: padding %" PRId64 " and %" PRId64
                      " must be smaller than the window of %" PRId64,
                      axis_name(w, i), w->before[i], w->after[i], w->filter[i]);
    room = w->in[i] + w->before[i] + w->after[i] - w->filter[i];
    if (room < 0 || w->in[i] == 0) return too_large(w, i, "window", e);
    w->out[i] = (ceil_mode ? room + w->stride[i] - 1 : room) / w->stride[i] + 1;
    if ((w->out[i] - 1) * w->stride[i] >= w->in[i] + w->before[i])
      w->out[i]--; /* would start behind the input */
  }
  return 0;
}

int cvl_window_transposed(cvl_window *w, const cvl_padding *padding, const int64_t *output_padding,
                          cvl_err *e) {
  if (check_filter(w, "filter", e) != 0 || spread_padding(w, padding, e) != 0) return -1;
  for (int i = first_axis(w); i < CVL_MAX_SPATIAL; i++) {
    int64_t more = output_padding[i];
    if (more >= w->stride[i] && more > 0)
      return cvl_fail(e, CVL_EARG, 0,
                      "%s: output_padding %" PRId64 " must be smaller than the stride %" PRId64,
                      axis_name(w, i), more, w->stride[i]);
    if (padding->kind == CVL_PAD_SAME) {
      int64_t total = reach(w, i) - w->stride[i];
      if (more != 0)
        return cvl_fail(
            e, CVL_EARG, 0,
            "output_padding is of no use with padding = \"same\", which gives in*stride");
      if (total < 0) total = 0;
      w->before[i] = total / 2;
      w->after[i] = total - total / 2;
      w->out[i] = w->in[i] * w->stride[i];
      continue;
    }
    w->out[i] = w->stride[i] * (w->in[i] - 1) + reach(w, i) - w->before[i] - w->after[i] + more;
    if (w->out[i] < 1 || w->in[i] == 0)
      return cvl_fail(e, CVL_ESHAPE, 0,
                      "%s: %" PRId64 "*(%" PRId64 " - 1) + %" PRId64 "*(%" PRId64
                      " - 1) + 1 - %" PRId64 " - %" PRId64 " + %" PRId64
                      " < 1: nothing is left of the output",
                      axis_name(w, i), w->stride[i], w->in[i], w->dilation[i], w->filter[i],
                      w->before[i], w->after[i], more);
  }
  return 0;
}

void cvl_window_shape(const cvl_window *w, int64_t n, int64_t channels, cvl_shape *y) {
  y->ndim = w->axes + 2;
  y->dim[0] = n;
  for (int i = 0; i < w->axes; i++) y->dim[1 + i] = w->out[first_axis(w) + i];
  y->dim[1 + w->axes] = channels;
}

cvl_padding cvl_window_padding(const cvl_window *w) {
  cvl_padding p = {.kind = CVL_PAD_EXPLICIT, .n = w->axes};
  for (int i = 0; i < w->axes; i++) {
    p.before[i] = w->before[first_axis(w) + i];
    p.after[i] = w->after[first_axis(w) + i];
  }
  return p;
}

cvl_ints cvl_window_ints(const cvl_window *w, const int64_t *from) {
  cvl_ints v = {.n = w->axes};
  for (int i = 0; i < w->axes; i++) v.v[i] = from[first_axis(w) + i];
  return v;
}

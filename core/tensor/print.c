/* Tensors as text, in NumPy's manner. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/tensor.h"

enum {
  EDGE = 3,
  WHOLE = 200
}; /* items shown at each end of a long axis; tensors up to WHOLE elements in full */

typedef struct {
  char *text;
  size_t length, room;
  bool failed;
} buffer;

__attribute__((format(printf, 2, 3))) static void put(buffer *b, const char *fmt, ...) {
  char piece[256];
  va_list ap;
  size_t n;
  va_start(ap, fmt);
  vsnprintf(piece, sizeof piece, fmt, ap);
  va_end(ap);
  n = strlen(piece);
  if (!b->failed && b->length + n + 1 > b->room) {
    char *more = cvl_resize(b->text, b->room * 2 + n + 256);
    if (more == NULL) {
      b->failed = true;
    } else {
      b->text = more;
      b->room = b->room * 2 + n + 256;
    }
  }
  if (b->failed) return;
  memcpy(b->text + b->length, piece, n + 1);
  b->length += n;
}

typedef struct {
  const cvl_tensor *x;
  bool elide, scientific;
  int width, digits;
} style;

static void put_number(char *out, size_t size, const style *s, double v) {
  if (s->x->dtype == CVL_BOOL)
    snprintf(out, size, "%s", v != 0 ? "true" : "false");
  else if (!cvl_dtype_floating(s->x->dtype))
    snprintf(out, size, "%.0f", v);
  else if (isnan(v))
    snprintf(out, size, "nan"); /* glibc may print a sign */
  else if (isinf(v))
    snprintf(out, size, v > 0 ? "inf" : "-inf");
  else if (s->scientific)
    snprintf(out, size, "%.4e", v);
  else
    snprintf(out, size, "%.*f", s->digits, v);
}

/* Calls visit for each element that is shown. */
static void each_shown(const style *s, int axis, int64_t at,
                       void (*visit)(const style *, double, void *), void *context) {
  const cvl_tensor *x = s->x;
  int64_t n;
  if (axis == x->shape.ndim) {
    visit(s, cvl_element(x, at), context);
    return;
  }
  n = x->shape.dim[axis];
  for (int64_t i = 0; i < n; i++) {
    if (s->elide && n > 2 * EDGE && i == EDGE) i = n - EDGE;
    each_shown(s, axis + 1, at + i * x->stride[axis], visit, context);
  }
}

typedef struct {
  double largest, smallest; /* magnitudes; smallest non-zero */
  bool whole;
} extent;

static void measure(const style *s, double v, void *context) {
  extent *m = context;
  double a = fabs(v);
  (void)s;
  if (!isfinite(v)) return;
  if (a > m->largest) m->largest = a;
  if (a > 0 && a < m->smallest) m->smallest = a;
  if (v != floor(v)) m->whole = false;
}

static void widen(const style *s, double v, void *context) {
  char text[64];
  int *width = context;
  put_number(text, sizeof text, s, v);
  if ((int)strlen(text) > *width) *width = (int)strlen(text);
}

static void put_axis(buffer *b, const style *s, int axis, int64_t at) {
  const cvl_tensor *x = s->x;
  int left = x->shape.ndim - axis;
  char text[64];
  if (left == 0) {
    put_number(text, sizeof text, s, cvl_element(x, at));
    put(b, "%*s", s->width, text);
    return;
  }
  put(b, "{");
  for (int64_t i = 0, n = x->shape.dim[axis]; i < n; i++) {
    if (i > 0) {
      put(b, ",");
      if (left == 1) put(b, " ");
      for (int k = 1; k < left; k++) put(b, "\n");
      if (left > 1) put(b, "%*s", axis + 1, "");
    }
    if (s->elide && n > 2 * EDGE && i == EDGE) {
      put(b, left == 1 ? "..., " : "...,");
      for (int k = 1; k < left; k++) put(b, "\n");
      if (left > 1) put(b, "%*s", axis + 1, "");
      i = n - EDGE;
    }
    put_axis(b, s, axis + 1, at + i * x->stride[axis]);
  }
  put(b, "}");
}

char *cvl_tensor_text(const cvl_tensor *x, cvl_err *e) {
  buffer b = {0};
  style s = {.x = x, .elide = cvl_count(x) > WHOLE, .digits = 4};
  extent m = {.smallest = INFINITY, .whole = true};
  char shape[CVL_SHAPE_TEXT];
  cvl_tensor *host = NULL;
  if (!cvl_device_of(x)->host_visible) {
    if ((host = cvl_tensor_clone(x, cvl_cpu(), e)) == NULL) return NULL;
    s.x = host;
  }
  each_shown(&s, 0, 0, measure, &m);
  s.scientific = m.largest >= 1e6 || (m.smallest < 1e-4 && m.largest < 1e-1) ||
                 (m.largest > 0 && m.smallest > 0 && m.largest / m.smallest > 1e7);
  if (m.whole && m.largest < 1e6) {
    s.scientific = false;
    s.digits = 1;
  }
  each_shown(&s, 0, 0, widen, &s.width);
  if (x->shape.ndim == 0) s.width = 0;
  put_axis(&b, &s, 0, 0);
  put(&b, x->shape.ndim == 0 ? " (%s" : "\n(shape %s, ",
      x->shape.ndim == 0 ? cvl_dtype_name(x->dtype) : cvl_shape_text(&x->shape, shape));
  if (x->shape.ndim > 0) put(&b, "%s", cvl_dtype_name(x->dtype));
  put(&b, ", %s%s)", cvl_device_of(x)->name, x->requires_grad ? ", requires_grad" : "");
  cvl_release(host);
  if (b.failed) {
    cvl_free(b.text);
    cvl_fail_memory(e, (long long)b.room * 2);
    return NULL;
  }
  return b.text;
}

#include "tensor/shape.h"

#include <stdio.h>
#include <string.h>

int64_t cvl_shape_count(const cvl_shape *s) {
  int64_t n = 1;
  for (int i = 0; i < s->ndim; i++) n *= s->dim[i];
  return n;
}

int cvl_shape_check(const cvl_shape *s, int64_t elem_size, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  int64_t bytes = elem_size;
  if (s->ndim > CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 0, "at most %d axes are possible, got %d", CVL_MAX_DIM, s->ndim);
  for (int i = 0; i < s->ndim; i++)
    if (s->dim[i] < 0)
      return cvl_fail(e, CVL_ESHAPE, 0, "sizes must not be negative, got %s",
                      cvl_shape_text(s, text));
  for (int i = 0; i < s->ndim; i++) /* zero sizes do not excuse the others: strides must fit too */
    if (__builtin_mul_overflow(bytes, s->dim[i] > 0 ? s->dim[i] : 1, &bytes))
      return cvl_fail(e, CVL_ESHAPE, 0, "a tensor %s is larger than any memory",
                      cvl_shape_text(s, text));
  return 0;
}

bool cvl_shape_equal(const cvl_shape *a, const cvl_shape *b) {
  return a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof a->dim[0]) == 0;
}

int cvl_shape_broadcast(const cvl_shape *a, const cvl_shape *b, cvl_shape *y, cvl_err *e) {
  char ta[CVL_SHAPE_TEXT], tb[CVL_SHAPE_TEXT];
  cvl_shape out = {.ndim = a->ndim > b->ndim ? a->ndim : b->ndim};
  for (int i = 1; i <= out.ndim; i++) {
    int64_t p = i <= a->ndim ? a->dim[a->ndim - i] : 1, q = i <= b->ndim ? b->dim[b->ndim - i] : 1;
    if (p != q && p != 1 && q != 1)
      return cvl_fail(e, CVL_ESHAPE, 0,
                      "shapes %s and %s do not broadcast: axis %d has %lld and %lld",
                      cvl_shape_text(a, ta), cvl_shape_text(b, tb), out.ndim - i + 1, (long long)p,
                      (long long)q);
    out.dim[out.ndim - i] = p == 1 ? q : p;
  }
  *y = out;
  return 0;
}

void cvl_shape_strides(const cvl_shape *s, int64_t stride[CVL_MAX_DIM]) {
  int64_t step = 1;
  for (int i = s->ndim - 1; i >= 0; i--) {
    stride[i] = step;
    step *= s->dim[i] > 0 ? s->dim[i] : 1;
  }
}

char *cvl_shape_text(const cvl_shape *s, char text[CVL_SHAPE_TEXT]) {
  int n = snprintf(text, CVL_SHAPE_TEXT, "{");
  for (int i = 0; i < s->ndim && i < CVL_MAX_DIM && n < CVL_SHAPE_TEXT; i++)
    n += snprintf(text + n, (size_t)(CVL_SHAPE_TEXT - n), i ? ", %lld" : "%lld",
                  (long long)s->dim[i]);
  if (n < CVL_SHAPE_TEXT) snprintf(text + n, (size_t)(CVL_SHAPE_TEXT - n), "}");
  return text;
}

int cvl_axis(int64_t axis, int ndim, const char *what, cvl_err *e) {
  if (axis >= 0 && axis < ndim) return (int)axis;
  if (axis < 0 && axis >= -ndim) return (int)(axis + ndim);
  return cvl_fail(e, CVL_EARG, 0, "%s %lld is out of range: the tensor has %d axes", what,
                  (long long)(axis >= 0 ? axis + 1 : axis), ndim);
}

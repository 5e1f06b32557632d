#ifdef CVL_DESCRIBE
#include "ops/call.h"

#include <stdarg.h>

#include "base/mem.h"
#include "ops/cast.h"
#include "ops/sum.h"

extern const cvl_op cvl_op_add, cvl_op_sub, cvl_op_mul, cvl_op_div, cvl_op_neg, cvl_op_square,
    cvl_op_sqrt, cvl_op_exp, cvl_op_log, cvl_op_contiguous, cvl_op_cast, cvl_op_sum;

bool cvl_scope_failed(const cvl_scope *s) { return s->e->code != CVL_OK; }

cvl_tensor *cvl_scope_own(cvl_scope *s, cvl_tensor *x) {
  if (x == NULL) return NULL;
  if (s->n == s->room) {
    int room = s->room * 2 + 8;
    cvl_tensor **more = cvl_resize(s->owned, (size_t)room * sizeof *more);
    if (more == NULL) {
      cvl_release(x);
      cvl_fail_memory(s->e, (long long)room * (long long)sizeof *more);
      return NULL;
    }
    s->owned = more;
    s->room = room;
  }
  return s->owned[s->n++] = x;
}

cvl_tensor *cvl_call(cvl_scope *s, const cvl_op *op, const void *options, int n_in, ...) {
  enum { MOST = 8 };
  cvl_tensor *in[MOST];
  _Alignas(16) unsigned char defaults[CVL_OPTION_BYTES] = {0};
  va_list ap;
  va_start(ap, n_in);
  for (int i = 0; i < n_in; i++) in[i] = va_arg(ap, cvl_tensor *);
  va_end(ap);
  if (options == NULL) {
    cvl_options_default(op->options, defaults);
    options = defaults;
  }
  return cvl_scope_failed(s) ? NULL : s->apply(s, op, in, n_in, options);
}

cvl_tensor *cvl_add(cvl_scope *s, cvl_tensor *a, cvl_tensor *b) {
  return cvl_call(s, &cvl_op_add, NULL, 2, a, b);
}
cvl_tensor *cvl_sub(cvl_scope *s, cvl_tensor *a, cvl_tensor *b) {
  return cvl_call(s, &cvl_op_sub, NULL, 2, a, b);
}
cvl_tensor *cvl_mul(cvl_scope *s, cvl_tensor *a, cvl_tensor *b) {
  return cvl_call(s, &cvl_op_mul, NULL, 2, a, b);
}
cvl_tensor *cvl_div(cvl_scope *s, cvl_tensor *a, cvl_tensor *b) {
  return cvl_call(s, &cvl_op_div, NULL, 2, a, b);
}
cvl_tensor *cvl_neg(cvl_scope *s, cvl_tensor *x) { return cvl_call(s, &cvl_op_neg, NULL, 1, x); }
cvl_tensor *cvl_square(cvl_scope *s, cvl_tensor *x) {
  return cvl_call(s, &cvl_op_square, NULL, 1, x);
}
cvl_tensor *cvl_sqrt(cvl_scope *s, cvl_tensor *x) { return cvl_call(s, &cvl_op_sqrt, NULL, 1, x); }
cvl_tensor *cvl_exp_of(cvl_scope *s, cvl_tensor *x) { return cvl_call(s, &cvl_op_exp, NULL, 1, x); }
cvl_tensor *cvl_log_of(cvl_scope *s, cvl_tensor *x) { return cvl_call(s, &cvl_op_log, NULL, 1, x); }
cvl_tensor *cvl_contiguous(cvl_scope *s, cvl_tensor *x) {
  return cvl_call(s, &cvl_op_contiguous, NULL, 1, x);
}

cvl_tensor *cvl_cast(cvl_scope *s, cvl_tensor *x, cvl_dtype dtype) {
  return cvl_call(s, &cvl_op_cast, &(cvl_cast_options){.dtype = (int)dtype}, 1, x);
}

/* A shell's device is not known. */
static cvl_device *device_like(const cvl_tensor *like) {
  return like->storage != NULL ? cvl_device_of(like) : cvl_cpu();
}

cvl_tensor *cvl_scalar(cvl_scope *s, const cvl_tensor *like, double c) {
  const cvl_shape none = {0};
  if (like == NULL || cvl_scope_failed(s)) return NULL;
  return cvl_scope_own(s, cvl_tensor_full(&none, like->dtype, device_like(like), c, s->e));
}

cvl_tensor *cvl_add_scalar(cvl_scope *s, cvl_tensor *x, double c) {
  return cvl_add(s, x, cvl_scalar(s, x, c));
}
cvl_tensor *cvl_mul_scalar(cvl_scope *s, cvl_tensor *x, double c) {
  return cvl_mul(s, x, cvl_scalar(s, x, c));
}

cvl_tensor *cvl_full_like(cvl_scope *s, const cvl_tensor *like, double c) {
  if (like == NULL || cvl_scope_failed(s)) return NULL;
  return cvl_scope_own(s, cvl_tensor_full(&like->shape, like->dtype, device_like(like), c, s->e));
}

cvl_tensor *cvl_sum(cvl_scope *s, cvl_tensor *x, const cvl_ints *axes, bool keep) {
  cvl_sum_options o = {.axis = {.n = -1}, .keep = keep};
  if (axes != NULL) o.axis = *axes;
  return cvl_call(s, &cvl_op_sum, &o, 1, x);
}

cvl_tensor *cvl_sum_to(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape) {
  cvl_sum_options o = {.axis = {.n = 0}, .keep = true};
  int extra;
  if (x == NULL || cvl_shape_equal(&x->shape, shape)) return x;
  extra = x->shape.ndim - shape->ndim;
  for (int i = 0; i < x->shape.ndim; i++)
    if (i < extra || (shape->dim[i - extra] == 1 && x->shape.dim[i] != 1)) o.axis.v[o.axis.n++] = i;
  o.leading = extra; /* these axes go altogether */
  return cvl_call(s, &cvl_op_sum, &o, 1, x);
}
#endif

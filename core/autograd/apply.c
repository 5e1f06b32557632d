/* One call of an op: check, prepare the inputs, compute, record. */
#include <string.h>

#include "autograd/node.h"
#include "base/mem.h"
#include "device/recording.h"
#include "ops/call.h"

static _Thread_local bool grad_disabled;

bool cvl_grad_enabled(void) { return !grad_disabled; }

bool cvl_set_grad_enabled(bool enabled) {
  bool former = !grad_disabled;
  grad_disabled = !enabled;
  return former;
}

static _Thread_local cvl_precision precision;

cvl_precision cvl_precision_used(void) { return precision; }

cvl_precision cvl_set_precision(cvl_precision p) {
  cvl_precision former = precision;
  precision = p;
  return former;
}

static cvl_tensor *apply_in_scope(cvl_scope *s, const cvl_op *op, cvl_tensor *const *in, int n_in,
                                  const void *options) {
  cvl_tensor *y = NULL;
  return cvl_apply(op, in, n_in, options, &y, s->e) == 0 ? cvl_scope_own(s, y) : NULL;
}

void cvl_scope_init(cvl_scope *s, cvl_err *e) { *s = (cvl_scope){.e = e, .apply = apply_in_scope}; }

void cvl_scope_end(cvl_scope *s) {
  for (int i = 0; i < s->n; i++) cvl_release(s->owned[i]);
  cvl_free(s->owned);
  s->owned = NULL;
  s->n = s->room = 0;
}

static int check_inputs(const cvl_op *op, cvl_tensor *const *in, int n_in, cvl_err *e) {
  const cvl_tensor *first = NULL;
  if (op->list ? n_in < 1 : n_in != op->n_in)
    return cvl_fail(e, CVL_EARG, 0, "%d tensors expected, got %d", op->n_in, n_in);
  for (int i = 0; i < n_in; i++) {
    const cvl_tensor *x = in[i];
    if (x == NULL) {
      if (!op->list && i >= op->n_in - op->n_optional) continue;
      return cvl_fail(e, CVL_EARG, i + 1, "a tensor is missing");
    }
    if (x->storage == NULL)
      return cvl_fail(e, CVL_ESTATE, i + 1, "the tensor's data has been freed");
    if (first == NULL) first = x;
    if (cvl_device_of(x) != cvl_device_of(first))
      return cvl_fail(e, CVL_EDEVICE, i + 1, "tensors on one device expected, got %s and %s",
                      cvl_device_of(first)->name, cvl_device_of(x)->name);
    if (cvl_recording_uses(cvl_device_of(x), x->storage->data, x->storage->bytes, e) != 0)
      return -1;
  }
  return 0;
}

/* Replaces x[i] by op(x[i]); the tape sees it. */
static int convert(cvl_tensor **x, const cvl_op *op, const void *options, cvl_err *e) {
  cvl_tensor *y = NULL;
  if (cvl_apply(op, x, 1, options, &y, e) != 0) return -1;
  cvl_release(*x);
  *x = y;
  return 0;
}

extern const cvl_op cvl_op_cast, cvl_op_contiguous;

static bool promoted(const cvl_op *op, int i) { return i >= 32 || !(op->unpromoted >> i & 1); }

/*
** What is stored in two bytes is computed in float32: halves among the inputs become that, unless the op has kernels for
** them or only looks at memory. *result is the type that its float32 result then goes to: that of the input whose type
** would have picked the kernel.
*/
static int widen(const cvl_op *op, cvl_tensor **x, int n_in, cvl_dtype *result, cvl_err *e) {
  const cvl_tensor *key = x[op->key];
  if (op->compose != NULL && !op->computes) return 0; /* its parts see to it */
  if (op->view != NULL ||
      (op->compose == NULL && cvl_dtype_half(key->dtype) && cvl_op_kernels(op, key, NULL) != NULL))
    return 0;
  if (cvl_dtype_half(key->dtype)) *result = key->dtype;
  for (int i = 0; i < n_in; i++) {
    if (x[i] == NULL || !cvl_dtype_half(x[i]->dtype)) continue;
    if (convert(&x[i], &cvl_op_cast, &(int){CVL_F32}, e) != 0) return -1;
  }
  return 0;
}

/* What forward changed in place in copies of another type goes back to where they came from. */
static int put_back(const cvl_op *op, cvl_tensor *const *in, cvl_tensor **x, int n_in, cvl_err *e) {
  for (int i = 0; i < n_in; i++) {
    cvl_args a = {.op = &cvl_op_cast, .n_in = 1, .in = &x[i]};
    const cvl_kernels *k;
    if (!(op->in_place >> i & 1) || x[i] == in[i]) continue;
    if ((k = cvl_op_kernels(&cvl_op_cast, x[i], e)) == NULL || k->forward(&a, in[i], e) != 0)
      return -1;
  }
  return 0;
}

/* The inputs as the kernels want them: one type, dense. *result: see widen. */
static int prepare(const cvl_op *op, cvl_tensor **x, int n_in, cvl_dtype *result, cvl_err *e) {
  for (int i = 0; op->in_place >> i != 0; i++)
    if (op->in_place >> i & 1 && !cvl_is_dense(x[i]))
      return cvl_fail(e, CVL_EARG, i + 1, "a tensor that is changed in place must be dense");
  if (op->promotes) {
    cvl_dtype t = x[op->key]->dtype;
    for (int i = 0; i < n_in; i++)
      if (promoted(op, i)) t = cvl_dtype_promote(t, x[i]->dtype);
    if (op->floating && !cvl_dtype_floating(t)) t = CVL_F32;
    if (t == CVL_BOOL && op->shape == cvl_shape_broadcasts)
      t = CVL_I32; /* sums of truth values count */
    for (int i = 0; i < n_in; i++)
      if (promoted(op, i) && x[i]->dtype != t &&
          convert(&x[i], &cvl_op_cast, &(int){(int)t}, e) != 0)
        return -1;
  }
  if (widen(op, x, n_in, result, e) != 0) return -1;
  if (op->floating && !cvl_dtype_floating(x[op->key]->dtype))
    return cvl_fail(e, CVL_EDTYPE, op->key + 1, "float32 or float64 expected, got %s",
                    cvl_dtype_name(x[op->key]->dtype));
  if (!op->strided && op->view == NULL && op->compose == NULL)
    for (int i = 0; i < n_in; i++) {
      if (x[i] == NULL || cvl_is_dense(x[i])) continue;
      if (convert(&x[i], &cvl_op_contiguous, NULL, e) != 0) return -1;
    }
  return 0;
}

static cvl_tensor *compose(const cvl_op *op, const cvl_args *a, cvl_err *e) {
  cvl_scope s;
  cvl_tensor *y;
  cvl_scope_init(&s, e);
  y = op->compose(&s, a);
  if (cvl_scope_failed(&s)) y = NULL;
  if (y != NULL) cvl_retain(y);
  cvl_scope_end(&s);
  return y;
}

static cvl_tensor *view(const cvl_op *op, const cvl_args *a, cvl_err *e) {
  cvl_tensor *y = cvl_tensor_alias(a->in[0], e);
  if (y == NULL || op->view(a, y, e) == 0) return y;
  cvl_release(y);
  return NULL;
}

static cvl_tensor *compute(const cvl_op *op, cvl_args *a, const cvl_kernels *k, cvl_err *e) {
  cvl_meta m = {a->in[op->key]->shape, a->in[op->key]->dtype};
  cvl_tensor *y;
  if (op->shape(a, &m, e) != 0) return NULL;
  if ((y = cvl_tensor_new(&m.shape, m.dtype, cvl_device_of(a->in[op->key]), e)) == NULL)
    return NULL;
  if (op->random) a->rng = cvl_take(op->draws != NULL ? op->draws(a, &m) : (cvl_count(y) + 3) / 4);
  if (k->forward(a, y, e) == 0) return y;
  cvl_release(y);
  return NULL;
}

static bool wants_gradient(cvl_tensor *const *in, int n_in) {
  for (int i = 0; i < n_in; i++)
    if (in[i] != NULL && in[i]->requires_grad) return true;
  return false;
}

static int record(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  cvl_tape_node *n = cvl_tape_node_new(a->op, a->in, a->n_in, a->options, e);
  if (n == NULL) return -1;
  memcpy(n->args.saved, a->saved, sizeof n->args.saved);
  n->args.rng = a->rng;
  n->args.precision = a->precision;
  for (int i = 0; i < CVL_MAX_SAVED; i++)
    if (a->saved[i] != NULL) cvl_retain(a->saved[i]);
  return cvl_tape_node_attach(n, y, e);
}

/* The result for inputs that are prepared, on the tape where a gradient is wanted; NULL with e filled. */
static cvl_tensor *produce(const cvl_op *op, cvl_args *a, cvl_err *e) {
  const cvl_kernels *k = NULL;
  cvl_tensor *y;
  if (op->trivial != NULL && op->trivial(a)) return cvl_retain(a->in[0]);
  if (op->compose != NULL) return compose(op, a, e);
  if (op->view == NULL && (k = cvl_op_kernels(op, a->in[op->key], e)) == NULL) return NULL;
  a->taped = !grad_disabled && wants_gradient(a->in, a->n_in) &&
             (op->vjp != NULL || (k != NULL && k->backward != NULL));
  if ((y = k != NULL ? compute(op, a, k, e) : view(op, a, e)) == NULL) return NULL;
  if (a->taped && cvl_dtype_floating(y->dtype) && record(a, y, e) != 0) {
    cvl_release(y);
    return NULL;
  }
  return y;
}

int cvl_apply(const cvl_op *op, cvl_tensor *const *in, int n_in, const void *options,
              cvl_tensor **y, cvl_err *e) {
  enum { FEW = 8 };
  cvl_tensor *few[FEW] = {NULL}, **x = few;
  cvl_args a = {.op = op, .n_in = n_in, .options = options, .precision = precision};
  cvl_dtype result = CVL_F32;
  int rc = -1;

  if (check_inputs(op, in, n_in, e) != 0) return -1;
  if (n_in > FEW && (x = cvl_alloc_array((size_t)n_in, sizeof *x)) == NULL)
    return cvl_fail_memory(e, (long long)n_in * (long long)sizeof *x);
  a.in = x;
  for (int i = 0; i < n_in; i++)
    if (in[i] != NULL) x[i] = cvl_retain(in[i]);
  if (prepare(op, x, n_in, &result, e) != 0) goto done;
  if ((*y = produce(op, &a, e)) == NULL) goto done;
  if (((*y)->dtype == CVL_F32 && result != CVL_F32 &&
       convert(y, &cvl_op_cast, &(int){(int)result}, e) != 0) ||
      (op->in_place != 0 && put_back(op, in, x, n_in, e) != 0)) {
    cvl_release(*y);
    *y = NULL;
    goto done;
  }
  rc = 0;
done:
  for (int i = 0; i < CVL_MAX_SAVED; i++) cvl_release(a.saved[i]);
  for (int i = 0; i < n_in; i++) cvl_release(x[i]);
  if (x != few) cvl_free(x);
  return rc;
}

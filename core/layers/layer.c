#include "layers/layer.h"

#include <inttypes.h>
#include <string.h>

#include "autograd/autograd.h"
#include "base/mem.h"

#define X(name) extern const cvl_layer_type cvl_layer_##name;
#include "layer_list.h" /* generated: X(AvgPool1D) X(AvgPool2D) ... */
#undef X

static const cvl_layer_type *const types[] = {
#define X(name) &cvl_layer_##name,
#include "layer_list.h"
#undef X
};

const cvl_layer_type *const *cvl_layer_types(int *n) {
  *n = sizeof types / sizeof types[0];
  return types;
}

cvl_layer *cvl_layer_new(const cvl_layer_type *type, const void *options, cvl_err *e) {
  cvl_layer *l = cvl_alloc(sizeof *l);
  if (l == NULL || (l->options = cvl_alloc(type->option_bytes)) == NULL) {
    cvl_fail_memory(e, (long long)(sizeof *l + type->option_bytes));
    goto fail;
  }
  if (type->option_bytes > 0) memcpy(l->options, options, type->option_bytes);
  l->type = type;
  l->training = true;
  if (type->build != NULL && type->build(l, e) != 0) goto fail;
  return l;
fail:
  cvl_layer_free(l);
  return NULL;
}

void cvl_layer_free(cvl_layer *l) {
  if (l == NULL) return;
  for (int i = 0; i < l->n; i++) cvl_release(l->slot[i].x);
  cvl_free(l->options);
  cvl_free(l);
}

int cvl_layer_forward(cvl_layer *l, cvl_tensor *const *in, cvl_tensor **y, cvl_err *e) {
  cvl_scope s;
  cvl_tensor *result = NULL;
  int rc = -1;
  cvl_scope_init(&s, e);
  for (int i = 0; i < l->type->n_in; i++)
    if (in[i] == NULL && i < l->type->n_in - l->type->n_optional) {
      cvl_fail(e, CVL_EARG, i + 1, "a tensor is missing");
      goto done;
    }
  result = l->type->forward(&s, l, in);
  if (cvl_scope_failed(&s)) {
    if (e->arg > l->type->n_in) e->arg = 0; /* an input of some op within */
    goto done;
  }
  *y = cvl_retain(result);
  rc = 0;
done:
  cvl_scope_end(&s);
  return rc;
}

int cvl_layer_cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                   cvl_err *e) {
  *y = *x;
  *multiply_adds = 0;
  if (cvl_shape_check(x, sizeof(double), e) != 0) return -1;
  if (l->type->cost != NULL && l->type->cost(l, x, y, multiply_adds, e) != 0) return -1;
  return cvl_shape_check(y, sizeof(double), e);
}

int cvl_count_products(const cvl_shape *shape, const int64_t *factors, int n_factors, int64_t *n,
                       cvl_err *e) {
  *n = 1;
  for (int i = 0; i < shape->ndim + n_factors; i++) {
    int64_t factor = i < shape->ndim ? shape->dim[i] : factors[i - shape->ndim];
    if (factor == 0) return *n = 0, 0;
    if (__builtin_mul_overflow(*n, factor, n))
      return cvl_fail(e, CVL_ESHAPE, 1, "the shapes are too large to count");
  }
  return 0;
}

cvl_slot *cvl_layer_slot(cvl_layer *l, const char *name) {
  for (int i = 0; i < l->n; i++)
    if (strcmp(l->slot[i].name, name) == 0) return &l->slot[i];
  return NULL;
}

cvl_tensor *cvl_slot_tensor(const cvl_layer *l, const char *name) {
  for (int i = 0; i < l->n; i++)
    if (strcmp(l->slot[i].name, name) == 0) return l->slot[i].x;
  return NULL;
}

/* The copies replace the slots together. */
static void replace(cvl_layer *l, cvl_tensor **copies) {
  for (int i = 0; i < l->n; i++) {
    copies[i]->requires_grad = l->slot[i].x->requires_grad;
    cvl_release(l->slot[i].x);
    l->slot[i].x = copies[i];
  }
}

int cvl_layer_move(cvl_layer *l, cvl_device *device, cvl_err *e) {
  cvl_tensor *copies[CVL_MAX_SLOTS] = {NULL};
  for (int i = 0; i < l->n; i++) {
    cvl_tensor *x = l->slot[i].x;
    copies[i] = cvl_device_of(x) == device ? cvl_retain(x) : cvl_tensor_clone(x, device, e);
    if (copies[i] == NULL) {
      while (i-- > 0) cvl_release(copies[i]);
      return -1;
    }
  }
  replace(l, copies);
  return 0;
}

extern const cvl_op cvl_op_cast;

int cvl_layer_cast(cvl_layer *l, cvl_dtype dtype, cvl_err *e) {
  cvl_tensor *copies[CVL_MAX_SLOTS] = {NULL};
  bool grad = cvl_set_grad_enabled(false);
  int rc = -1, i = 0;
  if (!cvl_dtype_floating(dtype)) {
    cvl_fail(e, CVL_EDTYPE, 0, "parameters are of a floating type, not %s", cvl_dtype_name(dtype));
    goto done;
  }
  for (; i < l->n; i++) {
    cvl_tensor *x = l->slot[i].x;
    if (x->dtype == dtype)
      copies[i] = cvl_retain(x);
    else if (cvl_apply(&cvl_op_cast, &x, 1, &(int){(int)dtype}, &copies[i], e) != 0)
      goto done;
  }
  replace(l, copies);
  i = 0;
  rc = 0;
done:
  while (i-- > 0) cvl_release(copies[i]);
  cvl_set_grad_enabled(grad);
  return rc;
}

static cvl_slot *declare(cvl_layer *l, const char *name, const cvl_shape *shape, bool buffer,
                         cvl_err *e) {
  cvl_slot *slot = &l->slot[l->n];
  *slot = (cvl_slot){.name = name, .buffer = buffer};
  if ((slot->x = cvl_tensor_new(shape, CVL_F32, NULL, e)) == NULL) return NULL;
  l->n++;
  return slot;
}

int cvl_declare_parameter(cvl_layer *l, const char *name, const cvl_shape *shape,
                          cvl_initializer init, cvl_fans fans, cvl_err *e) {
  cvl_slot *slot = declare(l, name, shape, false, e);
  if (slot == NULL) return -1;
  slot->x->requires_grad = true;
  return cvl_initialize(slot->x, init, fans, e);
}

int cvl_declare_buffer(cvl_layer *l, const char *name, const cvl_shape *shape, double value,
                       cvl_err *e) {
  cvl_slot *slot = declare(l, name, shape, true, e);
  if (slot == NULL) return -1;
  return cvl_tensor_fill(slot->x, value, e);
}

int cvl_check_channels(const cvl_shape *x, int ndim, int64_t channels, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  bool axes = ndim >= 0 ? x->ndim == ndim : x->ndim >= -ndim;
  if (axes && x->dim[x->ndim - 1] == channels) return 0;
  return cvl_fail(
      e, CVL_ESHAPE, 1, "expected x with %s%d axes and %" PRId64 " channels in the last, got %s",
      ndim < 0 ? "at least " : "", ndim < 0 ? -ndim : ndim, channels, cvl_shape_text(x, text));
}

/* Each is the op of its name. */
const char *const cvl_activations[] = {
    "identity",   "relu",    "relu6",        "leaky_relu",  "elu",      "selu",     "gelu",
    "silu",       "sigmoid", "hard_sigmoid", "tanh",        "softplus", "softsign", "log_sigmoid",
    "hard_swish", "mish",    "softmax",      "log_softmax", NULL};

cvl_tensor *cvl_activate(cvl_scope *s, int activation, cvl_tensor *x) {
  const cvl_op *op;
  if (activation == 0) return x;
  op = cvl_op_named(cvl_activations[activation]);
  if (op == NULL) {
    cvl_fail(s->e, CVL_EARG, 0, "there is no op '%s'", cvl_activations[activation]);
    return NULL;
  }
  return cvl_call(s, op, NULL, 1, x);
}

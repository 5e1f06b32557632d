#include "tensor/tensor.h"

#include <string.h>

#include "base/mem.h"

static cvl_tensor *blank(cvl_err *e) {
  cvl_tensor *x = cvl_alloc(sizeof *x);
  if (x == NULL)
    cvl_fail_memory(e, sizeof *x);
  else
    atomic_init(&x->refs, 1);
  return x;
}

cvl_tensor *cvl_tensor_new(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device,
                           cvl_err *e) {
  size_t size = cvl_dtype_size(dtype);
  cvl_tensor *x;
  if (cvl_shape_check(shape, (int64_t)size, e) != 0 || (x = blank(e)) == NULL) return NULL;
  x->dtype = dtype;
  x->shape = *shape;
  cvl_shape_strides(shape, x->stride);
  x->storage = cvl_storage_new(device != NULL ? device : cvl_cpu(),
                               (size_t)cvl_shape_count(shape) * size, e);
  if (x->storage == NULL) {
    cvl_release(x);
    return NULL;
  }
  return x;
}

cvl_tensor *cvl_tensor_zeros(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device,
                             cvl_err *e) {
  cvl_tensor *x = cvl_tensor_new(shape, dtype, device, e);
  cvl_device *d;
  if (x == NULL || x->storage->bytes == 0) return x;
  d = cvl_device_of(x);
  if (d->clear(d, x->storage->data, x->storage->bytes, e) == 0) return x;
  cvl_release(x);
  return NULL;
}

cvl_tensor *cvl_tensor_alias(const cvl_tensor *x, cvl_err *e) {
  cvl_tensor *y = blank(e);
  if (y == NULL) return NULL;
  y->dtype = x->dtype;
  y->shape = x->shape;
  memcpy(y->stride, x->stride, sizeof y->stride);
  y->offset = x->offset;
  y->storage = x->storage;
  if (y->storage != NULL) cvl_storage_retain(y->storage);
  return y;
}

cvl_tensor *cvl_tensor_shell(const cvl_tensor *x, cvl_err *e) {
  cvl_tensor *y = cvl_tensor_alias(x, e);
  if (y == NULL) return NULL;
  cvl_storage_release(y->storage);
  y->storage = NULL;
  y->requires_grad = x->requires_grad;
  if ((y->node = x->node) != NULL) cvl_node_retain(y->node);
  return y;
}

cvl_tensor *cvl_retain(cvl_tensor *x) {
  atomic_fetch_add(&x->refs, 1);
  return x;
}

void cvl_release(cvl_tensor *x) {
  if (x == NULL || atomic_fetch_sub(&x->refs, 1) != 1) return;
  cvl_storage_release(x->storage);
  cvl_release(x->grad);
  cvl_node_release(x->node);
  cvl_hooks_free(x->hooks);
  cvl_free(x);
}

void cvl_hooks_free(cvl_hook *list) {
  while (list != NULL) {
    cvl_hook *next = list->next;
    list->release(list->context);
    cvl_free(list);
    list = next;
  }
}

void cvl_node_retain(cvl_node *node) { node->refs++; }

void cvl_node_release(cvl_node *node) {
  if (node != NULL && --node->refs == 0) node->destroy(node);
}

bool cvl_is_dense(const cvl_tensor *x) {
  int64_t step = 1;
  if (cvl_count(x) == 0) return true;
  for (int i = x->shape.ndim - 1; i >= 0; i--) {
    if (x->shape.dim[i] != 1 && x->stride[i] != step) return false;
    step *= x->shape.dim[i];
  }
  return true;
}

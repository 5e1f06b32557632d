#include "tensor/tensor.h"

#include <string.h>

#include "base/mem.h"
#include "tensor/loop.h"

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
  if (x != NULL &&
      cvl_device_of(x)->clear(cvl_device_of(x), x->storage->data, x->storage->bytes, e) != 0) {
    cvl_release(x);
    return NULL;
  }
  return x;
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

static void copy_row(const cvl_loop *l, int64_t n, char *const *p) {
  int64_t d = l->step[0], s = l->step[1], size = *(const int64_t *)l->context;
  if (d == size && s == size) {
    memcpy(p[0], p[1], (size_t)(n * size));
    return;
  }
#define ROW(type) \
  for (int64_t i = 0; i < n; i++) *(type *)(p[0] + i * d) = *(const type *)(p[1] + i * s)
  switch (size) {
  case 1:
    ROW(uint8_t);
    break;
  case 4:
    ROW(uint32_t);
    break;
  default:
    ROW(uint64_t);
    break;
  }
#undef ROW
}

int cvl_tensor_copy(cvl_tensor *dst, const cvl_tensor *src, cvl_err *e) {
  int64_t size = (int64_t)cvl_dtype_size(dst->dtype);
  const cvl_tensor *operands[] = {dst, src};
  cvl_loop loop;
  (void)e;
  cvl_loop_init(&loop, &dst->shape, operands, 2);
  loop.context = &size;
  cvl_loop_run(&loop, copy_row);
  return 0;
}

cvl_tensor *cvl_tensor_clone(const cvl_tensor *x, cvl_device *device, cvl_err *e) {
  cvl_device *from = cvl_device_of(x);
  cvl_tensor *dense = NULL, *y = NULL;
  int rc = -1;
  if ((y = cvl_tensor_new(&x->shape, x->dtype, device, e)) == NULL) goto done;
  if (from->host_visible && device->host_visible) {
    rc = cvl_tensor_copy(y, x, e);
    goto done;
  }
  if (!cvl_is_dense(x)) {
    cvl_fail(e, CVL_ESTATE, 0, "only dense tensors move between devices");
    goto done;
  }
  if (from == device)
    rc = device->copy(device, cvl_data(y), cvl_data(x), y->storage->bytes, e);
  else if (from->host_visible)
    rc = device->from_host(device, cvl_data(y), cvl_data(x), y->storage->bytes, e);
  else if (device->host_visible)
    rc = from->to_host(from, cvl_data(y), cvl_data(x), y->storage->bytes, e);
  else if ((dense = cvl_tensor_clone(x, cvl_cpu(), e)) != NULL)
    rc = device->from_host(device, cvl_data(y), cvl_data(dense), y->storage->bytes, e);
done:
  cvl_release(dense);
  if (rc == 0) return y;
  cvl_release(y);
  return NULL;
}

double cvl_element(const cvl_tensor *x, int64_t index) {
  const void *p = cvl_data(x);
  switch (x->dtype) {
  case CVL_F32:
    return ((const float *)p)[index];
  case CVL_F64:
    return ((const double *)p)[index];
  case CVL_I32:
    return ((const int32_t *)p)[index];
  case CVL_I64:
    return (double)((const int64_t *)p)[index];
  default:
    return ((const uint8_t *)p)[index];
  }
}

double cvl_tensor_item(const cvl_tensor *x) { return cvl_element(x, 0); }

void cvl_tensor_fill(cvl_tensor *x, double v) {
  int64_t n = cvl_count(x);
  void *p = cvl_data(x);
#define FILL(type) \
  for (int64_t i = 0; i < n; i++) ((type *)p)[i] = (type)v
  switch (x->dtype) {
  case CVL_F32:
    FILL(float);
    break;
  case CVL_F64:
    FILL(double);
    break;
  case CVL_I32:
    FILL(int32_t);
    break;
  case CVL_I64:
    FILL(int64_t);
    break;
  case CVL_U8:
    FILL(uint8_t);
    break;
  default:
    FILL(_Bool);
    break;
  }
#undef FILL
}

/* Values in and out of tensors, on whatever device they lie. */
#include <string.h>

#include "device/recording.h"
#include "tensor/half.h"
#include "tensor/loop.h"
#include "tensor/tensor.h"

static int uses(const cvl_tensor *x, cvl_err *e) {
  return cvl_recording_uses(cvl_device_of(x), x->storage->data, x->storage->bytes, e);
}

/* ------------------------------------------------------------------------------------- copying */

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
  case 2:
    ROW(uint16_t);
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

/* Both on one device, any strides. */
static int copy_within(cvl_tensor *dst, const cvl_tensor *src, cvl_err *e) {
  cvl_device *d = cvl_device_of(dst);
  int64_t size = (int64_t)cvl_dtype_size(dst->dtype), count = cvl_count(dst);
  const cvl_tensor *operands[] = {dst, src};
  cvl_loop loop;
  if (count == 0) return 0;
  if (uses(dst, e) != 0 || uses(src, e) != 0) return -1;
  if (!d->host_visible && cvl_is_dense(dst) && cvl_is_dense(src) && count == cvl_count(src))
    return d->copy(d, cvl_data(dst), cvl_data(src), (size_t)(count * size), e);
  cvl_loop_init(&loop, &dst->shape, operands, 2);
  if (!d->host_visible) return d->move(d, &loop, (size_t)size, e);
  loop.context = &size;
  cvl_loop_run(&loop, copy_row);
  return 0;
}

/* Both dense and of one shape. */
static int transfer(cvl_tensor *dst, const cvl_tensor *src, cvl_err *e) {
  cvl_device *to = cvl_device_of(dst), *from = cvl_device_of(src);
  size_t bytes = (size_t)cvl_count(src) * cvl_dtype_size(src->dtype);
  cvl_tensor *host = NULL;
  int rc = -1;
  if (to == from || (to->host_visible && from->host_visible)) return copy_within(dst, src, e);
  if (bytes == 0) return 0;
  if (from->host_visible) return to->from_host(to, cvl_data(dst), cvl_data(src), bytes, e);
  if (to->host_visible) return from->to_host(from, cvl_data(dst), cvl_data(src), bytes, e);
  if ((host = cvl_tensor_new(&src->shape, src->dtype, cvl_cpu(), e)) != NULL &&
      from->to_host(from, cvl_data(host), cvl_data(src), bytes, e) == 0)
    rc = to->from_host(to, cvl_data(dst), cvl_data(host), bytes, e);
  cvl_release(host);
  return rc;
}

/* A dense copy of x where x lies. */
static cvl_tensor *dense_copy(const cvl_tensor *x, cvl_err *e) {
  cvl_tensor *y = cvl_tensor_new(&x->shape, x->dtype, cvl_device_of(x), e);
  if (y == NULL || copy_within(y, x, e) == 0) return y;
  cvl_release(y);
  return NULL;
}

cvl_tensor *cvl_tensor_clone(const cvl_tensor *x, cvl_device *device, cvl_err *e) {
  cvl_tensor *y, *dense = NULL;
  int rc = -1;
  if (device == cvl_device_of(x)) return dense_copy(x, e);
  if ((y = cvl_tensor_new(&x->shape, x->dtype, device, e)) == NULL) return NULL;
  if (cvl_is_dense(x))
    rc = transfer(y, x, e);
  else if ((dense = dense_copy(x, e)) != NULL)
    rc = transfer(y, dense, e);
  cvl_release(dense);
  if (rc == 0) return y;
  cvl_release(y);
  return NULL;
}

int cvl_tensor_copy(cvl_tensor *dst, const cvl_tensor *src, cvl_err *e) {
  cvl_tensor *there;
  int rc;
  if (cvl_device_of(dst) == cvl_device_of(src)) return copy_within(dst, src, e);
  if (cvl_is_dense(dst) && cvl_is_dense(src) && cvl_shape_equal(&dst->shape, &src->shape))
    return transfer(dst, src, e);
  if ((there = cvl_tensor_clone(src, cvl_device_of(dst), e)) == NULL) return -1;
  rc = copy_within(dst, there, e);
  cvl_release(there);
  return rc;
}

cvl_tensor *cvl_tensor_on_host(cvl_tensor *x, cvl_err *e) {
  return cvl_device_of(x)->host_visible ? cvl_retain(x) : cvl_tensor_clone(x, cvl_cpu(), e);
}

/* ------------------------------------------------------------------------------------- numbers */

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
  case CVL_BF16:
  case CVL_F16:
    return cvl_half_to_f32(x->dtype, ((const uint16_t *)p)[index]);
  default:
    return ((const uint8_t *)p)[index];
  }
}

double cvl_tensor_item(const cvl_tensor *x) { return cvl_element(x, 0); }

/* n elements of type t from p on become v. */
static void fill(cvl_dtype t, void *p, int64_t n, double v) {
#define FILL(type) FILL_WITH(type, v)
#define FILL_WITH(type, value) \
  for (int64_t i = 0; i < n; i++) ((type *)p)[i] = (type)(value)
  switch (t) {
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
  case CVL_BF16:
  case CVL_F16:
    FILL_WITH(uint16_t, cvl_half_from_f32(t, cvl_half_odd(v)));
    break;
  default:
    FILL(_Bool);
    break;
  }
#undef FILL
#undef FILL_WITH
}

int cvl_tensor_fill(cvl_tensor *x, double v, cvl_err *e) {
  cvl_device *d = cvl_device_of(x);
  _Alignas(8) unsigned char one[8];
  if (uses(x, e) != 0) return -1;
  if (d->host_visible) return fill(x->dtype, cvl_data(x), cvl_count(x), v), 0;
  fill(x->dtype, one, 1, v);
  return d->fill(d, cvl_data(x), one, cvl_dtype_size(x->dtype), cvl_count(x), e);
}

cvl_tensor *cvl_tensor_full(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device, double v,
                            cvl_err *e) {
  cvl_tensor *x = cvl_tensor_new(shape, dtype, device, e);
  if (x == NULL || cvl_tensor_fill(x, v, e) == 0) return x;
  cvl_release(x);
  return NULL;
}

int cvl_tensor_clear(cvl_tensor *x, cvl_err *e) {
  cvl_device *d = cvl_device_of(x);
  size_t bytes = (size_t)cvl_count(x) * cvl_dtype_size(x->dtype);
  if (uses(x, e) != 0) return -1;
  return bytes == 0 ? 0 : d->clear(d, cvl_data(x), bytes, e);
}

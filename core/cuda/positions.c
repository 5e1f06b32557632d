#include "cuda/positions.h"

#include "cuda/runtime.h"
#include "ops/position.h"

static cvl_tensor *on_host(const cvl_tensor *x, cvl_err *e) {
  cvl_tensor *y = cvl_tensor_new(&x->shape, x->dtype, cvl_cpu(), e);
  size_t bytes = (size_t)cvl_count(x) * cvl_dtype_size(x->dtype);
  if (y == NULL || cvl_cuda_to_host(cvl_device_of(x), cvl_data(y), cvl_data(x), bytes, e) == 0)
    return y;
  cvl_release(y);
  return NULL;
}

int cvl_cuda_positions_check(const cvl_tensor *positions, int64_t n, int axis, int arg,
                             cvl_err *e) {
  cvl_tensor *host = on_host(positions, e);
  int rc = host == NULL ? -1 : cvl_positions_check(host, n, axis, arg, e);
  cvl_release(host);
  return rc;
}

int cvl_cuda_labels_check(const cvl_tensor *labels, int64_t n, int arg, cvl_err *e) {
  cvl_tensor *host = on_host(labels, e);
  int rc = host == NULL ? -1 : cvl_labels_check(host, n, arg, e);
  cvl_release(host);
  return rc;
}

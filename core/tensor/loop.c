#include "tensor/loop.h"

void cvl_loop_init(cvl_loop *l, const cvl_shape *shape, const cvl_tensor *const *operands, int n) {
  l->n = n;
  l->ndim = 0;
  for (int i = 0; i < n; i++) l->base[i] = cvl_data(operands[i]);
  for (int axis = 0; axis < shape->ndim; axis++) {
    int64_t size = shape->dim[axis], stride[CVL_MAX_OPERANDS];
    int merge = l->ndim > 0;
    if (size == 1) continue;
    for (int i = 0; i < n; i++) {
      const cvl_tensor *x = operands[i];
      int own = axis - (shape->ndim - x->shape.ndim);
      stride[i] = own < 0 || x->shape.dim[own] == 1
                      ? 0
                      : x->stride[own] * (int64_t)cvl_dtype_size(x->dtype);
      if (merge && l->stride[i][l->ndim - 1] != stride[i] * size) merge = 0;
    }
    if (!merge) l->dim[l->ndim++] = 1;
    l->dim[l->ndim - 1] *= size;
    for (int i = 0; i < n; i++) l->stride[i][l->ndim - 1] = stride[i];
  }
  if (l->ndim == 0) { /* a scalar is a row of one */
    l->dim[l->ndim++] = 1;
    for (int i = 0; i < n; i++) l->stride[i][0] = 0;
  }
  for (int i = 0; i < n; i++) l->step[i] = l->stride[i][l->ndim - 1];
}

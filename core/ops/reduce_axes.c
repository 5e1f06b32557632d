#include "ops/reduce.h"

int cvl_reduce_axes(const cvl_ints *axes, int ndim, bool set[CVL_MAX_DIM], cvl_err *e) {
  for (int i = 0; i < CVL_MAX_DIM; i++) set[i] = axes->n < 0;
  for (int i = 0; i < axes->n; i++) {
    int axis = cvl_axis(axes->v[i], ndim, "axis", e);
    if (axis < 0) return -1;
    if (set[axis])
      return cvl_fail(e, CVL_EARG, 0, "each axis once expected, got axis %d twice", axis + 1);
    set[axis] = true;
  }
  return 0;
}

int cvl_reduce_axis(int64_t axis, int ndim, bool set[CVL_MAX_DIM], cvl_err *e) {
  cvl_ints one = {.n = axis == CVL_NO_AXIS ? -1 : 1, .v = {axis}};
  return cvl_reduce_axes(&one, ndim, set, e);
}

void cvl_reduce_shape(const cvl_shape *x, const bool set[CVL_MAX_DIM], bool keep, cvl_shape *y) {
  cvl_shape out = {0};
  for (int i = 0; i < x->ndim; i++)
    if (!set[i])
      out.dim[out.ndim++] = x->dim[i];
    else if (keep)
      out.dim[out.ndim++] = 1;
  *y = out;
}

int cvl_reduce_not_empty(const cvl_shape *x, const bool set[CVL_MAX_DIM], cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  for (int i = 0; i < x->ndim; i++)
    if (set[i] && x->dim[i] == 0)
      return cvl_fail(e, CVL_ESHAPE, 0,
                      "at least one element along axis %d expected, got a tensor %s", i + 1,
                      cvl_shape_text(x, text));
  return 0;
}

/* Appends an axis, or lets the last one grow when both together are even. */
static void append(cvl_axes_walk *w, int64_t dim, int64_t stride) {
  int last = w->ndim - 1;
  if (dim == 1) return;
  if (last >= 0 && w->stride[last] == stride * dim) {
    w->dim[last] *= dim;
    w->stride[last] = stride;
    return;
  }
  w->dim[w->ndim] = dim;
  w->stride[w->ndim++] = stride;
}

void cvl_reduction_init(cvl_reduction *r, const cvl_tensor *x, const bool set[CVL_MAX_DIM]) {
  *r = (cvl_reduction){.outputs = 1, .count = 1};
  for (int i = 0; i < x->shape.ndim; i++) {
    append(set[i] ? &r->reduced : &r->kept, x->shape.dim[i], x->stride[i]);
    *(set[i] ? &r->count : &r->outputs) *= x->shape.dim[i];
  }
  for (int i = 0; i < 2; i++) {
    cvl_axes_walk *w = i == 0 ? &r->kept : &r->reduced;
    if (w->ndim == 0) *w = (cvl_axes_walk){1, {1}, {0}};
  }
}

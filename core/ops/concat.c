/*
** concat(list, axis = 1) -> y    tensors one behind the other along an axis; the other sizes must
**                                agree
** stack(list, axis = 1) -> y     tensors of one shape along a new axis
*/
#ifdef CVL_DESCRIBE
#include <string.h>

#include "base/mem.h"
#include "ops/slice.h"

typedef struct {
  int64_t axis;
} concat_options;

static int64_t axis_or_first(const cvl_args *a) {
  int64_t axis = ((const concat_options *)a->options)->axis;
  return axis == CVL_NO_AXIS ? 0 : axis;
}

static int concat(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  int axis = cvl_axis(axis_or_first(a), y->shape.ndim, "axis", e);
  cvl_tensor place = {
      .dtype = y->dtype, .shape = y->shape, .offset = y->offset, .storage = y->storage};
  memcpy(place.stride, y->stride, sizeof place.stride);
  for (int i = 0; i < a->n_in; i++) {
    place.shape.dim[axis] = a->in[i]->shape.dim[axis];
    if (cvl_tensor_copy(&place, a->in[i], e) != 0) return -1;
    place.offset += place.shape.dim[axis] * place.stride[axis];
  }
  return 0;
}
static const cvl_kernels concat_kernels = {.forward = concat};

extern const cvl_op cvl_op_concat, cvl_op_unsqueeze;

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *first = &a->in[0]->shape;
  char t1[CVL_SHAPE_TEXT], ti[CVL_SHAPE_TEXT];
  int axis;
  if (first->ndim == 0)
    return cvl_fail(e, CVL_ESHAPE, 1, "tensors with axes expected, got a tensor {}");
  if ((axis = cvl_axis(axis_or_first(a), first->ndim, "axis", e)) < 0) return -1;
  y->shape = *first;
  for (int i = 1; i < a->n_in; i++) {
    cvl_shape other = a->in[i]->shape;
    int64_t size = axis < other.ndim ? other.dim[axis] : 0;
    if (axis < other.ndim) other.dim[axis] = first->dim[axis];
    if (!cvl_shape_equal(first, &other))
      return cvl_fail(e, CVL_ESHAPE, 1,
                      "shapes that differ on axis %d only expected, got %s and, as element %d, %s",
                      axis + 1, cvl_shape_text(first, t1), i + 1,
                      cvl_shape_text(&a->in[i]->shape, ti));
    if (__builtin_add_overflow(y->shape.dim[axis], size, &y->shape.dim[axis]))
      return cvl_fail(e, CVL_ESHAPE, 1, "the result is larger than any memory");
  }
  return 0;
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  int axis = cvl_axis(axis_or_first(a), gy->shape.ndim, "axis", s->e);
  int64_t first = 0;
  (void)y;
  if (axis < 0) return NULL;
  for (int k = 0; k < i; k++) first += a->in[k]->shape.dim[axis];
  return cvl_slice(s, gy, axis, first, a->in[i]->shape.dim[axis], 1);
}

CVL_OP(concat,
  .doc = "concat(list, axis = 1) -> y\n"
         "The tensors one behind the other along an axis; the other sizes must agree.",
  .list = true, .strided = true, .promotes = true, .drops = CVL_DROP_ALL, .shape = shape,
  .vjp = vjp, .anywhere = &concat_kernels,
  CVL_OPTIONS(concat_options,
    CVL_AXIS(concat_options, axis, CVL_ANY, "the axis; the first when left out")),
  CVL_SAMPLES("concat({randn{2, 3}, randn{1, 3}})",
              "concat({randn{2, 3}, randn{2, 1}, randn{2, 2}}, -1)",
              "concat({randn{3, 2}:transpose(1, 2), randn{2, 3}}, {axis = 1})",
              "concat({randn{2}})"),
  CVL_REJECTS({"concat({randn{2, 3}, randn{2, 2}}, 1)",
               "shapes that differ on axis 1 only expected, got {2, 3} and, as element 2, {2, 2}"},
              {"concat({randn{2}}, 2)", "axis 2 is out of range: the tensor has 1 axes"},
              {"concat({})", "1 to 1024 tensors expected, got 0"}));

static cvl_tensor *stack(cvl_scope *s, const cvl_args *a) {
  cvl_tensor **list = NULL, *y = NULL;
  char t1[CVL_SHAPE_TEXT], ti[CVL_SHAPE_TEXT];
  concat_options o = {axis_or_first(a)};
  for (int i = 1; i < a->n_in; i++)
    if (!cvl_shape_equal(&a->in[0]->shape, &a->in[i]->shape)) {
      cvl_fail(s->e, CVL_ESHAPE, 1, "tensors of one shape expected, got %s and, as element %d, %s",
               cvl_shape_text(&a->in[0]->shape, t1), i + 1, cvl_shape_text(&a->in[i]->shape, ti));
      return NULL;
    }
  if ((list = cvl_alloc_array((size_t)a->n_in, sizeof *list)) == NULL) {
    cvl_fail_memory(s->e, a->n_in * (long long)sizeof *list);
    return NULL;
  }
  for (int i = 0; i < a->n_in; i++) list[i] = cvl_call(s, &cvl_op_unsqueeze, &o, 1, a->in[i]);
  if (!cvl_scope_failed(s)) y = s->apply(s, &cvl_op_concat, list, a->n_in, &o);
  cvl_free(list);
  return y;
}

CVL_OP(stack,
  .doc = "stack(list, axis = 1) -> y\n"
         "Tensors of one shape along a new axis, which is axis `axis` of y.",
  .list = true, .strided = true, .promotes = true, .compose = stack,
  CVL_OPTIONS(concat_options,
    CVL_AXIS(concat_options, axis, CVL_ANY, "the new axis; the first when left out")),
  CVL_SAMPLES("stack({randn{2, 3}, randn{2, 3}})", "stack({randn{2}, randn{2}, randn{2}}, -1)",
              "stack({randn{3, 2}:transpose(1, 2), randn{2, 3}}, {axis = 2})"),
  CVL_REJECTS({"stack({randn{2, 3}, randn{2, 2}})",
              "tensors of one shape expected, got {2, 3} and, as element 2, {2, 2}"},
              {"stack({randn{2}}, 3)", "axis 3 is out of range: the result has 2 axes"}));
#endif

/* Elements and slices by their positions, for gradients, composed ops and layers. Everything is
** counted from 0. */
#ifndef CVL_OPS_GATHER_H
#define CVL_OPS_GATHER_H

#include "ops/call.h"

typedef struct {
  int64_t axis;    /* CVL_NO_AXIS: the first */
  cvl_shape shape; /* of the result, where it does not follow from the inputs */
} cvl_at_options;

typedef struct {
  int64_t class_count;
  int dtype;
} cvl_one_hot_options;

/* The axis of in[0] that positions count along, from 0. */
static inline int cvl_at_axis(const cvl_args *a, cvl_err *e) {
  int64_t axis = ((const cvl_at_options *)a->options)->axis;
  return cvl_axis(axis == CVL_NO_AXIS ? 0 : axis, a->in[0]->shape.ndim, "axis", e);
}

/* labels {...} -> {..., class_count}: 1 at the label, else 0. */
cvl_tensor *cvl_one_hot(cvl_scope *s, cvl_tensor *labels, int64_t class_count, cvl_dtype dtype);
/* The slices of x at the positions along an axis; the positions' axes take its place. */
cvl_tensor *cvl_index_select(cvl_scope *s, cvl_tensor *x, cvl_tensor *positions, int64_t axis);

#endif

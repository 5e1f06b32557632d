/* Shapes changed without touching the data, for gradients, composed ops and layers. */
#ifndef CVL_OPS_VIEW_H
#define CVL_OPS_VIEW_H

#include "ops/call.h"

typedef struct {
  cvl_ints shape;
} cvl_shape_options; /* reshape, expand, view */

typedef struct {
  cvl_ints axes;
} cvl_axes_options; /* permute, unslice */

typedef struct {
  int64_t a, b;
} cvl_two_axes_options; /* transpose */

typedef struct {
  int64_t axis;
} cvl_axis_options; /* squeeze, unsqueeze, flatten */

cvl_tensor *cvl_reshape(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape);
cvl_tensor *cvl_expand(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape);
cvl_tensor *cvl_transpose(cvl_scope *s, cvl_tensor *x, int64_t a,
                          int64_t b); /* axes from 0, or negative from the end */
/* Puts a result over axes[axis] == true back to `shape`: the axes return with size 1, then they are
** expanded. */
cvl_tensor *cvl_unreduce(cvl_scope *s, cvl_tensor *y, const bool axes[CVL_MAX_DIM],
                         const cvl_shape *shape);

#endif

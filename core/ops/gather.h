/* Elements and slices by their positions, for gradients, composed ops and layers. Everything is
** counted from 0. */
#ifndef CVL_OPS_GATHER_H
#define CVL_OPS_GATHER_H

#include "ops/call.h"

/* labels {...} -> {..., class_count}: 1 at the label, else 0. */
cvl_tensor *cvl_one_hot(cvl_scope *s, cvl_tensor *labels, int64_t class_count, cvl_dtype dtype);
/* The slices of x at the positions along an axis; the positions' axes take its place. */
cvl_tensor *cvl_index_select(cvl_scope *s, cvl_tensor *x, cvl_tensor *positions, int64_t axis);

#endif

#ifndef CVL_OPS_SLICE_H
#define CVL_OPS_SLICE_H

#include "ops/call.h"

/* `count` elements of an axis (from 0) from `first` (from 0) on, `step` apart; a view. */
cvl_tensor *cvl_slice(cvl_scope *s, cvl_tensor *x, int axis, int64_t first, int64_t count,
                      int64_t step);

#endif

#ifndef CVL_OPS_ONE_HOT_H
#define CVL_OPS_ONE_HOT_H

#include "ops/call.h"

/* labels {...}, counted from 0 -> {..., class_count}: 1 at the label, else 0. */
cvl_tensor *cvl_one_hot(cvl_scope *s, cvl_tensor *labels, int64_t class_count, cvl_dtype dtype);

#endif

#ifndef CVL_OPS_SOFTMAX_H
#define CVL_OPS_SOFTMAX_H

#include "ops/op.h"

/* Of softmax and log_softmax. */
typedef struct cvl_softmax_options {
  int64_t axis; /* CVL_NO_AXIS: the last */
} cvl_softmax_options;

#endif

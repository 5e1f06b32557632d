#ifndef CVL_OPS_TRIANGLE_H
#define CVL_OPS_TRIANGLE_H

#include "ops/op.h"

typedef struct {
  int64_t k; /* which diagonal; above the main one when > 0 */
} cvl_triangle_options;

#endif

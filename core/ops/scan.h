#ifndef CVL_OPS_SCAN_H
#define CVL_OPS_SCAN_H

#include "ops/op.h"

typedef struct {
  int64_t axis;
  bool reverse;
} cvl_cumsum_options;

typedef struct {
  int64_t k, axis; /* CVL_NO_AXIS: the last */
} cvl_topk_options;

#endif

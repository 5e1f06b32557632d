#ifndef CVL_OPS_SUM_H
#define CVL_OPS_SUM_H

#include "ops/op.h"

typedef struct {
  cvl_ints axis;
  bool keep;
  int leading; /* with keep: so many axes at the front are dropped all the same; for cvl_sum_to */
} cvl_sum_options;

#endif

#ifndef CVL_OPS_DROPOUT_H
#define CVL_OPS_DROPOUT_H

#include "ops/op.h"

typedef struct cvl_dropout_options {
  double rate;
  bool training;
} cvl_dropout_options;

extern const cvl_op cvl_op_dropout;

#endif

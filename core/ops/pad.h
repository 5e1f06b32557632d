#ifndef CVL_OPS_PAD_H
#define CVL_OPS_PAD_H

#include "ops/op.h"

typedef struct cvl_pad_options {
  cvl_padding pads; /* one pair for each axis */
  int mode;         /* 0: constant, 1: reflect, 2: replicate */
  double value;
} cvl_pad_options;

extern const cvl_op cvl_op_pad;

#endif

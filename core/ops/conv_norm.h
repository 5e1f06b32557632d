#ifndef CVL_OPS_CONV_NORM_H
#define CVL_OPS_CONV_NORM_H

#include "ops/batch_norm.h"
#include "ops/conv.h"

typedef struct cvl_conv_norm_options {
  cvl_conv_options conv;
  double epsilon;
  int activation; /* as of batch_norm */
} cvl_conv_norm_options;

extern const cvl_op cvl_op_conv_norm;

#endif

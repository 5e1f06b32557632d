#ifndef CVL_OPS_CONV_BATCH_NORM_H
#define CVL_OPS_CONV_BATCH_NORM_H

#include "ops/batch_norm.h"
#include "ops/conv.h"

typedef struct cvl_conv_batch_norm_options {
  cvl_conv_options conv;
  cvl_batch_norm_options norm; /* training is true */
} cvl_conv_batch_norm_options;

extern const cvl_op cvl_op_conv_batch_norm;

#endif

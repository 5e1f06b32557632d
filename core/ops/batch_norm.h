#ifndef CVL_OPS_BATCH_NORM_H
#define CVL_OPS_BATCH_NORM_H

#include "ops/op.h"

enum { CVL_NORM_IDENTITY, CVL_NORM_RELU }; /* what follows the normalisation in the same pass */

typedef struct cvl_batch_norm_options {
  double momentum, epsilon;
  bool training;
  int activation;
} cvl_batch_norm_options;

extern const cvl_op cvl_op_batch_norm;

#endif

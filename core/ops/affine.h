#ifndef CVL_OPS_AFFINE_H
#define CVL_OPS_AFFINE_H

#include "ops/op.h"

typedef enum cvl_affine_activation { CVL_AFFINE_IDENTITY, CVL_AFFINE_RELU } cvl_affine_activation;

typedef struct cvl_affine_options {
  int activation;
} cvl_affine_options;

/* act(x w + b), for layers; where cvl_op_kernels finds nothing for it, it is made of matmul, add and relu. */
extern const cvl_op cvl_op_affine;

#endif

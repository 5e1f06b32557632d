#ifndef CVL_OPS_MATMUL_H
#define CVL_OPS_MATMUL_H

#include "ops/op.h"

/* The sizes of one product, and the broadcast leading axes. */
typedef struct cvl_matmul_sizes {
  int64_t M, N, K;
  cvl_shape batch;
} cvl_matmul_sizes;

/* Of matmul(a, b); CVL_ESHAPE when they do not fit. */
int cvl_matmul_sizes_of(const cvl_shape *a, const cvl_shape *b, cvl_matmul_sizes *z, cvl_err *e);

#endif

#ifndef CVL_OPS_UPSAMPLE_H
#define CVL_OPS_UPSAMPLE_H

#include "ops/op.h"

enum { CVL_UPSAMPLE_NEAREST, CVL_UPSAMPLE_BILINEAR };

typedef struct cvl_upsample_options {
  cvl_ints size;
  int mode;
} cvl_upsample_options;

extern const cvl_op cvl_op_upsample;

#endif

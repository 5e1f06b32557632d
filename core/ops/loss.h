/* What losses share: how the terms become one number. */
#ifndef CVL_OPS_LOSS_H
#define CVL_OPS_LOSS_H

#include "ops/op.h"

typedef enum { CVL_MEAN, CVL_SUM, CVL_NONE } cvl_loss_reduction;
#define CVL_LOSS_REDUCTION(type) \
  CVL_CHOICE(type, reduction, CVL_MEAN, cvl_loss_reductions, "\"mean\", \"sum\" or \"none\"")
extern const char *const cvl_loss_reductions[]; /* "mean", "sum", "none" */

#endif

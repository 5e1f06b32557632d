/* What losses share: how the terms become one number. */
#ifndef CVL_OPS_LOSS_H
#define CVL_OPS_LOSS_H

#include "ops/op.h"

typedef enum { CVL_MEAN, CVL_SUM, CVL_NONE } cvl_loss_reduction;
#define CVL_LOSS_REDUCTION(type) \
  CVL_CHOICE(type, reduction, CVL_MEAN, cvl_loss_reductions, "\"mean\", \"sum\" or \"none\"")
extern const char *const cvl_loss_reductions[]; /* "mean", "sum", "none" */

typedef struct cvl_cross_entropy_options {
  double label_smoothing;
  int reduction;
} cvl_cross_entropy_options;

/* The label of a row, both from 0, is none of the classes. */
static inline int cvl_fail_label(cvl_err *e, int64_t label, int64_t row, int64_t classes) {
  return cvl_fail(
      e, CVL_EARG, 2,
      "label %lld of sample %lld is out of range: labels start at 1 and there are %lld classes",
      (long long)(label < 0 ? label : label + 1), (long long)row + 1, (long long)classes);
}

#endif

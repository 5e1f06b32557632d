/* The options of the rules, for their kernels on devices. */
#ifndef CVL_OPTIM_RULES_H
#define CVL_OPTIM_RULES_H

#include "optim/optim.h"

typedef struct cvl_sgd_options {
  cvl_optim_options common; /* first */
  double momentum;
  bool nesterov;
} cvl_sgd_options;

typedef struct cvl_adam_options { /* of AdamW too */
  cvl_optim_options common;       /* first */
  double beta1, beta2, epsilon;
  bool amsgrad;
} cvl_adam_options;

#endif

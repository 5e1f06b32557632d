/*
** Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), t from 1:
**   m <- beta1 m + (1 - beta1) g      v <- beta2 v + (1 - beta2) g^2
**   w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
** amsgrad: v's largest value so far takes its place in the last line (Reddi et al. 2018, arXiv:1904.09237).
** AdamW: the same with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).
*/
#include "optim/rules.h"

#include <math.h>

typedef cvl_adam_options options;

static int states(const void *o) { return ((const options *)o)->amsgrad ? 3 : 2; }

static void update(const void *options_, const cvl_update *u, cvl_dtype dtype, int64_t n,
                   const void *g, void *w, void *const *state) {
  const options *o = options_;
  cvl_adam_rule r = {.gradient = u->gradient,
                     .lr = u->lr,
                     .beta1 = o->beta1,
                     .beta2 = o->beta2,
                     .epsilon = o->epsilon};
  r.bias1 = 1 - pow(o->beta1, (double)u->step);
  r.bias2 = 1 - pow(o->beta2, (double)u->step);
  if (dtype == CVL_F32)
    cvl_update_used()->adam_f32(&r, n, g, w, state[0], state[1], state[2]);
  else
    cvl_update_used()->adam_f64(&r, n, g, w, state[0], state[1], state[2]);
}

#define ADAM(weight_decay, decoupled)                                                          \
  CVL_OPTIONS(                                                                                 \
      options, CVL_OPTIM_COMMON(0.001, weight_decay, decoupled),                               \
      CVL_NUMBER(options, beta1, 0.9, CVL_PROBABILITY, "how much of the mean gradient stays"), \
      CVL_NUMBER(options, beta2, 0.999, CVL_PROBABILITY, "how much of the mean square stays"), \
      CVL_NUMBER(options, epsilon, 1e-8, CVL_NOT_NEGATIVE,                                     \
                 "added to the root of the mean square"),                                      \
      CVL_FLAG(options, amsgrad, 0, "divide by the largest mean square so far")),              \
      .state = {"moment1", "moment2", "moment2_max"}, .states = states, .update = update

CVL_OPTIM(Adam,
  .doc = "Adam{learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, amsgrad = false, weight_decay = 0, decoupled = false, decay = 0, clip_norm = 0, clip_value = 0}\n"
         "Steps of the mean gradient divided by the root of its mean square, both corrected for their start at 0. Kingma & "
         "Ba 2015, arXiv:1412.6980; amsgrad: Reddi et al. 2018.",
  ADAM(0, 0));
CVL_OPTIM(AdamW,
  .doc = "AdamW{learning_rate = 0.001, weight_decay = 0.01, ...}\n"
         "Adam with decoupled weight decay: w <- w - lr*weight_decay*w beside Adam's step. Loshchilov & Hutter 2019, "
         "arXiv:1711.05101.",
  ADAM(0.01, 1));

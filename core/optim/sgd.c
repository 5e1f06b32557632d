/*
** SGD, with momentum m (Polyak 1964) the learning rate within the velocity:
**   v <- m v - lr g      w <- w + v      or with nesterov  w <- w + m v - lr g   (Sutskever et al. 2013)
*/
#include "optim/rules.h"

typedef cvl_sgd_options options;

static int states(const void *o) { return ((const options *)o)->momentum > 0 ? 1 : 0; }

static int check(const void *options_, cvl_err *e) {
  const options *o = options_;
  if (o->nesterov && o->momentum == 0) return cvl_fail(e, CVL_EARG, 0, "nesterov needs a momentum");
  return 0;
}

static void update(const void *options_, const cvl_update *u, cvl_dtype dtype, int64_t n,
                   const void *g, void *w, void *const *state) {
  const options *o = options_;
  cvl_sgd_rule r = {
      .gradient = u->gradient, .lr = u->lr, .momentum = o->momentum, .nesterov = o->nesterov};
  if (dtype == CVL_F32)
    cvl_update_used()->sgd_f32(&r, n, g, w, state[0]);
  else
    cvl_update_used()->sgd_f64(&r, n, g, w, state[0]);
}

CVL_OPTIM(SGD,
  .doc = "SGD{learning_rate = 0.01, momentum = 0, nesterov = false, weight_decay = 0, decoupled = false, decay = 0, clip_norm = 0, clip_value = 0}\n"
         "Stochastic gradient descent: v <- momentum*v - lr*g, w <- w + v, with nesterov w <- w + momentum*v - lr*g; "
         "lr = learning_rate / (1 + decay*t) in step t.",
  CVL_OPTIONS(options, CVL_OPTIM_COMMON(0.01, 0, 0),
              CVL_NUMBER(options, momentum, 0, CVL_PROBABILITY, "how much of the velocity stays"),
              CVL_FLAG(options, nesterov, 0, "look ahead along the velocity")),
  .state = {"velocity"}, .states = states, .check = check, .update = update);

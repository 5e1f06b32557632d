/* Dropout: in training each element becomes 0 with probability rate, else x / (1 - rate); outside of training y = x. */
#include "ops/dropout.h"

#include "layers/layer.h"

typedef struct {
  double rate;
} options;

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  const options *o = l->options;
  cvl_dropout_options d = {.rate = o->rate, .training = l->training};
  return cvl_call(s, &cvl_op_dropout, &d, 1, in[0]);
}

CVL_LAYER(Dropout,
  .doc = "Dropout{rate = 0.5}\n"
         "In training, zeroes each element with probability rate and divides the others by 1 - rate; else y = x. "
         "Srivastava et al. 2014, JMLR 15.",
  .n_in = 1, .forward = forward,
  CVL_OPTIONS(options, CVL_NUMBER(options, rate, 0.5, CVL_PROBABILITY, "probability that an element becomes 0")));

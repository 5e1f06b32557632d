/*
** BatchNorm: y = activation((x - mean) / sqrt(var + epsilon) * scale + offset + residual)
**   x, residual (or nil), y {..., C}   scale, offset, running_mean, running_var {C}      ops/batch_norm.c has the rest
** In training with the batch's statistics, which the running ones follow; else with the running ones. relu and the residual
** add are done in the same pass over memory.
*/
#include "ops/batch_norm.h"

#include <string.h>

#include "layers/layer.h"

typedef struct {
  int64_t feature_count;
  double momentum, epsilon;
  int activation;
} options;

static int build(cvl_layer *l, cvl_err *e) {
  const options *o = l->options;
  cvl_shape shape = {.ndim = 1, .dim = {o->feature_count}};
  cvl_fans none = {0};
  if (o->feature_count < 1)
    return cvl_fail(e, CVL_EARG, 0, "feature_count must be positive, got %lld",
                    (long long)o->feature_count);
  if (o->momentum > 1)
    return cvl_fail(e, CVL_EARG, 0, "momentum must be between 0 and 1, got %g", o->momentum);
  if (cvl_declare_parameter(l, "offset", &shape, CVL_INIT_ZEROS, none, e) != 0) return -1;
  if (cvl_declare_parameter(l, "scale", &shape, CVL_INIT_ONES, none, e) != 0) return -1;
  if (cvl_declare_buffer(l, "running_mean", &shape, 0, e) != 0) return -1;
  return cvl_declare_buffer(l, "running_var", &shape, 1, e);
}

static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  const options *o = l->options;
  bool relu = strcmp(cvl_activations[o->activation], "relu") == 0;
  cvl_batch_norm_options b = {.momentum = o->momentum,
                              .epsilon = o->epsilon,
                              .training = l->training,
                              .activation = relu ? CVL_NORM_RELU : CVL_NORM_IDENTITY};
  cvl_tensor *y;
  if (cvl_check_channels(&in[0]->shape, -2, o->feature_count, s->e) != 0) return NULL;
  if (in[1] != NULL && !cvl_shape_equal(&in[1]->shape, &in[0]->shape)) {
    char x[CVL_SHAPE_TEXT], residual[CVL_SHAPE_TEXT];
    cvl_fail(s->e, CVL_ESHAPE, 2, "expected a residual %s as x, got %s",
             cvl_shape_text(&in[0]->shape, x), cvl_shape_text(&in[1]->shape, residual));
    return NULL;
  }
  y = cvl_call(s, &cvl_op_batch_norm, &b, 6, in[0], cvl_slot_tensor(l, "scale"),
               cvl_slot_tensor(l, "offset"), cvl_slot_tensor(l, "running_mean"),
               cvl_slot_tensor(l, "running_var"), in[1]);
  return relu ? y : cvl_activate(s, o->activation, y);
}

static bool statistics(const cvl_layer *l, cvl_statistics *given) {
  const options *o = l->options;
  given->scale = cvl_slot_tensor(l, "scale");
  given->offset = cvl_slot_tensor(l, "offset");
  given->mean = cvl_slot_tensor(l, "running_mean");
  given->var = cvl_slot_tensor(l, "running_var");
  given->momentum = o->momentum;
  given->epsilon = o->epsilon;
  given->training = l->training;
  given->relu = strcmp(cvl_activations[o->activation], "relu") == 0;
  return given->relu || o->activation == 0;
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  (void)y, (void)multiply_adds;
  return cvl_check_channels(x, -2, ((const options *)l->options)->feature_count, e);
}

CVL_LAYER(BatchNorm,
  .doc = "BatchNorm{feature_count, momentum = 0.99, epsilon = 1e-3, activation = \"identity\"}\n"
         "norm(x, residual or nil): x {..., feature_count} -> the same shape, each channel with mean 0 and variance 1, then "
         "* scale + offset + residual and the activation. In training the batch's statistics are used, and the running ones "
         "become momentum*running + (1 - momentum)*batch (TensorFlow's momentum). Ioffe & Szegedy 2015, arXiv:1502.03167.",
  .n_in = 2, .n_optional = 1, .build = build, .forward = forward, .statistics = statistics, .cost = cost,
  CVL_OPTIONS(options, CVL_INTEGER(options, feature_count, 0, CVL_REQUIRED, "channels, the last axis of x"),
              CVL_NUMBER(options, momentum, 0.99, CVL_NOT_NEGATIVE, "how much of the running statistics stays at each step"),
              CVL_NUMBER(options, epsilon, 1e-3, CVL_NOT_NEGATIVE, "added to the variance"), CVL_ACTIVATION(options)));

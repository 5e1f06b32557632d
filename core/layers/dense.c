/* Dense: y = activation(x weight + bias)      x {..., in}   weight {in, out}   bias {out}   y {..., out} */
#include <string.h>

#include "layers/layer.h"
#include "ops/affine.h"

typedef struct {
  int64_t input_size, output_size;
  bool use_bias;
  int activation, weight_initializer, bias_initializer;
} options;

extern const cvl_op cvl_op_matmul;

static int build(cvl_layer *l, cvl_err *e) {
  const options *o = l->options;
  cvl_shape weight = {.ndim = 2, .dim = {o->input_size, o->output_size}},
            bias = {.ndim = 1, .dim = {o->output_size}};
  cvl_fans fans = {(double)o->input_size, (double)o->output_size};
  if (o->input_size < 1 || o->output_size < 1)
    return cvl_fail(e, CVL_EARG, 0,
                    "input_size and output_size must be positive, got %lld and %lld",
                    (long long)o->input_size, (long long)o->output_size);
  if (o->use_bias &&
      cvl_declare_parameter(l, "bias", &bias, (cvl_initializer)o->bias_initializer, fans, e) != 0)
    return -1;
  return cvl_declare_parameter(l, "weight", &weight, (cvl_initializer)o->weight_initializer, fans,
                               e);
}

/* In one call where there is a kernel for that, with the activation if it is a ReLU. */
static cvl_tensor *forward(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in) {
  const options *o = l->options;
  cvl_tensor *weight = cvl_slot_tensor(l, "weight"), *bias = cvl_slot_tensor(l, "bias"), *y;
  if (cvl_check_channels(&in[0]->shape, -1, o->input_size, s->e) != 0) return NULL;
  if (in[0]->dtype == weight->dtype && cvl_op_kernels(&cvl_op_affine, in[0], NULL) != NULL) {
    bool relu = strcmp(cvl_activations[o->activation], "relu") == 0;
    cvl_affine_options c = {relu ? CVL_AFFINE_RELU : CVL_AFFINE_IDENTITY};
    y = cvl_call(s, &cvl_op_affine, &c, 3, in[0], weight, bias);
    return relu ? y : cvl_activate(s, o->activation, y);
  }
  y = cvl_call(s, &cvl_op_matmul, NULL, 2, in[0], weight);
  if (bias != NULL) y = cvl_add(s, y, bias);
  return cvl_activate(s, o->activation, y);
}

static int cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                cvl_err *e) {
  const options *o = l->options;
  if (cvl_check_channels(x, -1, o->input_size, e) != 0) return -1;
  y->dim[y->ndim - 1] = o->output_size;
  return cvl_count_products(x, &o->output_size, 1, multiply_adds, e);
}

CVL_LAYER(Dense,
  .doc = "Dense{input_size, output_size, use_bias = true, activation = \"identity\"}\n"
         "x {..., input_size} -> {..., output_size}: activation(x weight + bias), weight {input_size, output_size}.",
  .n_in = 1, .build = build, .forward = forward, .cost = cost,
  CVL_OPTIONS(options, CVL_INTEGER(options, input_size, 0, CVL_REQUIRED, "numbers in the last axis of x"),
              CVL_INTEGER(options, output_size, 0, CVL_REQUIRED, "numbers in the last axis of the result"),
              CVL_FLAG(options, use_bias, 1, "add a bias"), CVL_ACTIVATION(options),
              CVL_CHOICE(options, weight_initializer, 0, cvl_initializers, "how the weight starts, by name"),
              CVL_BIAS_INITIALIZER(options)));

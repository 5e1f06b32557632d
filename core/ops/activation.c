/*
** Activations, element by element; floating.
**   relu max(x, 0)         relu6 min(max(x, 0), 6)      leaky_relu x > 0 ? x : slope x
**   sigmoid 1 / (1 + e^-x)                              tanh
**   elu x > 0 ? x : alpha (e^x - 1)                     Clevert et al. 2016, arXiv:1511.07289
**   selu scale (x > 0 ? x : alpha (e^x - 1))            Klambauer et al. 2017, arXiv:1706.02515
**   gelu x Phi(x), Phi the normal distribution          Hendrycks & Gimpel 2016, arXiv:1606.08415
**   silu (swish) x sigmoid(x)                           Ramachandran et al. 2017, arXiv:1710.05941
**   mish x tanh(softplus(x))                            Misra 2019, arXiv:1908.08681
**   softplus ln(1 + e^x)   log_sigmoid -softplus(-x)    softsign x / (1 + |x|)
**   hard_sigmoid relu6(x + 3) / 6, hard_swish x hard_sigmoid(x)
**                                                       Howard et al. 2019, arXiv:1905.02244
** NaN stays NaN, so that a guard finds it. At kinks the gradient is that of the left side.
*/
/* CVL_EVERY_DEVICE */
#include "ops/elementwise.h"

#define O const cvl_no_options *o
#define F(name, formula) \
  CVL_SCALAR real name(real x, O) { return (void)o, formula; }
#define DF(name, formula) \
  CVL_SCALAR real name(real x, real y, O) { return (void)x, (void)y, (void)o, formula; }
#define SELU_SCALE 1.0507009873554805
#define SELU_ALPHA 1.6732632423543772
#define GELU_ROOT 0.7978845608028654 /* sqrt(2 / pi) */
#define GELU_CUBE 0.044715
#define PHI_SCALE 0.3989422804014327 /* 1 / sqrt(2 pi) */
#define HALF_ROOT 0.7071067811865476 /* sqrt(1 / 2) */

F(relu_of, x <= 0 ? 0 : x)
DF(relu_d, y > 0 ? 1 : 0)
CVL_UNARY(relu, cvl_no_options, relu_of, relu_d)

F(relu6_of, x <= 0 ? 0 : x > 6 ? 6 : x)
DF(relu6_d, y > 0 && y < 6 ? 1 : 0)
CVL_UNARY(relu6, cvl_no_options, relu6_of, relu6_d)

typedef struct {
  double negative_slope;
} leaky_options;
CVL_SCALAR real leaky(real x, const leaky_options *o) {
  real left = (real)o->negative_slope * x; /* outside of the choice: the loop is vector code then */
  return x > 0 ? x : left;
}
CVL_SCALAR real leaky_d(real x, real y, const leaky_options *o) {
  real slope = (real)o->negative_slope;
  return (void)y, x > 0 ? 1 : slope;
}
CVL_UNARY(leaky_relu, leaky_options, leaky, leaky_d)

typedef struct {
  double alpha;
} elu_options;
CVL_SCALAR real elu_of(real x, const elu_options *o) {
  real left = (real)o->alpha * cvl_expm1(x);
  return x > 0 ? x : left;
}
CVL_SCALAR real elu_d(real x, real y, const elu_options *o) {
  real left = y + (real)o->alpha;
  return x > 0 ? 1 : left;
}
CVL_UNARY(elu, elu_options, elu_of, elu_d)

CVL_SCALAR real selu_of(real x, O) {
  real left = (real)SELU_ALPHA * cvl_expm1(x);
  return (void)o, (real)SELU_SCALE * (x > 0 ? x : left);
}
DF(selu_d, x > 0 ? (real)SELU_SCALE : y + (real)(SELU_SCALE * SELU_ALPHA))
CVL_UNARY(selu, cvl_no_options, selu_of, selu_d)

CVL_SCALAR real gelu_of(real x, O) { return (void)o, x / 2 * (1 + cvl_erf(x * (real)HALF_ROOT)); }
CVL_SCALAR real gelu_d(real x, real y, O) {
  (void)y, (void)o;
  return (1 + cvl_erf(x * (real)HALF_ROOT)) / 2 + x * (real)PHI_SCALE * cvl_exp(-x * x / 2);
}
CVL_UNARY(gelu_erf, cvl_no_options, gelu_of, gelu_d)

CVL_SCALAR real gelu_inner(real x) { return (real)GELU_ROOT * (x + (real)GELU_CUBE * x * x * x); }
CVL_SCALAR real gelu_tanh_of(real x, O) { return (void)o, x / 2 * (1 + cvl_tanh(gelu_inner(x))); }
CVL_SCALAR real gelu_tanh_d(real x, real y, O) {
  real t = cvl_tanh(gelu_inner(x));
  (void)y, (void)o;
  return (1 + t + x * (1 - t * t) * (real)GELU_ROOT * (1 + 3 * (real)GELU_CUBE * x * x)) / 2;
}
CVL_UNARY(gelu_tanh, cvl_no_options, gelu_tanh_of, gelu_tanh_d)

F(sigmoid_of, cvl_sigmoid(x))
DF(sigmoid_d, y *(1 - y))
CVL_UNARY(sigmoid, cvl_no_options, sigmoid_of, sigmoid_d)

F(tanh_of, cvl_tanh(x))
DF(tanh_d, 1 - y * y)
CVL_UNARY(tanh, cvl_no_options, tanh_of, tanh_d)

F(silu_of, x *cvl_sigmoid(x))
CVL_SCALAR real silu_d(real x, real y, O) {
  real g = cvl_sigmoid(x);
  return (void)y, (void)o, g * (1 + x * (1 - g));
}
CVL_UNARY(silu, cvl_no_options, silu_of, silu_d)

F(softplus_of, cvl_softplus(x))
DF(softplus_d, cvl_sigmoid(x))
CVL_UNARY(softplus, cvl_no_options, softplus_of, softplus_d)

F(log_sigmoid_of, -cvl_softplus(-x))
DF(log_sigmoid_d, cvl_sigmoid(-x))
CVL_UNARY(log_sigmoid, cvl_no_options, log_sigmoid_of, log_sigmoid_d)

/* tanh(ln(1 + n)) with n = e^x, without the logarithm; 1 to the last bit beyond 20. */
CVL_SCALAR real mish_tanh(real x) {
  real n = cvl_exp(x > 20 ? 20 : x), w = n * (n + 2);
  return w / (w + 2);
}
CVL_SCALAR real mish_of(real x, O) { return (void)o, x * mish_tanh(x); }
CVL_SCALAR real mish_d(real x, real y, O) {
  real t = mish_tanh(x);
  return (void)y, (void)o, t + x * (1 - t * t) * cvl_sigmoid(x);
}
CVL_UNARY(mish, cvl_no_options, mish_of, mish_d)

F(softsign_of, x / (1 + fabs(x)))
DF(softsign_d, 1 / ((1 + fabs(x)) * (1 + fabs(x))))
CVL_UNARY(softsign, cvl_no_options, softsign_of, softsign_d)

F(hard_sigmoid_of, x <= -3 ? 0 : x > 3 ? 1 : (x + 3) / 6)
DF(hard_sigmoid_d, y > 0 && y < 1 ? (real)1 / 6 : 0)
CVL_UNARY(hard_sigmoid, cvl_no_options, hard_sigmoid_of, hard_sigmoid_d)

F(hard_swish_of, x *hard_sigmoid_of(x, o))
DF(hard_swish_d, x <= -3 ? 0 : x > 3 ? 1 : (2 * x + 3) / 6)
CVL_UNARY(hard_swish, cvl_no_options, hard_swish_of, hard_swish_d)

#ifdef CVL_DESCRIBE
#include "ops/call.h"

extern const cvl_op cvl_op_sigmoid, cvl_op_tanh, cvl_op_softplus, cvl_op_erf, cvl_op_gt, cvl_op_le,
    cvl_op_lt, cvl_op_abs, cvl_op_gelu_erf, cvl_op_gelu_tanh;

#define VJP(name) \
  static cvl_tensor *name(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i)
#define X a->in[i]
#define CALL(op, x) cvl_call(s, &cvl_op_##op, NULL, 1, x)

/* 1 where x > c, else 0, as numbers of x's type; its own gradient is 0. */
static cvl_tensor *above(cvl_scope *s, cvl_tensor *x, double c) {
  cvl_tensor *mask = cvl_call(s, &cvl_op_gt, NULL, 2, x, cvl_scalar(s, x, c));
  return mask == NULL ? NULL : cvl_cast(s, mask, x->dtype);
}
static cvl_tensor *below(cvl_scope *s, cvl_tensor *x, double c) {
  cvl_tensor *mask = cvl_call(s, &cvl_op_lt, NULL, 2, x, cvl_scalar(s, x, c));
  return mask == NULL ? NULL : cvl_cast(s, mask, x->dtype);
}
/* a where x > 0, b elsewhere; a and b finite. */
static cvl_tensor *by_sign(cvl_scope *s, cvl_tensor *x, cvl_tensor *a, cvl_tensor *b) {
  cvl_tensor *positive = above(s, x, 0);
  return cvl_add(s, b, cvl_mul(s, positive, cvl_sub(s, a, b)));
}
static cvl_tensor *one_minus(cvl_scope *s, cvl_tensor *x) {
  return cvl_add_scalar(s, cvl_neg(s, x), 1);
}

VJP(relu_vjp) { return (void)a, (void)i, cvl_mul(s, gy, above(s, y, 0)); }
VJP(relu6_vjp) {
  return (void)a, (void)i, cvl_mul(s, gy, cvl_mul(s, above(s, y, 0), below(s, y, 6)));
}
VJP(leaky_relu_vjp) {
  double slope = ((const leaky_options *)a->options)->negative_slope;
  cvl_tensor *d = cvl_add_scalar(s, cvl_mul_scalar(s, above(s, X, 0), 1 - slope), slope);
  return (void)y, cvl_mul(s, gy, d);
}
VJP(elu_vjp) {
  double alpha = ((const elu_options *)a->options)->alpha;
  cvl_tensor *left = cvl_add_scalar(s, y, alpha);
  return cvl_mul(s, gy, by_sign(s, X, cvl_full_like(s, y, 1), left));
}
VJP(selu_vjp) {
  cvl_tensor *left = cvl_add_scalar(s, y, SELU_SCALE * SELU_ALPHA);
  return cvl_mul(s, gy, by_sign(s, X, cvl_full_like(s, y, SELU_SCALE), left));
}
VJP(gelu_erf_vjp) {
  cvl_tensor *bell = cvl_exp_of(s, cvl_mul_scalar(s, cvl_square(s, X), -0.5));
  cvl_tensor *phi = CALL(erf, cvl_mul_scalar(s, X, HALF_ROOT));
  phi = cvl_mul_scalar(s, cvl_add_scalar(s, phi, 1), 0.5);
  bell = cvl_mul_scalar(s, bell, PHI_SCALE);
  return (void)y, cvl_mul(s, gy, cvl_add(s, phi, cvl_mul(s, X, bell)));
}
VJP(gelu_tanh_vjp) {
  cvl_tensor *square = cvl_mul_scalar(s, cvl_square(s, X), GELU_ROOT * GELU_CUBE);
  cvl_tensor *inner = cvl_mul(s, X, cvl_add_scalar(s, square, GELU_ROOT));
  cvl_tensor *slope = cvl_add_scalar(s, cvl_mul_scalar(s, square, 3), GELU_ROOT);
  cvl_tensor *t = CALL(tanh, inner), *dt = cvl_mul(s, one_minus(s, cvl_square(s, t)), slope);
  cvl_tensor *twice = cvl_add_scalar(s, cvl_add(s, t, cvl_mul(s, X, dt)), 1);
  return (void)y, cvl_mul(s, gy, cvl_mul_scalar(s, twice, 0.5));
}

typedef struct {
  bool approximate;
} gelu_options;

static cvl_tensor *gelu(cvl_scope *s, const cvl_args *a) {
  bool approximate = ((const gelu_options *)a->options)->approximate;
  return cvl_call(s, approximate ? &cvl_op_gelu_tanh : &cvl_op_gelu_erf, NULL, 1, a->in[0]);
}

VJP(sigmoid_vjp) { return (void)a, (void)i, cvl_mul(s, gy, cvl_mul(s, y, one_minus(s, y))); }
VJP(tanh_vjp) { return (void)a, (void)i, cvl_mul(s, gy, one_minus(s, cvl_square(s, y))); }
VJP(silu_vjp) {
  cvl_tensor *g = CALL(sigmoid, X);
  cvl_tensor *d = cvl_mul(s, g, cvl_add_scalar(s, cvl_mul(s, X, one_minus(s, g)), 1));
  return (void)y, cvl_mul(s, gy, d);
}
VJP(softplus_vjp) { return (void)y, cvl_mul(s, gy, CALL(sigmoid, X)); }
VJP(log_sigmoid_vjp) { return (void)y, cvl_mul(s, gy, CALL(sigmoid, cvl_neg(s, X))); }
VJP(mish_vjp) {
  cvl_tensor *t = CALL(tanh, CALL(softplus, X));
  cvl_tensor *dt = cvl_mul(s, one_minus(s, cvl_square(s, t)), CALL(sigmoid, X));
  return (void)y, cvl_mul(s, gy, cvl_add(s, t, cvl_mul(s, X, dt)));
}
VJP(softsign_vjp) {
  cvl_tensor *d = cvl_square(s, cvl_add_scalar(s, CALL(abs, X), 1));
  return (void)y, cvl_div(s, gy, d);
}
VJP(hard_sigmoid_vjp) {
  cvl_tensor *d = cvl_mul_scalar(s, cvl_mul(s, above(s, y, 0), below(s, y, 1)), 1.0 / 6);
  return (void)a, (void)i, cvl_mul(s, gy, d);
}
VJP(hard_swish_vjp) {
  cvl_tensor *high = above(s, X, 3), *middle = cvl_sub(s, above(s, X, -3), high);
  cvl_tensor *slope = cvl_add_scalar(s, cvl_mul_scalar(s, X, 1.0 / 3), 0.5);
  return (void)y, cvl_mul(s, gy, cvl_add(s, high, cvl_mul(s, middle, slope)));
}

#define ACTIVATION .n_in = 1, .strided = true, .floating = true, .shape = cvl_shape_same
#define NEEDS_X .drops = CVL_DROP_Y
#define NEEDS_Y .drops = CVL_DROP_X0
#define SAMPLES(name) \
  CVL_SAMPLES(#name "(randn{2, 3})", #name "(randn{3, 1, 2}:transpose(1, 3) * 3)")
#define REJECTS(name)                                      \
  CVL_REJECTS({#name "(nil)", "tensor expected, got nil"}, \
              {#name "(randn{2}:cast(\"int32\"))", "float32 or float64 expected, got int32"})

CVL_OP(relu,
  .doc = "relu(x) -> y\ny = max(x, 0); the gradient at 0 is 0.",
  ACTIVATION, NEEDS_Y, .vjp = relu_vjp, SAMPLES(relu), REJECTS(relu));
CVL_OP(relu6,
  .doc = "relu6(x) -> y\ny = min(max(x, 0), 6).",
  ACTIVATION, NEEDS_Y, .vjp = relu6_vjp, SAMPLES(relu6), REJECTS(relu6));
CVL_OP(leaky_relu,
  .doc = "leaky_relu(x, {negative_slope = 0.01}) -> y\n"
         "y = x where x > 0, else negative_slope * x.",
  ACTIVATION, NEEDS_X, .vjp = leaky_relu_vjp,
  CVL_OPTIONS(leaky_options,
    CVL_NUMBER(leaky_options, negative_slope, 0.01, CVL_ANY, "slope below 0")),
  CVL_SAMPLES("leaky_relu(randn{2, 3})",
              "leaky_relu(randn{3, 2}:transpose(1, 2), {negative_slope = 0.2})"),
  REJECTS(leaky_relu));
CVL_OP(elu,
  .doc = "elu(x, {alpha = 1}) -> y\n"
         "y = x where x > 0, else alpha (e^x - 1). Clevert et al. 2016.",
  ACTIVATION, .vjp = elu_vjp,
  CVL_OPTIONS(elu_options,
    CVL_NUMBER(elu_options, alpha, 1, CVL_ANY, "tends to -alpha as x falls")),
  CVL_SAMPLES("elu(randn{2, 3})", "elu(randn{3, 2}:transpose(1, 2), {alpha = 0.5})"), REJECTS(elu));
CVL_OP(selu,
  .doc = "selu(x) -> y\n"
         "y = 1.0507 (x where x > 0, else 1.6733 (e^x - 1)): keeps mean 0 and variance 1. "
         "Klambauer et al. 2017.",
  ACTIVATION, .vjp = selu_vjp, SAMPLES(selu), REJECTS(selu));
CVL_OP(gelu_erf,
  .doc = "gelu_erf(x) -> y\ngelu, exact.",
  ACTIVATION, NEEDS_X, .internal = true, .vjp = gelu_erf_vjp, SAMPLES(gelu_erf));
CVL_OP(gelu_tanh,
  .doc = "gelu_tanh(x) -> y\ngelu, approximated.",
  ACTIVATION, NEEDS_X, .internal = true, .vjp = gelu_tanh_vjp, SAMPLES(gelu_tanh));
CVL_OP(gelu,
  .doc = "gelu(x, {approximate = false}) -> y\n"
         "y = x Phi(x), Phi the normal distribution; approximate: x / 2 (1 + tanh(sqrt(2 / pi) (x "
         "+ 0.044715 x^3))). Hendrycks & Gimpel 2016.",
  .n_in = 1, .strided = true, .floating = true, .computes = true, .compose = gelu,
  CVL_OPTIONS(gelu_options,
    CVL_FLAG(gelu_options, approximate, false, "the formula with tanh")),
  CVL_SAMPLES("gelu(randn{2, 3})", "gelu(randn{3, 2}:transpose(1, 2), {approximate = true})"),
  REJECTS(gelu));
CVL_OP(silu,
  .doc = "silu(x) -> y\ny = x sigmoid(x), also called swish.",
  ACTIVATION, NEEDS_X, .vjp = silu_vjp, SAMPLES(silu), REJECTS(silu));
CVL_OP(sigmoid,
  .doc = "sigmoid(x) -> y\ny = 1 / (1 + e^-x).",
  ACTIVATION, NEEDS_Y, .vjp = sigmoid_vjp, SAMPLES(sigmoid), REJECTS(sigmoid));
CVL_OP(tanh,
  .doc = "tanh(x) -> y\nThe hyperbolic tangent.",
  ACTIVATION, NEEDS_Y, .vjp = tanh_vjp, SAMPLES(tanh), REJECTS(tanh));
CVL_OP(softplus,
  .doc = "softplus(x) -> y\ny = ln(1 + e^x), without overflow.",
  ACTIVATION, NEEDS_X, .vjp = softplus_vjp, SAMPLES(softplus), REJECTS(softplus));
CVL_OP(log_sigmoid,
  .doc = "log_sigmoid(x) -> y\ny = ln sigmoid(x), without underflow.",
  ACTIVATION, NEEDS_X, .vjp = log_sigmoid_vjp, SAMPLES(log_sigmoid), REJECTS(log_sigmoid));
CVL_OP(mish,
  .doc = "mish(x) -> y\ny = x tanh(softplus(x)). Misra 2019.",
  ACTIVATION, NEEDS_X, .vjp = mish_vjp, SAMPLES(mish), REJECTS(mish));
CVL_OP(softsign,
  .doc = "softsign(x) -> y\ny = x / (1 + |x|).",
  ACTIVATION, NEEDS_X, .vjp = softsign_vjp, SAMPLES(softsign), REJECTS(softsign));
CVL_OP(hard_sigmoid,
  .doc = "hard_sigmoid(x) -> y\ny = relu6(x + 3) / 6.",
  ACTIVATION, NEEDS_Y, .vjp = hard_sigmoid_vjp, SAMPLES(hard_sigmoid), REJECTS(hard_sigmoid));
CVL_OP(hard_swish,
  .doc = "hard_swish(x) -> y\ny = x relu6(x + 3) / 6. Howard et al. 2019.",
  ACTIVATION, NEEDS_X, .vjp = hard_swish_vjp, SAMPLES(hard_swish), REJECTS(hard_swish));
#endif

/*
** Functions of one tensor, element by element. y has x's shape; the arithmetic ones take integers
** too.
**   neg -x             abs |x|            sign -1, 0 or 1      square x^2
**   sqrt               rsqrt 1/sqrt(x)    reciprocal 1/x       exp, expm1 e^x - 1, log, log1p ln(1
**                                                              + x)
**   sin, cos           erf                floor, ceil, round   clamp to [min, max]
**   is_finite, is_nan, logical_not: bool
** sign, floor, ceil and round are constant almost everywhere: they have no gradient.
*/
/* CVL_EVERY_DTYPE CVL_EVERY_DEVICE */
#include "ops/elementwise.h"

#define O const cvl_no_options *o
#define F(name, formula) \
  CVL_SCALAR real name(real x, O) { return (void)o, formula; }
#define DF(name, formula) \
  CVL_SCALAR real name(real x, real y, O) { return (void)x, (void)y, (void)o, formula; }

F(neg, (real)-x)
DF(neg_d, -1)
CVL_UNARY(neg, cvl_no_options, neg, neg_d)

F(absolute, x < 0 ? (real)-x : x)
DF(absolute_d, (real)((x > 0) - (x < 0)))
CVL_UNARY(abs, cvl_no_options, absolute, absolute_d)

CVL_SCALAR real square(real x, O) { return (void)o, (real)(x * x); }
DF(square_d, 2 * x)
CVL_UNARY(square, cvl_no_options, square, square_d)

F(sign, x != x ? x : (real)((x > 0) - (x < 0)))
CVL_UNARY_FORWARD(sign, cvl_no_options, sign)

typedef struct {
  double min, max;
} clamp_options;

#if CVL_FLOATING
#define BOUND(v) ((real)(v))
#else
/* Saturates: a bound beyond the integers of this type is one that nothing reaches. */
CVL_SCALAR real bound(double v) {
  const bool is_signed = (real)-1 < (real)1;
  const double top = is_signed ? (double)((uint64_t)1 << (8 * sizeof(real) - 1)) : 0x1p8;
  const real highest = is_signed ? (real)(((uint64_t)1 << (8 * sizeof(real) - 1)) - 1) : (real)255;
  return v >= top                      ? highest
         : v <= (is_signed ? -top : 0) ? (real)(is_signed ? -highest - 1 : 0)
                                       : (real)v;
}
#define BOUND(v) bound(v)
#endif
CVL_SCALAR real clamp(real x, const clamp_options *o) {
  real low = BOUND(o->min), high = BOUND(o->max);
  return x < low ? low : x > high ? high : x;
}
CVL_SCALAR real clamp_d(real x, real y, const clamp_options *o) {
  return (void)y, x >= (real)o->min && x <= (real)o->max ? 1 : 0;
}
CVL_UNARY(clamp, clamp_options, clamp, clamp_d)

CVL_SCALAR uint8_t is_number(real x) { return (real)(x - x) == 0; }
CVL_SCALAR uint8_t differs_from_itself(real x) { return x != x; }
CVL_SCALAR uint8_t is_zero(real x) { return x == 0; }
CVL_TEST(is_finite, is_number)
CVL_TEST(is_nan, differs_from_itself)
CVL_TEST(logical_not, is_zero)

#if CVL_FLOATING
F(floor_of, floor(x))
F(ceil_of, ceil(x))
F(round_of, rint(x)) /* to even at .5, as NumPy */
F(root, sqrt(x))
DF(root_d, (real)0.5 / y)
DF(safe_root_d, y > 0 ? (real)0.5 / y : 0)
F(inverse_root, 1 / sqrt(x))
DF(inverse_root_d, (real)-0.5 * y * y * y)
F(inverse, 1 / x)
DF(inverse_d, -square(y, o))
F(power_of_e, cvl_exp(x))
DF(power_of_e_d, y)
F(power_of_e_less_1, cvl_expm1(x))
DF(power_of_e_less_1_d, y + 1)
F(logarithm, cvl_log(x))
DF(logarithm_d, 1 / x)
F(logarithm_of_1_and, cvl_log1p(x))
DF(logarithm_of_1_and_d, 1 / (1 + x))
F(sine, sin(x))
DF(sine_d, cos(x))
F(cosine, cos(x))
DF(cosine_d, -sin(x))
F(error_function, cvl_erf(x))
DF(error_function_d, (real)1.1283791670955126 * cvl_exp(-x * x)) /* 2 / sqrt(pi) */
#else
F(floor_of, x)
F(ceil_of, x)
F(round_of, x)
#endif
CVL_UNARY_FORWARD(floor, cvl_no_options, floor_of)
CVL_UNARY_FORWARD(ceil, cvl_no_options, ceil_of)
CVL_UNARY_FORWARD(round, cvl_no_options, round_of)

#if CVL_FLOATING
CVL_UNARY(sqrt, cvl_no_options, root, root_d)
CVL_UNARY(safe_sqrt, cvl_no_options, root, safe_root_d)
CVL_UNARY(rsqrt, cvl_no_options, inverse_root, inverse_root_d)
CVL_UNARY(reciprocal, cvl_no_options, inverse, inverse_d)
CVL_UNARY(exp, cvl_no_options, power_of_e, power_of_e_d)
CVL_UNARY(expm1, cvl_no_options, power_of_e_less_1, power_of_e_less_1_d)
CVL_UNARY(log, cvl_no_options, logarithm, logarithm_d)
CVL_UNARY(log1p, cvl_no_options, logarithm_of_1_and, logarithm_of_1_and_d)
CVL_UNARY(sin, cvl_no_options, sine, sine_d)
CVL_UNARY(cos, cvl_no_options, cosine, cosine_d)
CVL_UNARY(erf, cvl_no_options, error_function, error_function_d)
#endif

#ifdef CVL_DESCRIBE
#include "ops/call.h"

extern const cvl_op cvl_op_sign, cvl_op_sin, cvl_op_cos, cvl_op_ge, cvl_op_le, cvl_op_eq, cvl_op_ne,
    cvl_op_logical_and;

#define VJP(name) \
  static cvl_tensor *name(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i)
#define X a->in[i]
#define CALL(op, x) cvl_call(s, &cvl_op_##op, NULL, 1, x)

VJP(neg_vjp) { return (void)a, (void)y, (void)i, cvl_neg(s, gy); }
VJP(abs_vjp) { return (void)y, cvl_mul(s, gy, CALL(sign, X)); }
VJP(square_vjp) { return (void)y, cvl_mul(s, gy, cvl_mul_scalar(s, X, 2)); }
VJP(sqrt_vjp) { return (void)a, (void)i, cvl_div(s, cvl_mul_scalar(s, gy, 0.5), y); }
VJP(safe_sqrt_vjp) { /* where y is 0, divide by 1 and multiply by 0 */
  cvl_tensor *zero = cvl_scalar(s, y, 0);
  cvl_tensor *is_0 = cvl_cast(s, cvl_call(s, &cvl_op_eq, NULL, 2, y, zero), gy->dtype);
  cvl_tensor *is_not = cvl_cast(s, cvl_call(s, &cvl_op_ne, NULL, 2, y, zero), gy->dtype);
  (void)a, (void)i;
  return cvl_mul(s, cvl_div(s, cvl_mul_scalar(s, gy, 0.5), cvl_add(s, y, is_0)), is_not);
}
VJP(rsqrt_vjp) {
  cvl_tensor *cube = cvl_mul(s, cvl_square(s, y), y);
  return (void)a, (void)i, cvl_mul(s, gy, cvl_mul_scalar(s, cube, -0.5));
}
VJP(reciprocal_vjp) { return (void)a, (void)i, cvl_neg(s, cvl_mul(s, gy, cvl_square(s, y))); }
VJP(exp_vjp) { return (void)a, (void)i, cvl_mul(s, gy, y); }
VJP(expm1_vjp) { return (void)a, (void)i, cvl_mul(s, gy, cvl_add_scalar(s, y, 1)); }
VJP(log_vjp) { return (void)y, cvl_div(s, gy, X); }
VJP(log1p_vjp) { return (void)y, cvl_div(s, gy, cvl_add_scalar(s, X, 1)); }
VJP(sin_vjp) { return (void)y, cvl_mul(s, gy, CALL(cos, X)); }
VJP(cos_vjp) { return (void)y, cvl_neg(s, cvl_mul(s, gy, CALL(sin, X))); }
VJP(erf_vjp) {
  cvl_tensor *bell = cvl_exp_of(s, cvl_neg(s, cvl_square(s, X)));
  return (void)y, cvl_mul(s, gy, cvl_mul_scalar(s, bell, 1.1283791670955126));
}
VJP(clamp_vjp) {
  const clamp_options *o = a->options;
  cvl_tensor *above = cvl_call(s, &cvl_op_ge, NULL, 2, X, cvl_scalar(s, X, o->min));
  cvl_tensor *below = cvl_call(s, &cvl_op_le, NULL, 2, X, cvl_scalar(s, X, o->max));
  cvl_tensor *inside = cvl_call(s, &cvl_op_logical_and, NULL, 2, above, below);
  return (void)y, cvl_mul(s, gy, cvl_cast(s, inside, gy->dtype));
}

static int clamp_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const clamp_options *o = a->options;
  (void)y;
  if (o->min <= o->max) return 0;
  return cvl_fail(e, CVL_EARG, 0, "min must not be above max, got min = %g and max = %g", o->min,
                  o->max);
}

static int test_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  y->dtype = CVL_BOOL;
  return cvl_shape_same(a, y, e);
}

#define ELEMENTWISE .n_in = 1, .strided = true, .shape = cvl_shape_same
#define REAL_ONLY ELEMENTWISE, .floating = true
#define NEEDS_X .drops = CVL_DROP_Y
#define NEEDS_Y .drops = CVL_DROP_X0
#define CONSTANT ELEMENTWISE, .drops = CVL_DROP_ALL
#define TEST .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .shape = test_shape
#define TAKES_TENSORS(name) CVL_REJECTS({#name "(nil)", "tensor expected, got nil"})
#define WANTS_REALS(name)                                  \
  CVL_REJECTS({#name "(nil)", "tensor expected, got nil"}, \
              {#name "(randn{2}:cast(\"int32\"))", "int32"})

CVL_OP(neg,
  .doc = "neg(x) -> y\ny = -x. Also written -x.",
  ELEMENTWISE, .drops = CVL_DROP_ALL, .vjp = neg_vjp,
  CVL_SAMPLES("neg(randn{2, 3})", "neg(randn{3, 1, 2}:transpose(1, 3))"), TAKES_TENSORS(neg));
CVL_OP(abs,
  .doc = "abs(x) -> y\ny = |x|; the gradient at 0 is 0.",
  ELEMENTWISE, NEEDS_X, .vjp = abs_vjp,
  CVL_SAMPLES("abs(randn{2, 3})", "abs(randn{3, 2}:transpose(1, 2))"), TAKES_TENSORS(abs));
CVL_OP(square,
  .doc = "square(x) -> y\ny = x^2.",
  ELEMENTWISE, NEEDS_X, .vjp = square_vjp,
  CVL_SAMPLES("square(randn{2, 3})", "square(randn{3, 2}:transpose(1, 2))"), TAKES_TENSORS(square));
CVL_OP(sign,
  .doc = "sign(x) -> y\n-1, 0 or 1 as x is below, at or above 0; NaN stays. No gradient.",
  CONSTANT, CVL_SAMPLES("sign(randn{2, 3})"), TAKES_TENSORS(sign));
CVL_OP(floor,
  .doc = "floor(x) -> y\nThe largest integer that is not above x. No gradient.",
  CONSTANT, CVL_SAMPLES("floor(randn{2, 3})"), TAKES_TENSORS(floor));
CVL_OP(ceil,
  .doc = "ceil(x) -> y\nThe smallest integer that is not below x. No gradient.",
  CONSTANT, CVL_SAMPLES("ceil(randn{2, 3})"), TAKES_TENSORS(ceil));
CVL_OP(round,
  .doc = "round(x) -> y\nThe nearest integer, the even one of two, as NumPy. No gradient.",
  CONSTANT, CVL_SAMPLES("round(randn{2, 3})"), TAKES_TENSORS(round));
CVL_OP(clamp,
  .doc = "clamp(x, {min = -inf, max = inf}) -> y\n"
         "x where it lies in [min, max], else the nearer bound. The gradient is 1 inside, bounds "
         "included, else 0.",
  .n_in = 1, .strided = true, NEEDS_X, .shape = clamp_shape, .vjp = clamp_vjp,
  CVL_OPTIONS(clamp_options,
    CVL_NUMBER(clamp_options, min, -INFINITY, CVL_ANY, "lowest result"),
    CVL_NUMBER(clamp_options, max, INFINITY, CVL_ANY, "highest result")),
  CVL_SAMPLES("clamp(randn{2, 3}, {min = -0.5, max = 0.5})",
              "clamp(randn{3, 2}:transpose(1, 2), {min = 0.1})"),
  CVL_REJECTS({"clamp(randn{2}, {min = 1, max = 0})",
              "min must not be above max, got min = 1 and max = 0"},
              {"clamp(randn{2}, {low = 1})", "unknown option 'low'"}));

CVL_OP(sqrt,
  .doc = "sqrt(x) -> y\nThe square root; NaN below 0.",
  REAL_ONLY, NEEDS_Y, .vjp = sqrt_vjp,
  CVL_SAMPLES("sqrt(rand{2, 3} + 0.5)", "sqrt((rand{3, 2} + 0.5):transpose(1, 2))"),
              WANTS_REALS(sqrt));
CVL_OP(safe_sqrt,
  .doc = "safe_sqrt(x) -> y\nThe square root, with gradient 0 at 0: for norms.",
  REAL_ONLY, NEEDS_Y, .internal = true, .vjp = safe_sqrt_vjp,
  CVL_SAMPLES("safe_sqrt(rand{2, 3} + 0.5)"));
CVL_OP(rsqrt,
  .doc = "rsqrt(x) -> y\ny = 1 / sqrt(x).",
  REAL_ONLY, NEEDS_Y, .vjp = rsqrt_vjp, CVL_SAMPLES("rsqrt(rand{2, 3} + 0.5)"), WANTS_REALS(rsqrt));
CVL_OP(reciprocal,
  .doc = "reciprocal(x) -> y\ny = 1 / x.",
  REAL_ONLY, NEEDS_Y, .vjp = reciprocal_vjp,
  CVL_SAMPLES("reciprocal(rand{2, 3} + 0.5)"), WANTS_REALS(reciprocal));
CVL_OP(exp,
  .doc = "exp(x) -> y\ny = e^x.",
  REAL_ONLY, NEEDS_Y, .vjp = exp_vjp,
  CVL_SAMPLES("exp(randn{2, 3})", "exp(randn{3, 2}:transpose(1, 2))"), WANTS_REALS(exp));
CVL_OP(expm1,
  .doc = "expm1(x) -> y\ny = e^x - 1, accurate near 0.",
  REAL_ONLY, NEEDS_Y, .vjp = expm1_vjp, CVL_SAMPLES("expm1(randn{2, 3})"), WANTS_REALS(expm1));
CVL_OP(log,
  .doc = "log(x) -> y\nThe natural logarithm; NaN below 0.",
  REAL_ONLY, NEEDS_X, .vjp = log_vjp,
  CVL_SAMPLES("log(rand{2, 3} + 0.5)", "log((rand{3, 2} + 0.5):transpose(1, 2))"),
              WANTS_REALS(log));
CVL_OP(log1p,
  .doc = "log1p(x) -> y\ny = ln(1 + x), accurate near 0.",
  REAL_ONLY, NEEDS_X, .vjp = log1p_vjp, CVL_SAMPLES("log1p(rand{2, 3})"), WANTS_REALS(log1p));
CVL_OP(sin,
  .doc = "sin(x) -> y\nThe sine of x radians.",
  REAL_ONLY, NEEDS_X, .vjp = sin_vjp, CVL_SAMPLES("sin(randn{2, 3})"), WANTS_REALS(sin));
CVL_OP(cos,
  .doc = "cos(x) -> y\nThe cosine of x radians.",
  REAL_ONLY, NEEDS_X, .vjp = cos_vjp, CVL_SAMPLES("cos(randn{2, 3})"), WANTS_REALS(cos));
CVL_OP(erf,
  .doc = "erf(x) -> y\n"
         "The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.",
  REAL_ONLY, NEEDS_X, .vjp = erf_vjp, CVL_SAMPLES("erf(randn{2, 3})"), WANTS_REALS(erf));

CVL_OP(is_finite,
  .doc = "is_finite(x) -> y\ntrue where x is neither infinite nor NaN.",
  TEST, CVL_SAMPLES("is_finite(log(randn{2, 3}))"), TAKES_TENSORS(is_finite));
CVL_OP(is_nan,
  .doc = "is_nan(x) -> y\ntrue where x is NaN.",
  TEST, CVL_SAMPLES("is_nan(log(randn{2, 3}))"), TAKES_TENSORS(is_nan));
CVL_OP(logical_not,
  .doc = "logical_not(x) -> y\ntrue where x is 0 or false.",
  TEST, CVL_SAMPLES("logical_not(gt(randn{2, 3}, 0))"), TAKES_TENSORS(logical_not));
#endif

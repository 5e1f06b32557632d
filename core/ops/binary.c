/*
** Arithmetic of two tensors, element by element, with NumPy's broadcasting. Lua's operators + - * / ^ and % call these.
**   add  a + b      sub  a - b      mul  a b      div  a / b      pow  a^b
**   maximum, minimum: at ties each side gets half of the gradient      mod: a - floor(a / b) b, no gradient
*/
/* CVL_EVERY_DTYPE CVL_EVERY_DEVICE */
#include "ops/elementwise.h"

#define O const cvl_no_options *o
#define UNUSED (void)a, (void)b, (void)y, (void)o

CVL_SCALAR real add(real a, real b, O) { return (void)o, a + b; }
CVL_SCALAR real sub(real a, real b, O) { return (void)o, a - b; }
CVL_SCALAR real mul(real a, real b, O) { return (void)o, a * b; }
CVL_BINARY_FORWARD(add, cvl_no_options, add)
CVL_BINARY_FORWARD(sub, cvl_no_options, sub)

CVL_SCALAR real mul_da(real a, real b, real y, O) { return UNUSED, b; }
CVL_SCALAR real mul_db(real a, real b, real y, O) { return UNUSED, a; }
CVL_BINARY(mul, cvl_no_options, mul, mul_da, mul_db)

CVL_SCALAR real maximum(real a, real b, O) { return (void)o, a != a || a > b ? a : b; }
CVL_SCALAR real minimum(real a, real b, O) { return (void)o, a != a || a < b ? a : b; }
CVL_SCALAR real max_da(real a, real b, real y, O) {
  return UNUSED, a > b ? 1 : a == b ? (real)0.5 : 0;
}
CVL_SCALAR real max_db(real a, real b, real y, O) {
  return UNUSED, b > a ? 1 : a == b ? (real)0.5 : 0;
}
CVL_BINARY(maximum, cvl_no_options, maximum, max_da, max_db)
CVL_BINARY(minimum, cvl_no_options, minimum, max_db, max_da)

#if CVL_FLOATING
CVL_SCALAR real divide(real a, real b, O) { return (void)o, a / b; }
CVL_SCALAR real div_da(real a, real b, real y, O) { return UNUSED, 1 / b; }
CVL_SCALAR real div_db(real a, real b, real y, O) { return UNUSED, -y / b; }
CVL_BINARY(div, cvl_no_options, divide, div_da, div_db)

CVL_SCALAR real power(real a, real b, O) { return (void)o, b == 2 ? a * a : pow(a, b); }
CVL_SCALAR real pow_da(real a, real b, real y, O) {
  return UNUSED, b == 2 ? 2 * a : b == 0 ? 0 : b * pow(a, b - 1);
}
CVL_SCALAR real pow_db(real a, real b, real y, O) { return UNUSED, a > 0 ? y * log(a) : 0; }
CVL_BINARY(pow, cvl_no_options, power, pow_da, pow_db)

CVL_SCALAR real mod(real a, real b, O) { return (void)o, a - floor(a / b) * b; }
CVL_BINARY_FORWARD(mod, cvl_no_options, mod)
#else
/* As Lua's %: the sign of the divisor; 0 for a divisor of 0, since an error here would need a look at every element. */
CVL_SCALAR real mod(real a, real b, O) {
  real r = b == 0 || b == (real)-1 ? 0 : a % b;
  (void)o;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
CVL_BINARY_FORWARD(mod, cvl_no_options, mod)
#endif

#ifdef CVL_DESCRIBE
#include "ops/call.h"

#define VJP(name) \
  static cvl_tensor *name(cvl_scope *s, const cvl_args *args, cvl_tensor *y, cvl_tensor *gy, int i)
#define A args->in[0]
#define B args->in[1]
extern const cvl_op cvl_op_pow, cvl_op_gt, cvl_op_lt, cvl_op_eq, cvl_op_where;

VJP(add_vjp) { return (void)s, (void)args, (void)y, (void)i, gy; }
VJP(sub_vjp) { return (void)args, (void)y, i == 0 ? gy : cvl_neg(s, gy); }
VJP(mul_vjp) { return (void)y, cvl_mul(s, gy, i == 0 ? B : A); }
VJP(div_vjp) {
  cvl_tensor *g = cvl_div(s, gy, B);
  return i == 0 ? g : cvl_neg(s, cvl_mul(s, g, y));
}
VJP(pow_vjp) {
  if (i == 0) {
    cvl_tensor *lower = cvl_call(s, &cvl_op_pow, NULL, 2, A, cvl_add_scalar(s, B, -1));
    return cvl_mul(s, gy, cvl_mul(s, B, lower));
  }
  return cvl_mul(s, gy, cvl_mul(s, y, cvl_log_of(s, A)));
}

/* 1 where `winner` beats the other side, 1/2 at a tie, else 0; a constant, its own gradient being 0. */
static cvl_tensor *share(cvl_scope *s, const cvl_op *beats, cvl_tensor *x, cvl_tensor *other,
                         cvl_tensor *gy) {
  cvl_tensor *won = cvl_cast(s, cvl_call(s, beats, NULL, 2, x, other), gy->dtype);
  cvl_tensor *tie = cvl_cast(s, cvl_call(s, &cvl_op_eq, NULL, 2, x, other), gy->dtype);
  return cvl_mul(s, gy, cvl_add(s, won, cvl_mul_scalar(s, tie, 0.5)));
}
VJP(maximum_vjp) {
  return (void)y, i == 0 ? share(s, &cvl_op_gt, A, B, gy) : share(s, &cvl_op_gt, B, A, gy);
}
VJP(minimum_vjp) {
  return (void)y, i == 0 ? share(s, &cvl_op_lt, A, B, gy) : share(s, &cvl_op_lt, B, A, gy);
}

#define ARITHMETIC \
  .n_in = 2, .strided = true, .broadcasts = true, .promotes = true, .shape = cvl_shape_broadcasts

#define NO_BROADCAST(name) \
  { #name "(randn{2, 3}, randn{2, 4})", "do not broadcast: axis 2 has 3 and 4" }

CVL_OP(add,
  .doc = "add(a, b) -> y\ny = a + b, with NumPy's broadcasting. Also written a + b.",
  ARITHMETIC, .drops = CVL_DROP_ALL, .vjp = add_vjp,
  CVL_SAMPLES("add(randn{2, 3}, randn{2, 3})", "add(randn{2, 1, 3}, randn{4, 1})", "add(randn{3, 2}:transpose(1, 2), 2.5)"),
  CVL_REJECTS(NO_BROADCAST(add), {"add(randn{2}, {})", "tensor or number expected, got table"}));
CVL_OP(sub,
  .doc = "sub(a, b) -> y\ny = a - b, with NumPy's broadcasting. Also written a - b.",
  ARITHMETIC, .drops = CVL_DROP_ALL, .vjp = sub_vjp,
  CVL_SAMPLES("sub(randn{2, 3}, randn{2, 3})", "sub(1, randn{4, 1})", "sub(randn{3}, randn{2, 3})"),
  CVL_REJECTS(NO_BROADCAST(sub)));
CVL_OP(mul,
  .doc = "mul(a, b) -> y\ny = a b, element by element, with NumPy's broadcasting. Also written a * b.",
  ARITHMETIC, .drops = CVL_DROP_Y, .vjp = mul_vjp,
  CVL_SAMPLES("mul(randn{2, 3}, randn{2, 3})", "mul(randn{2, 1, 3}, randn{4, 1})", "mul(randn{3, 2}:transpose(1, 2), 2.5)"),
  CVL_REJECTS(NO_BROADCAST(mul)));
CVL_OP(div,
  .doc = "div(a, b) -> y\ny = a / b, with NumPy's broadcasting; floating. Also written a / b.",
  ARITHMETIC, .floating = true, .vjp = div_vjp,
  CVL_SAMPLES("div(randn{2, 3}, rand{2, 3} + 1)", "div(1, rand{4, 1} + 1)", "div(randn{3}, rand{2, 3} + 1)"),
  CVL_REJECTS(NO_BROADCAST(div)));
CVL_OP(pow,
  .doc = "pow(a, b) -> y\ny = a^b, with NumPy's broadcasting; floating. The gradient in b is 0 where a <= 0. Also written a ^ b.",
  ARITHMETIC, .floating = true, .vjp = pow_vjp,
  CVL_SAMPLES("pow(rand{2, 3} + 0.5, randn{2, 3})", "pow(randn{2, 2}, 2)", "pow(rand{3} + 1, 3)"),
  CVL_REJECTS(NO_BROADCAST(pow)));
CVL_OP(maximum,
  .doc = "maximum(a, b) -> y\nThe larger of each pair; NaN wins. At a tie each side gets half of the gradient.",
  ARITHMETIC, .drops = CVL_DROP_Y, .vjp = maximum_vjp,
  CVL_SAMPLES("maximum(randn{2, 3}, randn{2, 3})", "maximum(randn{4}, 0.1)"),
  CVL_REJECTS(NO_BROADCAST(maximum)));
CVL_OP(minimum,
  .doc = "minimum(a, b) -> y\nThe smaller of each pair; NaN wins. At a tie each side gets half of the gradient.",
  ARITHMETIC, .drops = CVL_DROP_Y, .vjp = minimum_vjp,
  CVL_SAMPLES("minimum(randn{2, 3}, randn{2, 3})", "minimum(randn{4}, 0.1)"),
  CVL_REJECTS(NO_BROADCAST(minimum)));
CVL_OP(mod,
  .doc = "mod(a, b) -> y\na - floor(a / b) b, the sign of b, as Lua's %. No gradient.",
  ARITHMETIC, .drops = CVL_DROP_ALL,
  CVL_SAMPLES("mod(rand{2, 3} * 10, 3)"),
  CVL_REJECTS(NO_BROADCAST(mod)));
#endif

/*
** Reductions made of others:
**   mean    sum / count; integers and bool give float32
**   var     mean of (x - mean)^2, times n / (n - 1) when unbiased        std   its square root
**   norm    (sum of |x|^p)^(1/p); p = inf: the largest |x|
*/
#ifdef CVL_DESCRIBE
#include <math.h>

#include "ops/reduce.h"
#include "ops/view.h"

extern const cvl_op cvl_op_mean, cvl_op_var, cvl_op_abs, cvl_op_max, cvl_op_pow, cvl_op_safe_sqrt;

typedef struct {
  cvl_ints axis;
  bool keep, unbiased;
} var_options;

typedef struct {
  double p;
  cvl_ints axis;
  bool keep;
} norm_options;

/* How many elements make one output; -1 after an error. */
static int64_t group(const cvl_tensor *x, const cvl_ints *axes, cvl_err *e) {
  bool set[CVL_MAX_DIM];
  int64_t n = 1;
  if (cvl_reduce_axes(axes, x->shape.ndim, set, e) != 0) return -1;
  for (int i = 0; i < x->shape.ndim; i++)
    if (set[i]) n *= x->shape.dim[i];
  return n;
}

static cvl_tensor *floating(cvl_scope *s, cvl_tensor *x) {
  return cvl_dtype_floating(x->dtype) ? x : cvl_cast(s, x, CVL_F32);
}

static cvl_tensor *mean_over(cvl_scope *s, cvl_tensor *x, const cvl_ints *axes, bool keep,
                             double by) {
  return cvl_mul_scalar(s, cvl_sum(s, x, axes, keep), 1 / by);
}

static cvl_tensor *mean(cvl_scope *s, const cvl_args *a) {
  const cvl_reduce_options *o = a->options;
  int64_t n = group(a->in[0], &o->axis, s->e);
  return n < 0 ? NULL : mean_over(s, floating(s, a->in[0]), &o->axis, o->keep, (double)n);
}

static cvl_tensor *variance(cvl_scope *s, const cvl_args *a) {
  const var_options *o = a->options;
  cvl_tensor *x = floating(s, a->in[0]);
  int64_t n = group(a->in[0], &o->axis, s->e);
  if (n < 0) return NULL;
  x = cvl_square(s, cvl_sub(s, x, mean_over(s, x, &o->axis, true, (double)n)));
  return mean_over(s, x, &o->axis, o->keep, (double)(o->unbiased ? n - 1 : n));
}

static cvl_tensor *deviation(cvl_scope *s, const cvl_args *a) {
  return cvl_call(s, &cvl_op_safe_sqrt, NULL, 1, cvl_call(s, &cvl_op_var, a->options, 1, a->in[0]));
}

static cvl_tensor *norm(cvl_scope *s, const cvl_args *a) {
  const norm_options *o = a->options;
  cvl_reduce_options over = {o->axis, o->keep};
  cvl_tensor *x = floating(s, a->in[0]), *size;
  if (o->p == 2)
    return cvl_call(s, &cvl_op_safe_sqrt, NULL, 1, cvl_sum(s, cvl_square(s, x), &o->axis, o->keep));
  size = cvl_call(s, &cvl_op_abs, NULL, 1, x);
  if (o->p == 1) return cvl_sum(s, size, &o->axis, o->keep);
  if (o->p == INFINITY) return cvl_call(s, &cvl_op_max, &over, 1, size);
  size = cvl_call(s, &cvl_op_pow, NULL, 2, size, cvl_scalar(s, size, o->p));
  size = cvl_sum(s, size, &o->axis, o->keep);
  return cvl_call(s, &cvl_op_pow, NULL, 2, size, cvl_scalar(s, size, 1 / o->p));
}

#define SAMPLES(name)                                                      \
  CVL_SAMPLES(#name "(randn{2, 3})", #name "(randn{2, 3, 2}, {axis = 2})", \
              #name "(randn{2, 1, 3}, {axis = {1, -1}, keep = true})",     \
              #name "(randn{3, 1, 2}:transpose(1, 3), {axis = 1})")
#define REJECTS(name)                                                                       \
  CVL_REJECTS(                                                                              \
      {#name "(randn{2, 3}, {axis = 3})", "axis 3 is out of range: the tensor has 2 axes"}, \
      {#name "(randn{2, 3}, {axis = {1, 1}})", "each axis once expected, got axis 1 twice"})
#define OVER(type)                                                               \
  CVL_AXES(type, axis, CVL_ANY, "an axis or a list of axes; all when left out"), \
      CVL_FLAG(type, keep, false, "whether reduced axes stay, with size 1")

CVL_OP(mean,
  .doc = "mean(x, axis = nil, {keep = false}) -> y\n"
         "The mean along an axis, a list of axes, or of all; integers and bool give float32.",
  .n_in = 1, .strided = true, .computes = true, .compose = mean, CVL_OPTIONS(cvl_reduce_options,
  OVER(cvl_reduce_options)),
  SAMPLES(mean), REJECTS(mean));
CVL_OP(var,
  .doc = "var(x, axis = nil, {keep = false, unbiased = true}) -> y\n"
         "The variance; unbiased divides by n - 1 (NaN for one element), else by n.",
  .n_in = 1, .strided = true, .computes = true, .compose = variance,
  CVL_OPTIONS(var_options, OVER(var_options), CVL_FLAG(var_options, unbiased, true,
              "divide by n - 1 instead of n")),
  SAMPLES(var), REJECTS(var));
CVL_OP(std,
  .doc = "std(x, axis = nil, {keep = false, unbiased = true}) -> y\n"
         "The standard deviation, the square root of var; its gradient is 0 where it is 0.",
  .n_in = 1, .strided = true, .computes = true, .compose = deviation,
  CVL_OPTIONS(var_options, OVER(var_options), CVL_FLAG(var_options, unbiased, true,
              "divide by n - 1 instead of n")),
  SAMPLES(std), REJECTS(std));
CVL_OP(norm,
  .doc = "norm(x, p = 2, {axis = nil, keep = false}) -> y\n"
         "The p-norm (sum of |x|^p)^(1/p); p = math.huge gives the largest |x|. For p = 2 the "
         "gradient is 0 where y is 0.",
  .n_in = 1, .strided = true, .computes = true, .compose = norm,
  CVL_OPTIONS(norm_options, CVL_NUMBER(norm_options, p, 2, CVL_POSITIVE, "the exponent"),
              OVER(norm_options)),
  CVL_SAMPLES("norm(randn{2, 3})", "norm(randn{2, 3}, 1, {axis = 2})",
              "norm(randn{3, 2}:transpose(1, 2), 3, {axis = 1, keep = true})",
              "norm(randn{2, 3}, 1 / 0)"),
  CVL_REJECTS({"norm(randn{2, 3}, 0)", "p must be positive"},
              {"norm(randn{2, 3}, {axis = 3})", "axis 3 is out of range: the tensor has 2 axes"}));
#endif

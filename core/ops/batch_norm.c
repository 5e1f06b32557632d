/*
** y = batch_norm(x, scale, offset, running_mean, running_var, residual; momentum, epsilon, training, activation)
**   y    = act((x - mean) / sqrt(var + epsilon) * scale + offset + residual)        act: identity or relu
**   x, y, residual (or nil) {..., C}      scale, offset, running_mean, running_var {C}
**   training: mean and biased variance of the batch over all axes but the last, and in place
**             running = momentum running + (1 - momentum) batch
**   else:     mean and var are the running ones.
** Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 1; momentum as in TensorFlow, where the paper leaves it open.
** The passes over memory are in batch_norm_passes.h.
*/
#include "ops/batch_norm.h"

enum { X, SCALE, OFFSET, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, INPUTS };
/* saved: {C} each, of x's type, RSTD = 1 / sqrt(var + epsilon); marks, or NULL */
enum { MEAN, RSTD, POSITIVE };

#ifndef CVL_DESCRIBE

#include "ops/batch_norm_passes.h"

static norm problem(const cvl_args *a) {
  return norm_of(a->options, a->in[X], a->in + SCALE, a->saved + MEAN);
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  norm p;
  if (norm_save(a->options, a->in[X], a->in + SCALE, a->taped, a->saved + MEAN, e) != 0) return -1;
  p = problem(a);
  p.residual = data_or_null(a->in[RESIDUAL]);
  return norm_forward(&p, cvl_data(y), e);
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  norm p = problem(a);
  p.gx = data_or_null(gx[X]);
  norm_wants(&p, gx + SCALE);
  return norm_backward(&p, cvl_data(y), cvl_data(gy), e);
}

CVL_KERNELS(batch_norm, forward, backward)

#else
#include <inttypes.h>

#include "ops/call.h"

static const char *const names[] = {"x",           "scale",   "offset", "running_mean",
                                    "running_var", "residual"};

static int other_type(const cvl_args *a, int i, cvl_err *e) {
  return cvl_fail(e, CVL_EDTYPE, i + 1, "expected %s of %s, the type of x, got %s", names[i],
                  cvl_dtype_name(a->in[X]->dtype), cvl_dtype_name(a->in[i]->dtype));
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const cvl_shape *x = &a->in[X]->shape;
  char text[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
  int64_t C;
  if (x->ndim < 1) return cvl_fail(e, CVL_ESHAPE, 1, "expected x {..., C}, got a scalar");
  C = x->dim[x->ndim - 1];
  for (int i = SCALE; i <= RUNNING_VAR; i++) {
    const cvl_shape *s = &a->in[i]->shape;
    if (s->ndim != 1 || s->dim[0] != C)
      return cvl_fail(e, CVL_ESHAPE, i + 1, "expected %s {%" PRId64 "} for x %s, got %s", names[i],
                      C, cvl_shape_text(x, text), cvl_shape_text(s, got));
    if (a->in[i]->dtype != y->dtype) return other_type(a, i, e);
  }
  if (a->in[RESIDUAL] != NULL && !cvl_shape_equal(&a->in[RESIDUAL]->shape, x))
    return cvl_fail(e, CVL_ESHAPE, RESIDUAL + 1, "expected residual %s as x, got %s",
                    cvl_shape_text(x, text), cvl_shape_text(&a->in[RESIDUAL]->shape, got));
  if (a->in[RESIDUAL] != NULL && a->in[RESIDUAL]->dtype != y->dtype)
    return other_type(a, RESIDUAL, e);
  if (o->momentum > 1)
    return cvl_fail(e, CVL_EARG, 0, "momentum must be between 0 and 1, got %g", o->momentum);
  if (o->training && cvl_shape_count(x) == 0)
    return cvl_fail(e, CVL_ESHAPE, 1, "an empty batch %s has no mean", cvl_shape_text(x, text));
  y->shape = *x;
  return 0;
}

static cvl_tensor *mean_of(cvl_scope *s, cvl_tensor *x, int64_t rows) {
  cvl_ints axes = {0};
  if (x == NULL) return NULL;
  for (int i = 0; i < x->shape.ndim - 1; i++) axes.v[axes.n++] = i;
  return cvl_mul_scalar(s, cvl_sum(s, x, &axes, true), 1 / (double)rows);
}

extern const cvl_op cvl_op_gt;

/* The formulas above backward(), with the statistics made anew from x, so that they too can be differentiated. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cvl_batch_norm_options *o = a->options;
  cvl_tensor *x = a->in[X], *scale = a->in[SCALE], *g = gy, *centred, *rstd, *xhat, *in_mean,
             *in_slope;
  int64_t C = cvl_count(scale), rows = C > 0 ? cvl_count(x) / C : 0;
  if (o->activation == CVL_NORM_RELU)
    g = cvl_mul(s, gy,
                cvl_cast(s, cvl_call(s, &cvl_op_gt, NULL, 2, y, cvl_scalar(s, y, 0)), gy->dtype));
  if (i == OFFSET || i == RESIDUAL) return i == OFFSET ? cvl_sum_to(s, g, &scale->shape) : g;
  if (o->training && (i == RUNNING_MEAN || i == RUNNING_VAR)) return cvl_full_like(s, scale, 0);
  if (o->training) {
    centred = cvl_sub(s, x, mean_of(s, x, rows));
    rstd = mean_of(s, cvl_square(s, centred), rows);
  } else {
    centred = cvl_sub(s, x, a->in[RUNNING_MEAN]);
    rstd = a->in[RUNNING_VAR];
  }
  rstd = cvl_div(s, cvl_scalar(s, x, 1), cvl_sqrt(s, cvl_add_scalar(s, rstd, o->epsilon)));
  xhat = cvl_mul(s, centred, rstd);
  if (i == SCALE) return cvl_sum_to(s, cvl_mul(s, g, xhat), &scale->shape);
  if (o->training) {
    in_mean = mean_of(s, g, rows);
    in_slope = cvl_mul(s, xhat, mean_of(s, cvl_mul(s, g, xhat), rows));
    g = cvl_sub(s, cvl_sub(s, g, in_mean), in_slope);
  }
  g = cvl_mul(s, cvl_mul(s, scale, rstd), g);
  if (i == RUNNING_MEAN) return cvl_sum_to(s, cvl_neg(s, g), &scale->shape);
  if (i == RUNNING_VAR)
    return cvl_sum_to(s, cvl_mul_scalar(s, cvl_mul(s, g, cvl_mul(s, xhat, rstd)), -0.5),
                      &scale->shape);
  return g;
}

#define O cvl_batch_norm_options
static const char *const activations[] = {"identity", "relu", NULL};

#define CHANNELS(rows) \
  "rand{" rows "} + 0.5, randn{" rows "}, randn{" rows "}, rand{" rows "} + 0.5"

CVL_OP(batch_norm,
  .doc = "batch_norm(x, scale, offset, running_mean, running_var, residual, {momentum = 0.99, epsilon = 1e-3, training = false, activation = \"identity\"}) -> y\n"
         "y = act((x - mean) / sqrt(var + epsilon) * scale + offset + residual), channel by channel: x {..., C}, residual as "
         "x or nil, the others {C}; act is \"identity\" or \"relu\". In training, mean and biased variance are the batch's, and "
         "the running ones become momentum*running + (1 - momentum)*batch, in place. Ioffe & Szegedy 2015, "
         "arXiv:1502.03167, alg. 1; momentum as in TensorFlow.",
  .n_in = INPUTS, .n_optional = 1, .floating = true,
  .drops = 1 << RESIDUAL, .in_place = 1 << RUNNING_MEAN | 1 << RUNNING_VAR,
  CVL_OPTIONS(O, CVL_NUMBER(O, momentum, 0.99, CVL_NOT_NEGATIVE, "how much of the running statistics stays at each step"),
              CVL_NUMBER(O, epsilon, 1e-3, CVL_NOT_NEGATIVE, "added to the variance"),
              CVL_FLAG(O, training, 0, "use the batch's statistics and update the running ones"),
              CVL_CHOICE(O, activation, CVL_NORM_IDENTITY, activations, "\"identity\" or \"relu\", in the same pass")),
  .shape = shape, .vjp = vjp,
  CVL_SAMPLES("batch_norm(randn{4, 3}, " CHANNELS("3") ", nil, {training = true})",
              "batch_norm(randn{2, 3, 2, 2}, " CHANNELS("2") ", randn{2, 3, 2, 2}, {training = true, activation = \"relu\", epsilon = 1e-5})",
              "batch_norm(randn{2, 2, 3}:transpose(2, 3), " CHANNELS("2") ", nil, {training = true, momentum = 0.9})",
              "batch_norm(randn{2, 3, 2}, " CHANNELS("2") ", randn{2, 3, 2}, {activation = \"relu\"})",
              "batch_norm(randn{5, 1}, " CHANNELS("1") ")"),
  CVL_REJECTS({"batch_norm(randn{4, 3}, randn{2}, randn{3}, randn{3}, rand{3})", "expected scale {3} for x {4, 3}, got {2}"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3}, rand{3}, randn{3})", "expected residual {4, 3} as x, got {3}"},
              {"batch_norm(randn{0, 3}, randn{3}, randn{3}, randn{3}, rand{3}, nil, {training = true})", "an empty batch {0, 3} has no mean"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3, 2}:select(2, 1), rand{3})", "changed in place must be dense"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3}, rand{3}, nil, {momentum = 2})", "momentum must be between 0 and 1, got 2"}));
#endif

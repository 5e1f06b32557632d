/*
** Losses made of other ops; x and t are broadcast. reduction: "mean" (the default) and "sum" over
** all elements, or "none".
**   mse   (x - t)^2          mae |x - t|
**   huber d = |x - t|: d^2 / 2 where d <= delta, else delta (d - delta / 2)        Huber 1964
**   sigmoid_cross_entropy    -t ln sigmoid(x) - (1 - t) ln(1 - sigmoid(x)), without overflow or
**                            cancellation
*/
#ifdef CVL_DESCRIBE
#include "ops/call.h"
#include "ops/loss.h"

extern const cvl_op cvl_op_abs, cvl_op_softplus, cvl_op_minimum, cvl_op_mean;

const char *const cvl_loss_reductions[] = {"mean", "sum", "none", NULL};

typedef struct {
  int reduction;
} loss_options;

typedef struct {
  double delta;
  int reduction;
} huber_options;

static cvl_tensor *reduced(cvl_scope *s, cvl_tensor *terms, int reduction) {
  if (reduction == CVL_NONE) return terms;
  return reduction == CVL_SUM ? cvl_sum(s, terms, NULL, false)
                              : cvl_call(s, &cvl_op_mean, NULL, 1, terms);
}

static cvl_tensor *mse(cvl_scope *s, const cvl_args *a) {
  cvl_tensor *terms = cvl_square(s, cvl_sub(s, a->in[0], a->in[1]));
  return reduced(s, terms, ((const loss_options *)a->options)->reduction);
}

static cvl_tensor *mae(cvl_scope *s, const cvl_args *a) {
  cvl_tensor *terms = cvl_call(s, &cvl_op_abs, NULL, 1, cvl_sub(s, a->in[0], a->in[1]));
  return reduced(s, terms, ((const loss_options *)a->options)->reduction);
}

static cvl_tensor *huber(cvl_scope *s, const cvl_args *a) {
  const huber_options *o = a->options;
  cvl_tensor *d = cvl_call(s, &cvl_op_abs, NULL, 1, cvl_sub(s, a->in[0], a->in[1]));
  cvl_tensor *q =
      cvl_call(s, &cvl_op_minimum, NULL, 2, d, cvl_scalar(s, d, o->delta)); /* the quadratic part */
  cvl_tensor *linear = cvl_mul_scalar(s, cvl_sub(s, d, q), o->delta);
  return reduced(s, cvl_add(s, cvl_mul_scalar(s, cvl_square(s, q), 0.5), linear), o->reduction);
}

static cvl_tensor *sigmoid_cross_entropy(cvl_scope *s, const cvl_args *a) {
  cvl_tensor *x = a->in[0], *t = a->in[1];
  cvl_tensor *if_1 = cvl_call(s, &cvl_op_softplus, NULL, 1, cvl_neg(s, x)); /* -ln sigmoid(x) */
  cvl_tensor *if_0 = cvl_call(s, &cvl_op_softplus, NULL, 1, x); /* -ln(1 - sigmoid(x)) */
  cvl_tensor *not_t = cvl_add_scalar(s, cvl_neg(s, t), 1);
  cvl_tensor *terms = cvl_add(s, cvl_mul(s, if_1, t), cvl_mul(s, if_0, not_t));
  return reduced(s, terms, ((const loss_options *)a->options)->reduction);
}

#define LOSS .computes = true, .n_in = 2, .promotes = true, .floating = true, .strided = true
#define SAMPLES(name)                                                 \
  CVL_SAMPLES(#name "(randn{2, 3}, rand{2, 3})",                      \
              #name "(randn{3, 1}, rand{3}, {reduction = \"none\"})", \
              #name "(randn{3, 2}:transpose(1, 2), rand{2, 3}, {reduction = \"sum\"})")
#define REJECTS(name)                                                                       \
  CVL_REJECTS({#name "(randn{2, 3}, randn{2, 4})", "do not broadcast: axis 2 has 3 and 4"}, \
              {#name "(randn{2}, randn{2}, {reduction = \"max\"})", "one of mean, sum, none"})

CVL_OP(mse,
  .doc = "mse(x, t, {reduction = \"mean\"}) -> loss\nThe squared error (x - t)^2.",
  LOSS, .compose = mse, CVL_OPTIONS(loss_options, CVL_LOSS_REDUCTION(loss_options)), SAMPLES(mse),
  REJECTS(mse));
CVL_OP(mae,
  .doc = "mae(x, t, {reduction = \"mean\"}) -> loss\nThe absolute error |x - t|.",
  LOSS, .compose = mae, CVL_OPTIONS(loss_options, CVL_LOSS_REDUCTION(loss_options)), SAMPLES(mae),
  REJECTS(mae));
CVL_OP(huber,
  .doc = "huber(x, t, {delta = 1, reduction = \"mean\"}) -> loss\n"
         "With d = |x - t|: d^2 / 2 where d <= delta, else delta (d - delta / 2). Huber 1964.",
  LOSS, .compose = huber,
  CVL_OPTIONS(huber_options,
    CVL_NUMBER(huber_options, delta, 1, CVL_POSITIVE, "where the parabola becomes a line"),
               CVL_LOSS_REDUCTION(huber_options)),
  SAMPLES(huber), REJECTS(huber));
CVL_OP(sigmoid_cross_entropy,
  .doc = "sigmoid_cross_entropy(logits, t, {reduction = \"mean\"}) -> loss\n"
         "-t ln sigmoid(logits) - (1 - t) ln(1 - sigmoid(logits)), in nats; t in 0..1.",
  LOSS, .compose = sigmoid_cross_entropy, CVL_OPTIONS(loss_options,
  CVL_LOSS_REDUCTION(loss_options)),
  SAMPLES(sigmoid_cross_entropy), REJECTS(sigmoid_cross_entropy));
#endif

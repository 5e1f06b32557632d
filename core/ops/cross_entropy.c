/*
** softmax_cross_entropy(logits, labels, {label_smoothing = 0, reduction = "mean"}) -> loss, in nats
**   logits {N, ..., C}   labels {N, ...}: integers, the class of each row; or {N, ..., C}:
**                        floating, its distribution
**   t    = (1 - label_smoothing) * (one-hot or distribution) + label_smoothing / C     Szegedy et
**     al. 2016, arXiv:1512.00567
**   loss = - sum over c of t_c ln softmax(logits)_c = ln(sum of e^logits) * sum of t - sum of t_c
**   logits_c
**   d loss / d logits = softmax(logits) * sum of t - t
** Forward keeps ln(sum of e^logits) per row; backward makes the probabilities from it again.
*/
#include "ops/elementwise.h"
#include "ops/loss.h"

typedef cvl_cross_entropy_options cross_entropy_options;

#ifdef CVL_REAL
#include "base/pool.h"
#include "kernels/scratch.h"
#include "ops/position.h"
#include "ops/row.h"

enum { GRAIN = 8192 /* elements that are worth another thread */ };

typedef struct {
  int64_t rows, C;
  const real *logits, *distribution;
  const cvl_tensor *labels; /* integers, or NULL where there is a distribution */
  real smoothing;
  real *lse;    /* {rows}: ln(sum of e^logits) */
  double *loss; /* {rows} */
  const real *gy;
  double scale; /* of gy, which is one number (gy_step == 0) or one per row */
  int gy_step;
  real *glogits, *gdistribution;
} job;

static job start(const cvl_args *a) {
  const cross_entropy_options *o = a->options;
  const cvl_tensor *x = a->in[0], *t = a->in[1];
  job j = {.C = x->shape.dim[x->shape.ndim - 1],
           .logits = cvl_data(x),
           .smoothing = (real)o->label_smoothing};
  j.rows = j.C > 0 ? cvl_count(x) / j.C : 0;
  if (cvl_dtype_floating(t->dtype))
    j.distribution = cvl_data(t);
  else
    j.labels = t;
  return j;
}

static void run_forward(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const real rest = j->smoothing / (real)j->C;
  for (int64_t r = first; r < last; r++) {
    const real *x = j->logits + r * j->C;
    real m = cvl_row_max(x, j->C);
    double sum = 0, total = 1, picked;
    for (int64_t c = 0; c < j->C;
         c += 512) { /* e^(x - m) by pieces, so that both loops are vector code */
      real piece[512];
      int64_t n = j->C - c < 512 ? j->C - c : 512;
      for (int64_t i = 0; i < n; i++) piece[i] = cvl_exp(x[c + i] - m);
      sum += cvl_row_sum(piece, n);
    }
    j->lse[r] = m + (real)cvl_log((real)sum);
    if (j->labels != NULL) {
      picked = (1 - j->smoothing) * x[cvl_position(j->labels, r)];
    } else {
      const real *t = j->distribution + r * j->C;
      picked = (1 - j->smoothing) * cvl_row_dot(t, x, j->C);
      total = (1 - j->smoothing) * cvl_row_sum(t, j->C) + j->smoothing;
    }
    if (j->smoothing != 0) picked += rest * cvl_row_sum(x, j->C);
    j->loss[r] = (double)j->lse[r] * total - picked;
  }
}

static int check_labels(const job *j, cvl_err *e) {
  for (int64_t r = 0; j->labels != NULL && r < j->rows; r++) {
    int64_t label = cvl_position(j->labels, r);
    if (label < 0 || label >= j->C) return cvl_fail_label(e, label, r, j->C);
  }
  return 0;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cross_entropy_options *o = a->options;
  job j = start(a);
  cvl_shape rows = {1, {j.rows}};
  real *out = cvl_data(y);
  float *scratch;
  double sum = 0;
  if (check_labels(&j, e) != 0) return -1;
  if ((a->saved[0] = cvl_tensor_new(&rows, a->in[0]->dtype, NULL, e)) == NULL) return -1;
  if ((scratch = cvl_scratch_take(j.rows * 2, e)) == NULL) return -1;
  j.lse = cvl_data(a->saved[0]);
  j.loss = (double *)(void *)scratch;
  cvl_parallel_range(j.rows, GRAIN / (j.C + 1) + 1, run_forward, &j);
  for (int64_t r = 0; r < j.rows; r++) {
    if (o->reduction == CVL_NONE) out[r] = (real)j.loss[r];
    sum += j.loss[r];
  }
  if (o->reduction != CVL_NONE)
    out[0] = (real)(o->reduction == CVL_MEAN ? sum / (double)j.rows : sum);
  cvl_scratch_give(scratch);
  return 0;
}

static void run_backward(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const real keep = 1 - j->smoothing, rest = j->smoothing / (real)j->C;
  for (int64_t r = first; r < last; r++) {
    const real *x = j->logits + r * j->C,
               *t = j->distribution != NULL ? j->distribution + r * j->C : NULL;
    real g = (real)((double)j->gy[r * j->gy_step] * j->scale), lse = j->lse[r];
    if (j->glogits != NULL) {
      real *gx = j->glogits + r * j->C;
      if (t != NULL) {
        real total = keep * (real)cvl_row_sum(t, j->C) + j->smoothing;
        for (int64_t c = 0; c < j->C; c++)
          gx[c] = g * (cvl_exp(x[c] - lse) * total - keep * t[c] - rest);
      } else {
        for (int64_t c = 0; c < j->C; c++) gx[c] = g * (cvl_exp(x[c] - lse) - rest);
        gx[cvl_position(j->labels, r)] -= g * keep;
      }
    }
    if (j->gdistribution != NULL)
      for (int64_t c = 0; c < j->C; c++) j->gdistribution[r * j->C + c] = g * keep * (lse - x[c]);
  }
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cross_entropy_options *o = a->options;
  job j = start(a);
  (void)y, (void)e;
  j.lse = cvl_data(a->saved[0]);
  j.gy = cvl_data(gy);
  j.gy_step = o->reduction == CVL_NONE;
  j.scale = o->reduction == CVL_MEAN ? 1 / (double)j.rows : 1;
  if (gx[0] != NULL) j.glogits = cvl_data(gx[0]);
  if (gx[1] != NULL) j.gdistribution = cvl_data(gx[1]);
  cvl_parallel_range(j.rows, GRAIN / (j.C + 1) + 1, run_backward, &j);
  return 0;
}
CVL_KERNELS(softmax_cross_entropy, forward, backward)

#elif defined CVL_DESCRIBE
#include "ops/gather.h"
#include "ops/view.h"

extern const cvl_op cvl_op_softmax, cvl_op_log_softmax;

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cross_entropy_options *o = a->options;
  const cvl_tensor *x = a->in[0], *t = a->in[1];
  char tx[CVL_SHAPE_TEXT], tt[CVL_SHAPE_TEXT];
  cvl_shape rows = x->shape;
  bool classes = !cvl_dtype_floating(t->dtype);
  if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
    return cvl_fail(e, CVL_EARG, 0, "label_smoothing must lie in 0..1, got %g", o->label_smoothing);
  if (rows.ndim < 1 || rows.dim[rows.ndim - 1] == 0)
    return cvl_fail(e, CVL_ESHAPE, 1, "logits {N, ..., classes} expected, got %s",
                    cvl_shape_text(&rows, tx));
  if (t->dtype == CVL_BOOL)
    return cvl_fail(e, CVL_EDTYPE, 2,
                    "labels as integers or as a floating distribution expected, got bool");
  if (!classes && t->dtype != x->dtype)
    return cvl_fail(e, CVL_EDTYPE, 2, "a distribution of the logits' type expected, %s, got %s",
                    cvl_dtype_name(x->dtype), cvl_dtype_name(t->dtype));
  rows.ndim--;
  if (!cvl_shape_equal(&t->shape, classes ? &rows : &x->shape))
    return cvl_fail(e, CVL_ESHAPE, 2, "%s for logits %s expected, got %s",
                    classes ? "one label per row" : "a distribution of the same shape",
                    cvl_shape_text(&x->shape, tx), cvl_shape_text(&t->shape, tt));
  y->shape = o->reduction == CVL_NONE ? rows : (cvl_shape){0};
  return 0;
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cross_entropy_options *o = a->options;
  cvl_tensor *x = a->in[0], *t = a->in[1], *p;
  cvl_ints last = {1, {-1}};
  cvl_shape column = x->shape;
  int64_t C = x->shape.dim[x->shape.ndim - 1];
  (void)y;
  column.dim[column.ndim - 1] = 1;
  if (o->reduction == CVL_MEAN) gy = cvl_mul_scalar(s, gy, (double)C / (double)cvl_count(x));
  if (o->reduction == CVL_NONE) gy = cvl_reshape(s, gy, &column);
  if (i == 1) { /* of the distribution */
    p = cvl_call(s, &cvl_op_log_softmax, NULL, 1, x);
    return cvl_mul(s, gy, cvl_mul_scalar(s, p, o->label_smoothing - 1));
  }
  if (!cvl_dtype_floating(t->dtype)) t = cvl_one_hot(s, t, C, x->dtype);
  t = cvl_add_scalar(s, cvl_mul_scalar(s, t, 1 - o->label_smoothing),
                     o->label_smoothing / (double)C);
  p = cvl_mul(s, cvl_call(s, &cvl_op_softmax, NULL, 1, x), cvl_sum(s, t, &last, true));
  return cvl_mul(s, gy, cvl_sub(s, p, t));
}

CVL_OP(softmax_cross_entropy,
  .doc = "softmax_cross_entropy(logits, labels, {label_smoothing = 0, reduction = \"mean\"})"
         " -> loss\n"
         "The cross-entropy of softmax(logits), in nats. logits {N, ..., classes}; labels {N, ...} "
         "are integers that start at 1, or a floating distribution of the logits' shape.",
  .n_in = 2, .floating = true, .position_in = 2, .drops = CVL_DROP_Y, .shape = shape, .vjp = vjp,
  CVL_OPTIONS(cross_entropy_options,
    CVL_NUMBER(cross_entropy_options, label_smoothing, 0, CVL_NOT_NEGATIVE,
               "weight of the uniform distribution, 0..1"),
    CVL_LOSS_REDUCTION(cross_entropy_options)),
  CVL_SAMPLES("softmax_cross_entropy(randn{2, 3}, tensor({3, 1}, \"int64\"))",
              "softmax_cross_entropy(randn{2, 3}, tensor({3, 1}, \"int64\"), {label_smoothing = "
              "0.1, reduction = \"sum\"})",
              "softmax_cross_entropy(randn{2, 2, 3}, tensor({{3, 1}, {2, 2}}, \"int32\"), "
              "{reduction = \"none\"})",
              "softmax_cross_entropy(randn{3, 2}:transpose(1, 2), softmax(randn{2, 3}), "
              "{label_smoothing = 0.2})"),
  CVL_REJECTS({"softmax_cross_entropy(randn{2, 3}, tensor({3, 4}, \"int64\"))",
               "label 4 of sample 2 is out of range: labels start at 1 and there are 3 classes"},
              {"softmax_cross_entropy(randn{2, 3}, tensor({1, 0}, \"int64\"))",
               "labels start at 1"},
              {"softmax_cross_entropy(randn{2, 3}, tensor({1, 2, 3}, \"int64\"))",
               "one label per row for logits {2, 3} expected, got {3}"},
              {"softmax_cross_entropy(randn{2, 3}, tensor({1, 2}, \"int64\"), {label_smoothing = "
               "2})", "must lie in 0..1, got 2"},
              {"softmax_cross_entropy(randn{2, 3}, tensor({1, 2}, \"int64\"), {reduction = "
               "\"max\"})", "one of mean, sum, none"}));
#endif

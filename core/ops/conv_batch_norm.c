/*
** y = conv_batch_norm(x, w, b, scale, offset, running_mean, running_var, residual; conv's and batch_norm's options)
**   t = conv(x, w) + b
**   y = act(norm(t) + residual)      norm: with the batch's statistics, which the running ones follow
**   x, w, b (or nil) as of conv      the others as of batch_norm      residual of y's shape, or nil
** For training. The convolution leaves the moments of t, where its algorithm can, while its results are in registers, which is
** a pass over memory less. layers/joined.h uses it where there is a kernel; ops/conv_norm.c is its sister for inference.
*/
#include "ops/conv_batch_norm.h"

enum { X, W, B, SCALE, OFFSET, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, INPUTS };
enum { T, MEAN, RSTD, POSITIVE }; /* saved: t, {K} each, marks or NULL */

#ifndef CVL_DESCRIBE
#ifdef CVL_DTYPE_F32

#include "ops/batch_norm_passes.h"
#include "ops/bias_rows.h"
#include "ops/conv_problem.h"

static int conv_problem(cvl_conv *p, const cvl_args *a, cvl_precision least, cvl_err *e) {
  const cvl_conv_batch_norm_options *o = a->options;
  return cvl_conv_problem(p, a, &o->conv, least, &a->in[X]->shape, &a->in[W]->shape, e);
}

static norm norm_problem(const cvl_args *a) {
  const cvl_conv_batch_norm_options *o = a->options;
  return norm_of(&o->norm, a->saved[T], a->in + SCALE, a->saved + MEAN);
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_conv_batch_norm_options *o = a->options;
  cvl_epilogue then = {.shift = data_or_null(a->in[B])};
  cvl_conv c;
  norm p;
  int64_t slots;
  float *moments = NULL;
  int64_t *count = NULL;
  int rc = -1;
  if (conv_problem(&c, a, CVL_CONV_FORWARD, e) != 0) return -1;
  if ((a->saved[T] = cvl_tensor_new(&y->shape, y->dtype, cvl_device_of(y), e)) == NULL) return -1;
  if (norm_save(&o->norm, a->saved[T], a->in + SCALE, a->taped, a->saved + MEAN, e) != 0) return -1;
  p = norm_problem(a);
  p.residual = data_or_null(a->in[RESIDUAL]);
  if ((slots = cvl_conv_slots(&c)) > 0) {
    if ((moments = cvl_scratch_take(slots * 3 * p.C, e)) == NULL) goto done;
    if ((count = cvl_alloc_array((size_t)slots, sizeof *count)) == NULL) {
      cvl_fail_memory(e, slots * (int64_t)sizeof *count);
      goto done;
    }
    p.slots = slots;
    p.moments = (cvl_slots){moments, count};
    then.slots = &p.moments;
  }
  if (cvl_conv_forward(&c, cvl_data(a->in[X]), cvl_data(a->in[W]), &then, cvl_data(a->saved[T]),
                       e) != 0)
    goto done;
  rc = norm_forward(&p, cvl_data(y), e);
done:
  cvl_scratch_give(moments);
  cvl_free(count);
  return rc;
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const bool wanted = gx[X] != NULL || gx[W] != NULL || gx[B] != NULL;
  const cvl_tensor *x = a->in[X], *w = a->in[W];
  norm p = norm_problem(a);
  cvl_tensor *gt = NULL;
  cvl_conv c;
  int rc = -1;
  if (conv_problem(&c, a, CVL_CONV_BACKWARD, e) != 0) goto done;
  if (wanted && (gt = cvl_tensor_new(&gy->shape, gy->dtype, cvl_device_of(gy), e)) == NULL)
    goto done;
  p.gx = data_or_null(gt);
  norm_wants(&p, gx + SCALE);
  if (norm_backward(&p, cvl_data(y), cvl_data(gy), e) != 0) goto done;
  if (gx[X] != NULL &&
      cvl_conv_backward_data(&c, p.gx, cvl_data(w), a->add >> X & 1, cvl_data(gx[X]), e) != 0)
    goto done;
  if (gx[W] != NULL && cvl_conv_backward_filter(&c, cvl_data(x), p.gx, cvl_data(gx[W]), e) != 0)
    goto done;
  if (gx[B] != NULL && sum_bias(p.gx, p.n, p.C, cvl_data(gx[B]), e) != 0) goto done;
  rc = 0;
done:
  cvl_release(gt);
  return rc;
}

CVL_KERNELS_ADDING(conv_batch_norm, forward, backward, 1 << X)

#endif
#else
#include "ops/call.h"

static const cvl_op *conv_of(const cvl_tensor *x) {
  static const cvl_op *const ops[] = {&cvl_op_conv1d, &cvl_op_conv2d, &cvl_op_conv3d};
  return ops[x->shape.ndim - 3];
}

/* The arguments of the two ops as one after the other would have them. */
static cvl_args conv_args(const cvl_args *a) {
  const cvl_conv_batch_norm_options *o = a->options;
  return (cvl_args){.op = conv_of(a->in[X]),
                    .n_in = 3,
                    .in = a->in + X,
                    .options = &o->conv,
                    .precision = a->precision};
}

static cvl_args norm_args(const cvl_args *a, cvl_tensor *t, cvl_tensor *in[6]) {
  const cvl_conv_batch_norm_options *o = a->options;
  in[0] = t;
  for (int i = SCALE; i <= RESIDUAL; i++) in[1 + i - SCALE] = a->in[i];
  return (cvl_args){.op = &cvl_op_batch_norm,
                    .n_in = 6,
                    .in = in,
                    .options = &o->norm,
                    .precision = a->precision};
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  cvl_tensor *in[6], t = *a->in[X]; /* stands for t, of which the shape is looked at */
  cvl_args conv = conv_args(a), bn;
  if (conv.op->shape(&conv, y, e) != 0) return -1;
  t.shape = y->shape;
  bn = norm_args(a, &t, in);
  if (cvl_op_batch_norm.shape(&bn, y, e) == 0) return 0;
  e->arg = 0; /* which counts batch_norm's; the text has the name */
  return -1;
}

/* t made anew, so that it too can be differentiated, but for the bias, which the mean takes away; then batch_norm's gradient of
** it, and with that the convolution's. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  cvl_tensor *in[6], *t, *gt;
  cvl_args conv = conv_args(a), bn;
  t = cvl_call(s, conv.op, conv.options, 3, a->in[X], a->in[W], NULL);
  if (t == NULL) return NULL;
  bn = norm_args(a, t, in);
  if (i >= SCALE) return cvl_op_batch_norm.vjp(s, &bn, y, gy, 1 + i - SCALE);
  gt = cvl_op_batch_norm.vjp(s, &bn, y, gy, 0);
  return gt != NULL ? conv.op->vjp(s, &conv, t, gt, i) : NULL;
}

static const char *const activations[] = {"identity", "relu", NULL};

#define O cvl_conv_batch_norm_options
CVL_OP(conv_batch_norm,
  .doc = "conv_batch_norm(x, w, b, scale, offset, running_mean, running_var, residual, {...}) -> y\n"
         "act(norm(conv(x, w) + b) + residual) with the batch's statistics.",
  .n_in = INPUTS, .n_optional = INPUTS - B, .internal = true, .floating = true,
  .drops = CVL_DROP_X2 | 1 << RESIDUAL, .in_place = 1 << RUNNING_MEAN | 1 << RUNNING_VAR, .shape = shape, .vjp = vjp,
  CVL_OPTIONS(O, CVL_SIZES(O, conv.strides, 1, "conv's"), CVL_PADDING(O, conv.padding, "conv's"),
              CVL_SIZES(O, conv.dilations, 1, "conv's"), CVL_INTEGER(O, conv.groups, 1, CVL_POSITIVE, "conv's"),
              CVL_NUMBER(O, norm.momentum, 0.99, CVL_NOT_NEGATIVE, "batch_norm's"),
              CVL_NUMBER(O, norm.epsilon, 1e-3, CVL_NOT_NEGATIVE, "batch_norm's"),
              CVL_FLAG(O, norm.training, 1, "batch_norm's"),
              CVL_CHOICE(O, norm.activation, CVL_NORM_IDENTITY, activations, "\"identity\" or \"relu\"")));
#endif

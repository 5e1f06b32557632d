/*
** y = conv_norm(x, w, b, scale, offset, mean, var, residual; conv's options, epsilon, activation)
**   y = act(norm(conv(x, w) + b) + residual)      norm(v) = (v - mean) / sqrt(var + epsilon) scale + offset
**   x, w, b (or nil), y as of conv   scale, offset, mean, var {K}, all of them or none   residual of y's shape, or nil
** For inference, where a normalization is one factor and one shift for each filter: all of it is done to the results of the
** convolution while they are at hand. Without gradient; layers/joined.h uses it where there is a kernel.
*/
#include "ops/conv_norm.h"

#include <math.h>

enum { X, W, B, SCALE, OFFSET, MEAN, VAR, RESIDUAL, INPUTS };

#ifndef CVL_DESCRIBE
#ifdef CVL_DTYPE_F32

#include "base/mem.h"
#include "ops/conv_problem.h"

/* {K}: y = factor conv(x, w) + shift */
static void fold(const cvl_args *a, int64_t K, double epsilon, real *factor, real *shift) {
  const real *b = a->in[B] != NULL ? cvl_data(a->in[B]) : NULL;
  const real *scale = cvl_data(a->in[SCALE]), *offset = cvl_data(a->in[OFFSET]);
  const real *mean = cvl_data(a->in[MEAN]), *var = cvl_data(a->in[VAR]);
  for (int64_t k = 0; k < K; k++) {
    double f = (double)scale[k] / sqrt((double)var[k] + epsilon);
    factor[k] = (real)f;
    shift[k] = (real)((double)offset[k] + ((b != NULL ? (double)b[k] : 0) - (double)mean[k]) * f);
  }
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_conv_norm_options *o = a->options;
  cvl_epilogue then = {.relu = o->activation == CVL_NORM_RELU};
  real *folded = NULL;
  cvl_conv p;
  int rc = -1;
  if (cvl_conv_problem(&p, a, &o->conv, CVL_CONV_FORWARD, &a->in[X]->shape, &a->in[W]->shape, e) !=
      0)
    goto done;
  if (a->in[RESIDUAL] != NULL) then.residual = cvl_data(a->in[RESIDUAL]);
  if (a->in[SCALE] != NULL) {
    if ((folded = cvl_alloc_array((size_t)p.K + 1, 2 * sizeof *folded)) == NULL) {
      cvl_fail_memory(e, p.K * 2 * (int64_t)sizeof *folded);
      goto done;
    }
    fold(a, p.K, o->epsilon, folded, folded + p.K);
    then.factor = folded;
    then.shift = folded + p.K;
  } else if (a->in[B] != NULL) {
    then.shift = cvl_data(a->in[B]);
  }
  rc = cvl_conv_forward(&p, cvl_data(a->in[X]), cvl_data(a->in[W]), &then, cvl_data(y), e);
done:
  cvl_free(folded);
  return rc;
}
CVL_KERNELS(conv_norm, forward, NULL)

#endif
#else
#include <inttypes.h>

static int check_vector(const cvl_args *a, int i, int64_t K, cvl_err *e) {
  const cvl_tensor *v = a->in[i];
  char got[CVL_SHAPE_TEXT];
  if (v == NULL || (v->shape.ndim == 1 && v->shape.dim[0] == K)) return 0;
  return cvl_fail(e, CVL_ESHAPE, i + 1, "expected {%" PRId64 "}, one for each filter, got %s", K,
                  cvl_shape_text(&v->shape, got));
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_conv_norm_options *o = a->options;
  const cvl_shape *x = &a->in[X]->shape, *w = &a->in[W]->shape;
  const cvl_tensor *residual = a->in[RESIDUAL];
  char want[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
  cvl_window g;
  int given = 0;
  if (cvl_conv_window(&g, x, w, &o->conv, e) != 0) return -1;
  cvl_window_shape(&g, x->dim[0], w->dim[w->ndim - 1], &y->shape);
  for (int i = W; i < INPUTS; i++)
    if (a->in[i] != NULL && a->in[i]->dtype != a->in[X]->dtype)
      return cvl_fail(e, CVL_EDTYPE, i + 1, "expected %s, the type of x, got %s",
                      cvl_dtype_name(a->in[X]->dtype), cvl_dtype_name(a->in[i]->dtype));
  for (int i = B; i <= VAR; i++)
    if (check_vector(a, i, w->dim[w->ndim - 1], e) != 0) return -1;
  for (int i = SCALE; i <= VAR; i++) given += a->in[i] != NULL;
  if (given != 0 && given != VAR - SCALE + 1)
    return cvl_fail(e, CVL_EARG, 0, "expected scale, offset, mean and var, got %d of them", given);
  if (residual != NULL && !cvl_shape_equal(&residual->shape, &y->shape))
    return cvl_fail(e, CVL_ESHAPE, 0, "expected residual %s as y, got %s",
                    cvl_shape_text(&y->shape, want), cvl_shape_text(&residual->shape, got));
  return 0;
}

static const char *const activations[] = {"identity", "relu", NULL};

#define O cvl_conv_norm_options
CVL_OP(conv_norm,
  .doc = "conv_norm(x, w, b, scale, offset, mean, var, residual, {...}) -> y\n"
         "act(norm(conv(x, w) + b) + residual) with given statistics, in one pass.",
  .n_in = INPUTS, .n_optional = INPUTS - B, .internal = true, .floating = true, .drops = CVL_DROP_ALL, .shape = shape,
  CVL_OPTIONS(O, CVL_SIZES(O, conv.strides, 1, "conv's"), CVL_PADDING(O, conv.padding, "conv's"),
              CVL_SIZES(O, conv.dilations, 1, "conv's"), CVL_INTEGER(O, conv.groups, 1, CVL_POSITIVE, "conv's"),
              CVL_NUMBER(O, epsilon, 1e-3, CVL_NOT_NEGATIVE, "added to the variance"),
              CVL_CHOICE(O, activation, CVL_NORM_IDENTITY, activations, "\"identity\" or \"relu\"")));
#endif

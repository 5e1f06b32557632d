/* batch_norm on the device; ops/batch_norm.c has the formulas. */
#include "ops/batch_norm.h"

#include "cuda/batch_norm.h"
#include "cuda/op.h"

enum { X, SCALE, OFFSET, RUNNING_MEAN, RUNNING_VAR, RESIDUAL };
enum { MEAN, RSTD }; /* saved */

static int moments(cvl_cuda *d, const cvl_args *a, int64_t rows, int64_t C, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const cvl_tensor *x = a->in[X];
  void *mean = cvl_data(a->saved[MEAN]), *rstd = cvl_data(a->saved[RSTD]);
  void *running_mean = cvl_data(a->in[RUNNING_MEAN]), *running_var = cvl_data(a->in[RUNNING_VAR]);
  size_t bytes = (size_t)(2 * cvl_cuda_norm_chunks(rows) * C) * sizeof(double);
  double *sums;
  int rc;
  if (!o->training)
    return CVL_CUDA_LAUNCH(d, e,
                           cvl_cuda_norm_running(x->dtype, C, o->epsilon, running_mean, running_var,
                                                 mean, rstd, d->stream));
  if ((sums = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
  rc = CVL_CUDA_LAUNCH(d, e,
                       cvl_cuda_norm_moments(x->dtype, rows, C, o->momentum, o->epsilon,
                                             cvl_data(x), sums, mean, rstd, running_mean,
                                             running_var, d->stream));
  cvl_cache_free(&d->base, sums, bytes);
  return rc;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  cvl_cuda *d = cvl_cuda_for(y, e);
  int64_t C = cvl_count(a->in[SCALE]), rows = C > 0 ? cvl_count(y) / C : 0;
  if (d == NULL) return -1;
  for (int i = MEAN; i <= RSTD; i++)
    if ((a->saved[i] = cvl_tensor_new(&a->in[SCALE]->shape, y->dtype, &d->base, e)) == NULL)
      return -1;
  if (moments(d, a, rows, C, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_norm_apply(y->dtype, rows, C, o->activation == CVL_NORM_RELU, cvl_data(a->in[X]),
                          cvl_data(a->saved[MEAN]), cvl_data(a->saved[RSTD]),
                          cvl_data(a->in[SCALE]), cvl_data(a->in[OFFSET]),
                          cvl_cuda_data_or_null(a->in[RESIDUAL]), cvl_data(y), d->stream));
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  cvl_cuda *d = cvl_cuda_for(gy, e);
  cvl_cuda_norm_backward b = {.C = cvl_count(a->in[SCALE]),
                              .relu = o->activation == CVL_NORM_RELU,
                              .training = o->training,
                              .x = cvl_data(a->in[X]),
                              .y = cvl_data(y),
                              .gy = cvl_data(gy),
                              .mean = cvl_data(a->saved[MEAN]),
                              .rstd = cvl_data(a->saved[RSTD]),
                              .scale = cvl_data(a->in[SCALE]),
                              .gx = cvl_cuda_data_or_null(gx[X]),
                              .gscale = cvl_cuda_data_or_null(gx[SCALE]),
                              .goffset = cvl_cuda_data_or_null(gx[OFFSET]),
                              .gmean = cvl_cuda_data_or_null(gx[RUNNING_MEAN]),
                              .gvar = cvl_cuda_data_or_null(gx[RUNNING_VAR]),
                              .gresidual = cvl_cuda_data_or_null(gx[RESIDUAL])};
  size_t sum_bytes, channel_bytes = (size_t)(3 * b.C) * cvl_dtype_size(gy->dtype);
  int rc = -1;
  if (d == NULL) return -1;
  b.rows = b.C > 0 ? cvl_count(gy) / b.C : 0;
  sum_bytes = (size_t)(2 * cvl_cuda_norm_chunks(b.rows) * b.C) * sizeof(double);
  b.sums = cvl_cache_alloc(&d->base, sum_bytes, e);
  b.channel = cvl_cache_alloc(&d->base, channel_bytes, e);
  if (b.sums != NULL && b.channel != NULL)
    rc = CVL_CUDA_LAUNCH(d, e, cvl_cuda_norm_gradient(gy->dtype, &b, d->stream));
  cvl_cache_free(&d->base, b.channel, channel_bytes);
  cvl_cache_free(&d->base, b.sums, sum_bytes);
  return rc;
}

CVL_CUDA_KERNELS(batch_norm, forward, backward)

/* conv_norm on the device; ops/conv_norm.c has the formula. The normalization is folded into the filter and a shift. */
#include "ops/conv_norm.h"

#include "cuda/batch_norm.h"
#include "cuda/conv_map.h"
#include "cuda/op.h"
#include "cuda/rounded.h"
#include "ops/conv_problem.h"

enum { X, W, B, SCALE, OFFSET, MEAN, VAR, RESIDUAL };

/* What of an input is on the device, or NULL. */
static void *data_of(const cvl_args *a, int i) { return cvl_cuda_data_or_null(a->in[i]); }

/* `folded` has room for K factors, K shifts and the filter. */
static int fold(cvl_cuda *d, const cvl_args *a, int64_t K, double epsilon, char *folded,
                cvl_cuda_conv *m, cvl_err *e) {
  const cvl_dtype type = a->in[W]->dtype;
  const size_t channel = (size_t)K * cvl_dtype_size(type);
  const cvl_cuda_norm norm = {data_of(a, SCALE), data_of(a, OFFSET), data_of(a, MEAN),
                              data_of(a, VAR), epsilon};
  void *factor = folded, *shift = folded + channel, *w = folded + 2 * channel;
  m->w = w;
  m->shift = shift;
  return CVL_CUDA_LAUNCH(d, e,
                         cvl_cuda_norm_fold(type, cvl_count(a->in[W]), K, &norm, data_of(a, W),
                                            data_of(a, B), factor, shift, w, d->stream));
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_conv_norm_options *o = a->options;
  const cvl_dtype type = y->dtype;
  cvl_cuda *d = cvl_cuda_for(y, e);
  cvl_cuda_conv m = {.x = data_of(a, X),
                     .w = data_of(a, W),
                     .y = cvl_data(y),
                     .residual = data_of(a, RESIDUAL),
                     .shift = data_of(a, B),
                     .relu = o->activation == CVL_NORM_RELU};
  void *folded = NULL;
  size_t bytes = 0;
  cvl_conv p;
  int rc = -1;
  if (d == NULL) return -1;
  if (cvl_conv_problem(&p, a, &o->conv, CVL_CONV_FORWARD, &a->in[X]->shape, &a->in[W]->shape, e) !=
      0)
    return -1;
  if (a->in[SCALE] != NULL) {
    bytes = (size_t)(2 * p.K + cvl_count(a->in[W])) * cvl_dtype_size(type);
    if ((folded = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
    if (fold(d, a, p.K, o->epsilon, folded, &m, e) != 0) goto done;
  }
  rc = cvl_cuda_conv_map(d, CVL_CUDA_FORWARD, type,
                         cvl_cuda_operands(type, a->precision, CVL_CONV_FORWARD), &p, &m, e);
done:
  cvl_cache_free(&d->base, folded, bytes);
  return rc;
}

CVL_CUDA_KERNELS(conv_norm, forward, NULL)

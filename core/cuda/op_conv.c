/* conv1d, conv2d, conv3d, conv_data and conv_filter on the device: cuDNN's engines, or the own kernels of conv.cu. */
#include "cuda/conv.h"
#include "cuda/dnn.h"
#include "cuda/op.h"
#include "cuda/rounded.h"
#include "ops/conv_problem.h"

static int own_filter(cvl_cuda *d, cvl_dtype type, const cvl_conv *p, const void *x, const void *gy,
                      void *gw, cvl_err *e) {
  int64_t splits = cvl_cuda_conv_splits(p), count = p->C / p->groups * p->K;
  size_t bytes;
  void *partial = NULL;
  int rc = -1;
  for (int i = 0; i < 3; i++) count *= p->filter[i];
  bytes = (size_t)(splits * count) * cvl_dtype_size(type);
  if (splits > 1 && (partial = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
  rc = CVL_CUDA(e, cvl_cuda_conv_backward_filter(type, p, x, gy, gw, partial, d->stream));
  cvl_cache_free(&d->base, partial, bytes);
  return rc;
}

/* One map in memory of the type float32 or float64, whichever way it can be made. */
static int map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *p, void *x, void *w,
               void *y, cvl_err *e) {
  int rc = cvl_cuda_dnn_conv(d, pass, type, p, x, w, y, e);
  if (rc <= 0) return rc;
  if (!cvl_cuda_conv_fits(p))
    return cvl_fail(e, CVL_ESHAPE, 0, "a convolution of this size needs cuDNN");
  switch (pass) {
  case CVL_CUDA_FORWARD:
    rc = CVL_CUDA(e, cvl_cuda_conv_forward(type, p, x, w, NULL, y, d->stream));
    break;
  case CVL_CUDA_DATA:
    rc = CVL_CUDA(e, cvl_cuda_conv_backward_data(type, p, y, w, x, d->stream));
    break;
  default:
    rc = own_filter(d, type, p, x, y, w, e);
  }
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
}

/* The same of float32 with its two operands rounded to `half`. cuDNN makes results of that type too. Where it cannot
** multiply it, the rounded operands are multiplied as float32. */
static int rounded_map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype half, const cvl_conv *p,
                       void *const data[3], const int64_t n[3], cvl_err *e) {
  const int made = pass == CVL_CUDA_FORWARD ? 2 : pass == CVL_CUDA_DATA ? 0 : 1;
  cvl_cuda_rounded r[3] = {{0}};
  void *wide[3];
  int rc = -1;
  for (int i = 0; i < 3; i++)
    if (cvl_cuda_rounded_make(&r[i], d, half, n[i], i != made ? data[i] : NULL, e) != 0) goto done;
  rc = 1;
  if (cvl_cuda_multiplies(d, half))
    rc = cvl_cuda_dnn_conv(d, pass, half, p, r[0].half, r[1].half, r[2].half, e);
  if (rc == 0)
    rc = CVL_CUDA_LAUNCH(d, e, cvl_cuda_widen(half, r[made].half, n[made], data[made], d->stream));
  if (rc <= 0) goto done;
  rc = -1;
  for (int i = 0; i < 3; i++) {
    if (i != made && cvl_cuda_rounded_widen(&r[i], d, e) != 0) goto done;
    wide[i] = i != made ? r[i].wide : data[i];
  }
  rc = map(d, pass, CVL_F32, p, wide[0], wide[1], wide[2], e);
done:
  for (int i = 0; i < 3; i++) cvl_cuda_rounded_free(&r[i], d);
  return rc;
}

/* `least`: the precision from which on this pass may round its operands. */
static int run(cvl_cuda_pass pass, const cvl_args *a, cvl_precision least, const cvl_tensor *x,
               const cvl_tensor *w, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(x));
  const cvl_dtype operands = cvl_cuda_operands(x->dtype, a->precision, least);
  void *const data[3] = {cvl_data(x), cvl_data(w), cvl_data(y)};
  const int64_t n[3] = {cvl_count(x), cvl_count(w), cvl_count(y)};
  cvl_conv p;
  if (cvl_conv_problem(&p, a, a->options, least, &x->shape, &w->shape, e) != 0) return -1;
  if (cvl_cuda_use(d, e) != 0) return -1;
  if (cvl_dtype_half(operands)) return rounded_map(d, pass, operands, &p, data, n, e);
  return map(d, pass, x->dtype, &p, data[0], data[1], data[2], e);
}

static int add_bias(const cvl_tensor *b, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(y));
  int64_t K = cvl_count(b), rows = K > 0 ? cvl_count(y) / K : 0;
  if (CVL_CUDA(e, cvl_cuda_add_bias(y->dtype, rows, K, cvl_data(b), cvl_data(y), d->stream)) != 0)
    return -1;
  return cvl_cuda_launched(d, e);
}

static int bias_gradient(const cvl_tensor *gy, const cvl_tensor *gb, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(gy));
  int64_t K = cvl_count(gb), rows = K > 0 ? cvl_count(gy) / K : 0;
  size_t bytes = (size_t)(cvl_cuda_column_parts(rows) * K) * sizeof(double);
  double *sums;
  int rc;
  if (cvl_cuda_use(d, e) != 0 || (sums = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
  rc = CVL_CUDA(
      e, cvl_cuda_sum_columns(gy->dtype, rows, K, cvl_data(gy), sums, cvl_data(gb), d->stream));
  cvl_cache_free(&d->base, sums, bytes);
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *b = a->n_in > 2 ? a->in[2] : NULL;
  if (run(CVL_CUDA_FORWARD, a, CVL_CONV_FORWARD, a->in[0], a->in[1], y, e) != 0) return -1;
  return b == NULL ? 0 : add_bias(b, y, e);
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_DATA, a, CVL_CONV_BACKWARD, gx[0], a->in[1], gy, e) != 0)
    return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FILTER, a, CVL_CONV_BACKWARD, a->in[0], gx[1], gy, e) != 0)
    return -1;
  if (a->n_in > 2 && gx[2] != NULL && bias_gradient(gy, gx[2], e) != 0) return -1;
  return 0;
}

static int data_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(CVL_CUDA_DATA, a, CVL_CONV_FORWARD, y, a->in[1], a->in[0], e);
}

static int data_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_FORWARD, a, CVL_CONV_BACKWARD, gy, a->in[1], gx[0], e) != 0)
    return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FILTER, a, CVL_CONV_BACKWARD, gy, gx[1], a->in[0], e) != 0)
    return -1;
  return 0;
}

static int filter_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(CVL_CUDA_FILTER, a, CVL_CONV_FORWARD, a->in[0], y, a->in[1], e);
}

static int filter_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                           cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_DATA, a, CVL_CONV_BACKWARD, gx[0], gy, a->in[1], e) != 0)
    return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FORWARD, a, CVL_CONV_BACKWARD, a->in[0], gy, gx[1], e) != 0)
    return -1;
  return 0;
}

CVL_CUDA_KERNELS(conv1d, forward, backward)
CVL_CUDA_KERNELS(conv2d, forward, backward)
CVL_CUDA_KERNELS(conv3d, forward, backward)
CVL_CUDA_KERNELS(conv_data, data_forward, data_backward)
CVL_CUDA_KERNELS(conv_filter, filter_forward, filter_backward)

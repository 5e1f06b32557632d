/* conv1d, conv2d, conv3d, conv_data and conv_filter on the device. */
#include "cuda/conv.h"
#include "cuda/conv_map.h"
#include "cuda/op.h"
#include "cuda/rounded.h"
#include "ops/conv_problem.h"

/* `least`: the precision from which on this pass may round its operands. */
static int run(cvl_cuda_pass pass, const cvl_args *a, cvl_precision least, const cvl_tensor *x,
               const cvl_tensor *w, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(x, e);
  const cvl_cuda_conv m = {.x = cvl_data(x), .w = cvl_data(w), .y = cvl_data(y)};
  cvl_conv p;
  if (d == NULL || cvl_conv_problem(&p, a, a->options, least, &x->shape, &w->shape, e) != 0)
    return -1;
  return cvl_cuda_conv_map(d, pass, x->dtype, cvl_cuda_operands(x->dtype, a->precision, least), &p,
                           &m, e);
}

static int add_bias(const cvl_tensor *b, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(y));
  int64_t K = cvl_count(b), rows = K > 0 ? cvl_count(y) / K : 0;
  return CVL_CUDA_LAUNCH(
      d, e, cvl_cuda_finish(y->dtype, rows, K, NULL, cvl_data(b), false, cvl_data(y), d->stream));
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

/* conv1d, conv2d, conv3d, conv_data and conv_filter on the device: cuDNN's engines, or the own kernels of conv.cu. */
#include "ops/conv.h"

#include "cuda/conv.h"
#include "cuda/dnn.h"
#include "cuda/op.h"

static int problem(cvl_conv *p, const cvl_shape *x, const cvl_shape *w, const cvl_conv_options *o,
                   cvl_err *e) {
  cvl_window v;
  if (cvl_conv_window(&v, x, w, o, e) != 0) return -1;
  *p = (cvl_conv){
      .N = x->dim[0], .C = x->dim[x->ndim - 1], .K = w->dim[w->ndim - 1], .groups = o->groups};
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    p->in[i] = v.in[i];
    p->filter[i] = v.filter[i];
    p->out[i] = v.out[i];
    p->stride[i] = v.stride[i];
    p->dilation[i] = v.dilation[i];
    p->before[i] = v.before[i];
  }
  return 0;
}

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

/* One map, whichever way it can be made. */
static int run(cvl_cuda_pass pass, const cvl_conv_options *o, const cvl_tensor *x,
               const cvl_tensor *w, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(cvl_device_of(x));
  const cvl_dtype type = x->dtype;
  cvl_conv p;
  int rc;
  if (problem(&p, &x->shape, &w->shape, o, e) != 0 || cvl_cuda_use(d, e) != 0) return -1;
  rc = cvl_cuda_dnn_conv(d, pass, type, &p, cvl_data(x), cvl_data(w), cvl_data(y), e);
  if (rc <= 0) return rc;
  if (!cvl_cuda_conv_fits(&p))
    return cvl_fail(e, CVL_ESHAPE, 0, "a convolution of this size needs cuDNN");
  switch (pass) {
  case CVL_CUDA_FORWARD:
    rc = CVL_CUDA(
        e, cvl_cuda_conv_forward(type, &p, cvl_data(x), cvl_data(w), NULL, cvl_data(y), d->stream));
    break;
  case CVL_CUDA_DATA:
    rc = CVL_CUDA(
        e, cvl_cuda_conv_backward_data(type, &p, cvl_data(y), cvl_data(w), cvl_data(x), d->stream));
    break;
  default:
    rc = own_filter(d, type, &p, cvl_data(x), cvl_data(y), cvl_data(w), e);
  }
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
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
  if (run(CVL_CUDA_FORWARD, a->options, a->in[0], a->in[1], y, e) != 0) return -1;
  return b == NULL ? 0 : add_bias(b, y, e);
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cvl_conv_options *o = a->options;
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_DATA, o, gx[0], a->in[1], gy, e) != 0) return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FILTER, o, a->in[0], gx[1], gy, e) != 0) return -1;
  if (a->n_in > 2 && gx[2] != NULL && bias_gradient(gy, gx[2], e) != 0) return -1;
  return 0;
}

static int data_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(CVL_CUDA_DATA, a->options, y, a->in[1], a->in[0], e);
}

static int data_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  const cvl_conv_options *o = a->options;
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_FORWARD, o, gy, a->in[1], gx[0], e) != 0) return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FILTER, o, gy, gx[1], a->in[0], e) != 0) return -1;
  return 0;
}

static int filter_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(CVL_CUDA_FILTER, a->options, a->in[0], y, a->in[1], e);
}

static int filter_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                           cvl_tensor *const *gx, cvl_err *e) {
  const cvl_conv_options *o = a->options;
  (void)y;
  if (gx[0] != NULL && run(CVL_CUDA_DATA, o, gx[0], gy, a->in[1], e) != 0) return -1;
  if (gx[1] != NULL && run(CVL_CUDA_FORWARD, o, a->in[0], gy, gx[1], e) != 0) return -1;
  return 0;
}

CVL_CUDA_KERNELS(conv1d, forward, backward)
CVL_CUDA_KERNELS(conv2d, forward, backward)
CVL_CUDA_KERNELS(conv3d, forward, backward)
CVL_CUDA_KERNELS(conv_data, data_forward, data_backward)
CVL_CUDA_KERNELS(conv_filter, filter_forward, filter_backward)

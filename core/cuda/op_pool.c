/* max_pool and avg_pool of any rank, the global ones and their gradients, on the device. */
#include "ops/pool.h"

#include "cuda/op.h"
#include "cuda/pool.h"

/* x and y: the shapes before and after pooling; y {N, C} is a global one's. */
static int problem(cvl_cuda_pool *p, const cvl_args *a, const cvl_shape *x, const cvl_shape *y,
                   cvl_err *e) {
  const cvl_pool_options *o = a->options;
  cvl_window w;
  *p = (cvl_cuda_pool){.N = x->dim[0], .C = x->dim[x->ndim - 1]};
  if (y->ndim ==
      2) { /* one window over the whole image: all spatial axes, however many, count as one */
    for (int i = 0; i < CVL_MAX_SPATIAL; i++)
      p->in[i] = p->filter[i] = p->out[i] = p->stride[i] = 1;
    for (int i = 1; i < x->ndim - 1; i++) p->in[2] = p->filter[2] *= x->dim[i];
    return 0;
  }
  if (cvl_pool_window(&w, x, x->ndim - 2, o, e) != 0) return -1;
  p->count_padding = o->count_padding;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    p->in[i] = w.in[i];
    p->filter[i] = w.filter[i];
    p->out[i] = w.out[i];
    p->stride[i] = w.stride[i];
    p->before[i] = w.before[i];
    p->after[i] = w.after[i];
  }
  return 0;
}

static int max_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(y, e);
  const cvl_tensor *x = a->in[0];
  cvl_cuda_pool p;
  if (d == NULL || problem(&p, a, &x->shape, &y->shape, e) != 0) return -1;
  if ((a->saved[0] = cvl_tensor_new(&y->shape, CVL_I32, &d->base, e)) == NULL) return -1;
  return CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_max_pool(x->dtype, &p, cvl_data(x), cvl_data(y), cvl_data(a->saved[0]), d->stream));
}

static int scatter(const cvl_args *a, const cvl_tensor *gy, const cvl_tensor *place,
                   const cvl_tensor *gx, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(gy, e);
  cvl_cuda_pool p;
  if (d == NULL || problem(&p, a, &gx->shape, &gy->shape, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_pool_scatter(gy->dtype, &p, cvl_data(gy), cvl_data(place), cvl_data(gx), d->stream));
}

static int gather(const cvl_args *a, const cvl_tensor *x, const cvl_tensor *place,
                  const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(x, e);
  cvl_cuda_pool p;
  if (d == NULL || problem(&p, a, &x->shape, &y->shape, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_pool_gather(x->dtype, &p, cvl_data(x), cvl_data(place), cvl_data(y), d->stream));
}

static int average(const cvl_args *a, const cvl_tensor *x, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(x, e);
  cvl_cuda_pool p;
  if (d == NULL || problem(&p, a, &x->shape, &y->shape, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(d, e,
                         cvl_cuda_avg_pool(x->dtype, &p, cvl_data(x), cvl_data(y), d->stream));
}

static int average_data(const cvl_args *a, const cvl_tensor *gy, const cvl_tensor *gx, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(gy, e);
  cvl_cuda_pool p;
  if (d == NULL || problem(&p, a, &gx->shape, &gy->shape, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(
      d, e, cvl_cuda_avg_pool_data(gy->dtype, &p, cvl_data(gy), cvl_data(gx), d->stream));
}

#define BACKWARD(name)                                                          \
  static int name(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy, \
                  cvl_tensor *const *gx, cvl_err *e)

BACKWARD(max_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : scatter(a, gy, a->saved[0], gx[0], e);
}
CVL_CUDA_KERNELS(max_pool1d, max_pool, max_backward)
CVL_CUDA_KERNELS(max_pool2d, max_pool, max_backward)
CVL_CUDA_KERNELS(max_pool3d, max_pool, max_backward)
CVL_CUDA_KERNELS(global_max_pool, max_pool, max_backward)

static int scatter_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return scatter(a, a->in[0], a->in[1], y, e);
}
BACKWARD(scatter_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : gather(a, gy, a->in[1], gx[0], e);
}
CVL_CUDA_KERNELS(pool_scatter, scatter_forward, scatter_backward)

static int gather_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return gather(a, a->in[0], a->in[1], y, e);
}
BACKWARD(gather_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : scatter(a, gy, a->in[1], gx[0], e);
}
CVL_CUDA_KERNELS(pool_gather, gather_forward, gather_backward)

static int avg_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) { return average(a, a->in[0], y, e); }
BACKWARD(avg_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : average_data(a, gy, gx[0], e);
}
CVL_CUDA_KERNELS(avg_pool1d, avg_pool, avg_backward)
CVL_CUDA_KERNELS(avg_pool2d, avg_pool, avg_backward)
CVL_CUDA_KERNELS(avg_pool3d, avg_pool, avg_backward)
CVL_CUDA_KERNELS(global_avg_pool, avg_pool, avg_backward)

static int avg_data(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return average_data(a, a->in[0], y, e);
}
BACKWARD(avg_data_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : average(a, gy, gx[0], e);
}
CVL_CUDA_KERNELS(avg_pool_data, avg_data, avg_data_backward)

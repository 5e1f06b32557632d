/* softmax, log_softmax and softmax_cross_entropy on the device. */
#include "cuda/op.h"
#include "cuda/softmax.h"
#include "ops/loss.h"
#include "ops/softmax.h"

/* x as {outer, n, inner}, the axis in the middle. */
typedef struct {
  int64_t outer, n, inner;
} sizes;

static int sizes_of(const cvl_args *a, sizes *z, cvl_err *e) {
  const cvl_softmax_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape;
  int axis = cvl_axis(o->axis == CVL_NO_AXIS ? -1 : o->axis, x->ndim, "axis", e);
  if (axis < 0) return -1;
  *z = (sizes){1, x->dim[axis], 1};
  for (int i = 0; i < axis; i++) z->outer *= x->dim[i];
  for (int i = axis + 1; i < x->ndim; i++) z->inner *= x->dim[i];
  return 0;
}

static int forward_of(const cvl_args *a, bool logarithm, const cvl_tensor *y, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(y, e);
  sizes z;
  if (d == NULL || sizes_of(a, &z, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(d, e,
                         cvl_cuda_softmax(y->dtype, z.outer, z.n, z.inner, logarithm,
                                          cvl_data(a->in[0]), cvl_data(y), d->stream));
}

static int backward_of(const cvl_args *a, bool logarithm, const cvl_tensor *y, const cvl_tensor *gy,
                       const cvl_tensor *gx, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_for(gy, e);
  sizes z;
  if (gx == NULL) return 0;
  if (d == NULL || sizes_of(a, &z, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(d, e,
                         cvl_cuda_softmax_gradient(gy->dtype, z.outer, z.n, z.inner, logarithm,
                                                   cvl_data(y), cvl_data(gy), cvl_data(gx),
                                                   d->stream));
}

#define SOFTMAX(name, logarithm)                                                           \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                      \
    return forward_of(a, logarithm, y, e);                                                 \
  }                                                                                        \
  static int name##_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy, \
                             cvl_tensor *const *gx, cvl_err *e) {                          \
    return backward_of(a, logarithm, y, gy, gx[0], e);                                     \
  }                                                                                        \
  CVL_CUDA_KERNELS(name, name##_forward, name##_backward)

SOFTMAX(softmax, false)
SOFTMAX(log_softmax, true)

/* ------------------------------------------------------------------------------------------------------- cross-entropy */

static cvl_cuda_cross_entropy problem(const cvl_args *a) {
  const cvl_cross_entropy_options *o = a->options;
  const cvl_tensor *x = a->in[0], *t = a->in[1];
  cvl_cuda_cross_entropy p = {.C = x->shape.dim[x->shape.ndim - 1],
                              .smoothing = o->label_smoothing,
                              .logits = cvl_data(x),
                              .label_type = t->dtype};
  p.rows = p.C > 0 ? cvl_count(x) / p.C : 0;
  if (cvl_dtype_floating(t->dtype))
    p.distribution = cvl_data(t);
  else
    p.labels = cvl_data(t);
  return p;
}

/* A label that is no class, as the kernel found it. Waits for the device; a recording, where nobody may wait, goes without:
** the loss is NaN. */
static int check_labels(cvl_cuda *d, const cvl_cuda_cross_entropy *p, const int64_t *bad,
                        cvl_err *e) {
  int64_t found, row, label = 0;
  int32_t narrow;
  uint8_t byte;
  if (p->labels == NULL || d->base.recording != NULL) return 0;
  if (d->base.to_host(&d->base, &found, bad, sizeof found, e) != 0) return -1;
  if (found == 0) return 0;
  row = p->rows - found; /* the first */
  if (p->label_type == CVL_I64) {
    if (d->base.to_host(&d->base, &label, (const int64_t *)p->labels + row, 8, e) != 0) return -1;
  } else if (p->label_type == CVL_I32) {
    if (d->base.to_host(&d->base, &narrow, (const int32_t *)p->labels + row, 4, e) != 0) return -1;
    label = narrow;
  } else {
    if (d->base.to_host(&d->base, &byte, (const uint8_t *)p->labels + row, 1, e) != 0) return -1;
    label = byte;
  }
  return cvl_fail_label(e, label, row, p->C);
}

static int entropy_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_cross_entropy_options *o = a->options;
  const cvl_cuda_cross_entropy p = problem(a);
  const cvl_shape rows = {1, {p.rows}};
  const size_t bytes = (size_t)(p.rows + 1) * sizeof(double);
  cvl_cuda *d = cvl_cuda_for(y, e);
  double *loss = NULL; /* {rows}, and behind them the number of a bad label */
  int64_t *bad;
  int rc = -1;
  if (d == NULL) return -1;
  if ((a->saved[0] = cvl_tensor_new(&rows, y->dtype, &d->base, e)) == NULL) return -1;
  if ((loss = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
  bad = (int64_t *)(void *)(loss + p.rows);
  if (d->base.clear(&d->base, bad, sizeof *bad, e) != 0) goto done;
  if (CVL_CUDA_LAUNCH(d, e,
                      cvl_cuda_cross_entropy_rows(y->dtype, &p, cvl_data(a->saved[0]), loss, bad,
                                                  d->stream)) != 0)
    goto done;
  if (check_labels(d, &p, bad, e) != 0) goto done;
  rc = CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_cross_entropy_reduce(y->dtype, p.rows, o->reduction == CVL_NONE,
                                    o->reduction == CVL_MEAN ? 1 / (double)p.rows : 1, loss,
                                    cvl_data(y), d->stream));
done:
  cvl_cache_free(&d->base, loss, bytes);
  return rc;
}

static int entropy_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                            cvl_tensor *const *gx, cvl_err *e) {
  const cvl_cross_entropy_options *o = a->options;
  const cvl_cuda_cross_entropy p = problem(a);
  cvl_cuda *d = cvl_cuda_for(gy, e);
  (void)y;
  if (d == NULL) return -1;
  return CVL_CUDA_LAUNCH(
      d, e,
      cvl_cuda_cross_entropy_gradient(
          gy->dtype, &p, cvl_data(a->saved[0]), cvl_data(gy), o->reduction == CVL_NONE,
          o->reduction == CVL_MEAN ? 1 / (double)p.rows : 1, cvl_cuda_data_or_null(gx[0]),
          cvl_cuda_data_or_null(gx[1]), d->stream));
}

CVL_CUDA_KERNELS(softmax_cross_entropy, entropy_forward, entropy_backward)

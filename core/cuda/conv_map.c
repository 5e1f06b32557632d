#include "cuda/conv_map.h"

#include "cuda/conv.h"
#include "cuda/op.h"
#include "cuda/rounded.h"

static int64_t product(const int64_t *size) { return size[0] * size[1] * size[2]; }

static int own_filter(cvl_cuda *d, cvl_dtype type, const cvl_conv *p, const cvl_cuda_conv *m,
                      cvl_err *e) {
  int64_t splits = cvl_cuda_conv_splits(p), count = product(p->filter) * (p->C / p->groups) * p->K;
  size_t bytes = (size_t)(splits * count) * cvl_dtype_size(type);
  void *partial = NULL;
  int rc = -1;
  if (splits > 1 && (partial = cvl_cache_alloc(&d->base, bytes, e)) == NULL) return -1;
  rc = CVL_CUDA(e, cvl_cuda_conv_backward_filter(type, p, m->x, m->y, m->w, partial, d->stream));
  cvl_cache_free(&d->base, partial, bytes);
  return rc;
}

/* The convolution alone. */
static int bare(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *p,
                const cvl_cuda_conv *m, cvl_err *e) {
  const cvl_cuda_conv alone = {.x = m->x, .w = m->w, .y = m->y};
  int rc = cvl_cuda_dnn_conv(d, pass, type, p, &alone, e);
  if (rc <= 0) return rc;
  if (!cvl_cuda_conv_fits(p))
    return cvl_fail(e, CVL_ESHAPE, 0, "a convolution of this size needs cuDNN");
  switch (pass) {
  case CVL_CUDA_FORWARD:
    rc = CVL_CUDA(e, cvl_cuda_conv_forward(type, p, m->x, m->w, m->y, d->stream));
    break;
  case CVL_CUDA_DATA:
    rc = CVL_CUDA(e, cvl_cuda_conv_backward_data(type, p, m->y, m->w, m->x, d->stream));
    break;
  default:
    rc = own_filter(d, type, p, m, e);
  }
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
}

static bool has_more(cvl_cuda_pass pass, const cvl_cuda_conv *m) {
  return pass == CVL_CUDA_FORWARD && (m->residual != NULL || m->shift != NULL || m->relu);
}

/* In memory of one type. What follows a forward pass is in the same plan of cuDNN's, or else a pass of its own. */
static int exact_map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *p,
                     const cvl_cuda_conv *m, cvl_err *e) {
  int rc;
  if (!has_more(pass, m)) return bare(d, pass, type, p, m, e);
  rc = cvl_cuda_dnn_conv(d, pass, type, p, m, e);
  if (rc <= 0) return rc;
  if (bare(d, pass, type, p, m, e) != 0) return -1;
  return CVL_CUDA_LAUNCH(d, e,
                         cvl_cuda_finish(type, p->N * product(p->out), p->K, m->residual, m->shift,
                                         m->relu, m->y, d->stream));
}

enum { X, W, Y, RESIDUAL, SHIFT, PARTS };

/* float32 with its operands rounded to `half`. cuDNN makes results of that type too, and takes the rest so. Where it
** cannot multiply it, the rounded operands are multiplied as float32. */
static int rounded_map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype half, const cvl_conv *p,
                       const cvl_cuda_conv *m, cvl_err *e) {
  const int made = pass == CVL_CUDA_FORWARD ? Y : pass == CVL_CUDA_DATA ? X : W;
  void *const data[PARTS] = {m->x, m->w, m->y, m->residual, m->shift};
  const int64_t outputs = p->N * product(p->out) * p->K;
  const int64_t n[PARTS] = {p->N * product(p->in) * p->C,
                            product(p->filter) * (p->C / p->groups) * p->K, outputs, outputs, p->K};
  cvl_cuda_rounded r[PARTS] = {{0}};
  cvl_cuda_conv narrow, wide = *m;
  void **const to[] = {&wide.x, &wide.w, &wide.y};
  int rc = -1;
  for (int i = 0; i < PARTS; i++) {
    if (data[i] == NULL) continue;
    if (cvl_cuda_rounded_make(&r[i], d, half, n[i], i != made ? data[i] : NULL, e) != 0) goto done;
  }
  narrow =
      (cvl_cuda_conv){r[X].half, r[W].half, r[Y].half, r[RESIDUAL].half, r[SHIFT].half, m->relu};
  rc = 1;
  if (cvl_cuda_multiplies(d, half)) rc = cvl_cuda_dnn_conv(d, pass, half, p, &narrow, e);
  if (rc == 0)
    rc = CVL_CUDA_LAUNCH(d, e, cvl_cuda_widen(half, r[made].half, n[made], data[made], d->stream));
  if (rc <= 0) goto done;
  rc = -1;
  for (int i = X; i <= Y; i++) {
    if (i == made) continue;
    if (cvl_cuda_rounded_widen(&r[i], d, e) != 0) goto done;
    *to[i] = r[i].wide;
  }
  rc = exact_map(d, pass, CVL_F32, p, &wide, e);
done:
  for (int i = 0; i < PARTS; i++) cvl_cuda_rounded_free(&r[i], d);
  return rc;
}

int cvl_cuda_conv_map(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, cvl_dtype operands,
                      const cvl_conv *p, const cvl_cuda_conv *m, cvl_err *e) {
  if (cvl_dtype_half(operands)) return rounded_map(d, pass, operands, p, m, e);
  return exact_map(d, pass, type, p, m, e);
}

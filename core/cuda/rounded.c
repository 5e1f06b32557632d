#include "cuda/rounded.h"

#include "device/cache.h"

static void *take(cvl_cuda *d, int64_t n, size_t size, cvl_err *e) {
  return cvl_cache_alloc(&d->base, (size_t)(n > 0 ? n : 1) * size, e);
}

static void give(cvl_cuda *d, void *p, int64_t n, size_t size) {
  if (p != NULL) cvl_cache_free(&d->base, p, (size_t)(n > 0 ? n : 1) * size);
}

int cvl_cuda_rounded_make(cvl_cuda_rounded *r, cvl_cuda *d, cvl_dtype half, int64_t n,
                          const float *from, cvl_err *e) {
  *r = (cvl_cuda_rounded){.type = half, .n = n};
  if ((r->half = take(d, n, sizeof *r->half, e)) == NULL) return -1;
  return from == NULL ? 0 : CVL_CUDA(e, cvl_cuda_narrow(half, from, n, r->half, d->stream));
}

int cvl_cuda_rounded_widen(cvl_cuda_rounded *r, cvl_cuda *d, cvl_err *e) {
  if ((r->wide = take(d, r->n, sizeof *r->wide, e)) == NULL) return -1;
  return CVL_CUDA(e, cvl_cuda_widen(r->type, r->half, r->n, r->wide, d->stream));
}

void cvl_cuda_rounded_free(cvl_cuda_rounded *r, cvl_cuda *d) {
  give(d, r->half, r->n, sizeof *r->half);
  give(d, r->wide, r->n, sizeof *r->wide);
  *r = (cvl_cuda_rounded){0};
}

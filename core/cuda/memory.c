/*
** Memory of a device, and the way to and from it. The program's cache (device/cache.h) stands before alloc and free: a
** block that is given back and handed out again is used by later work of the same stream, so it needs no waiting.
*/
#include <string.h>

#include "cuda/runtime.h"

void *cvl_cuda_alloc(cvl_device *base, size_t bytes) {
  void *p = NULL;
  if (cvl_cuda_use(cvl_cuda_of(base), NULL) != 0) return NULL;
  if (cudaMalloc(&p, bytes > 0 ? bytes : 1) == cudaSuccess) return p;
  cudaGetLastError(); /* having no memory is no lasting state */
  return NULL;
}

void cvl_cuda_free(cvl_device *base, void *p, size_t bytes) {
  cvl_cuda *d = cvl_cuda_of(base);
  (void)bytes;
  if (cvl_cuda_use(d, NULL) != 0) return;
  /* Work that uses the block may still be waiting; what is being recorded does not use it. What fails here must not be
  ** taken for a later launch's error. */
  if (base->recording == NULL && cudaStreamSynchronize(d->stream) != cudaSuccess)
    cudaGetLastError();
  if (cudaFree(p) != cudaSuccess) cudaGetLastError();
}

/* ------------------------------------------------------------------------------------- staging */

static int make_staging(cvl_cuda_staging *s, cvl_err *e) {
  void *memory = NULL;
  if (s->memory != NULL) return 0;
  for (int i = 0; i < CVL_CUDA_SEGMENTS; i++)
    if (s->done[i] == NULL &&
        CVL_CUDA(e, cudaEventCreateWithFlags(&s->done[i], cudaEventDisableTiming)) != 0)
      return -1;
  if (CVL_CUDA(e, cudaHostAlloc(&memory, (size_t)CVL_CUDA_SEGMENTS * CVL_CUDA_SEGMENT,
                                cudaHostAllocDefault)) != 0)
    return -1;
  s->memory = memory;
  return 0;
}

/* Room for `bytes` <= CVL_CUDA_SEGMENT that the device reads no more. */
static char *reserve(cvl_cuda *d, size_t bytes, cvl_err *e) {
  enum { ALIGN = 64 };
  cvl_cuda_staging *s = &d->staging;
  char *p;
  if (make_staging(s, e) != 0) return NULL;
  if (s->used + bytes > CVL_CUDA_SEGMENT) {
    int next = (s->segment + 1) % CVL_CUDA_SEGMENTS;
    if (CVL_CUDA(e, cudaEventRecord(s->done[s->segment], d->stream)) != 0) return NULL;
    s->left[s->segment] = true;
    if (s->left[next] && CVL_CUDA(e, cudaEventSynchronize(s->done[next])) != 0) return NULL;
    s->left[next] = false;
    s->segment = next;
    s->used = 0;
  }
  p = s->memory + (size_t)s->segment * CVL_CUDA_SEGMENT + s->used;
  s->used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
  return p;
}

int cvl_cuda_from_host(cvl_device *base, void *dst, const void *src, size_t bytes, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_recording_refuse(base, "values from the host", e) != 0) return -1;
  if (cvl_cuda_use(d, e) != 0) return -1;
  for (size_t at = 0; at < bytes;) {
    size_t n = bytes - at < CVL_CUDA_SEGMENT ? bytes - at : CVL_CUDA_SEGMENT;
    char *p = reserve(d, n, e);
    if (p == NULL) return -1;
    memcpy(p, (const char *)src + at, n);
    if (CVL_CUDA(e, cudaMemcpyAsync((char *)dst + at, p, n, cudaMemcpyHostToDevice, d->stream)) !=
        0)
      return -1;
    at += n;
  }
  return 0;
}

int cvl_cuda_to_host(cvl_device *base, void *dst, const void *src, size_t bytes, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_recording_refuse(base, "reading values from the device", e) != 0) return -1;
  if (cvl_cuda_use(d, e) != 0) return -1;
  for (size_t at = 0; at < bytes;) {
    size_t n = bytes - at < CVL_CUDA_SEGMENT ? bytes - at : CVL_CUDA_SEGMENT;
    char *p = reserve(d, n, e);
    if (p == NULL ||
        CVL_CUDA(e, cudaMemcpyAsync(p, (const char *)src + at, n, cudaMemcpyDeviceToHost,
                                    d->stream)) != 0 ||
        CVL_CUDA(e, cudaStreamSynchronize(d->stream)) != 0)
      return -1;
    memcpy((char *)dst + at, p, n);
    at += n;
  }
  return 0;
}

int cvl_cuda_copy(cvl_device *base, void *dst, const void *src, size_t bytes, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (bytes == 0) return 0;
  if (cvl_cuda_use(d, e) != 0) return -1;
  return CVL_CUDA(e, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, d->stream));
}

int cvl_cuda_clear(cvl_device *base, void *p, size_t bytes, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (bytes == 0) return 0;
  if (cvl_cuda_use(d, e) != 0) return -1;
  return CVL_CUDA(e, cudaMemsetAsync(p, 0, bytes, d->stream));
}

#include "tensor/storage.h"

#include "base/mem.h"
#include "device/cache.h"

cvl_storage *cvl_storage_new(cvl_device *device, size_t bytes, cvl_err *e) {
  cvl_storage *s = cvl_alloc(sizeof *s);
  if (s == NULL) {
    cvl_fail_memory(e, sizeof *s);
    return NULL;
  }
  s->device = device;
  s->bytes = bytes;
  atomic_init(&s->refs, 1);
  if ((s->data = cvl_cache_alloc(device, bytes, e)) == NULL) {
    cvl_free(s);
    return NULL;
  }
  return s;
}

void cvl_storage_retain(cvl_storage *s) { atomic_fetch_add(&s->refs, 1); }

void cvl_storage_release(cvl_storage *s) {
  if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) return;
  cvl_cache_free(s->device, s->data, s->bytes);
  cvl_free(s);
}

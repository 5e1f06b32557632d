/* The core's functions that have state, by the names that its other code calls: each asks the program. */
#include "cuda/host.h"

#include "base/mem.h"
#include "device/cache.h"

static const cvl_host *host;

void cvl_cuda_set_host(const cvl_host *h) { host = h; }

void *cvl_alloc(size_t bytes) { return host->alloc(bytes); }
void *cvl_resize(void *p, size_t bytes) { return host->resize(p, bytes); }
void cvl_free(void *p) { host->free(p); }
bool cvl_mem_permit(int64_t bytes) { return host->permit(bytes); }
void cvl_mem_count(int64_t live, int64_t cached) { host->count(live, cached); }
int64_t cvl_mem_live(void) { return host->live(); }
int64_t cvl_mem_cached(void) { return host->cached(); }

void *cvl_alloc_array(size_t count, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? NULL : cvl_alloc(bytes);
}

void *cvl_cache_alloc(cvl_device *d, size_t bytes, cvl_err *e) {
  return host->cache_alloc(d, bytes, e);
}
void cvl_cache_free(cvl_device *d, void *p, size_t bytes) { host->cache_free(d, p, bytes); }
void cvl_cache_empty(cvl_device *d) { host->cache_empty(d); }
cvl_device *cvl_cpu(void) { return host->cpu(); }

#include "device/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

enum { SMALLEST = 64, STEPS = 8, CLASSES = STEPS * 58 };

typedef struct block { /* lies in the freed memory of host-visible devices; elsewhere beside it */
  struct block *next;
  void *memory;
} block;

typedef struct cvl_cache {
  pthread_mutex_t lock;
  block *free[CLASSES];
} cvl_cache;

/* Rounds up to SMALLEST * 2^k * (1 + j/STEPS) and numbers the result. */
static int size_class(size_t bytes, size_t *rounded) {
  int k = bytes < SMALLEST ? 0 : 63 - __builtin_clzll(bytes / SMALLEST), j;
  size_t base = (size_t)SMALLEST << k, step;
  step = base / STEPS;
  j = bytes <= base ? 0 : (int)((bytes - base + step - 1) / step);
  *rounded = base + (size_t)j * step;
  return k * STEPS + j;
}

static cvl_cache *cache_of(cvl_device *d) {
  static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
  cvl_cache *c = __atomic_load_n(&d->cache, __ATOMIC_ACQUIRE);
  if (c != NULL) return c;
  pthread_mutex_lock(&making);
  if ((c = d->cache) == NULL && (c = calloc(1, sizeof *c)) != NULL) {
    pthread_mutex_init(&c->lock, NULL);
    __atomic_store_n(&d->cache, c, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&making);
  return c;
}

static block *take(cvl_cache *c, int class) {
  block *b;
  pthread_mutex_lock(&c->lock);
  if ((b = c->free[class]) != NULL) c->free[class] = b->next;
  pthread_mutex_unlock(&c->lock);
  return b;
}

void *cvl_cache_alloc(cvl_device *d, size_t bytes, cvl_err *e) {
  cvl_cache *c = cache_of(d);
  size_t size;
  void *p = NULL;
  block *b;
  int class;
  if (c == NULL || bytes > PTRDIFF_MAX / 2 || !cvl_mem_permit((int64_t)bytes)) goto fail;
  class = size_class(bytes, &size);
  if ((b = take(c, class)) != NULL) {
    p = b->memory;
    if (!d->host_visible) free(b);
    cvl_mem_count((int64_t)size, -(int64_t)size);
    return p;
  }
  if ((p = d->alloc(d, size)) == NULL) {
    cvl_cache_empty(d);
    p = d->alloc(d, size);
  }
  if (p != NULL) {
    cvl_mem_count((int64_t)size, 0);
    return p;
  }
fail:
  cvl_fail_memory(e, (long long)bytes);
  return NULL;
}

void cvl_cache_free(cvl_device *d, void *p, size_t bytes) {
  cvl_cache *c = d->cache;
  size_t size;
  int class;
  block *b;
  if (p == NULL) return;
  class = size_class(bytes, &size);
  b = d->uncached ? NULL : d->host_visible ? p : malloc(sizeof *b);
  if (b == NULL) { /* nor without memory for the note */
    d->free(d, p, size);
    cvl_mem_count(-(int64_t)size, 0);
    return;
  }
  b->memory = p;
  pthread_mutex_lock(&c->lock);
  b->next = c->free[class];
  c->free[class] = b;
  pthread_mutex_unlock(&c->lock);
  cvl_mem_count(-(int64_t)size, (int64_t)size);
}

/* The size that a class number stands for. */
static size_t class_size(int class) {
  size_t base = (size_t)SMALLEST << (class / STEPS);
  return base + base / STEPS * (size_t)(class % STEPS);
}

void cvl_cache_empty(cvl_device *d) {
  cvl_cache *c = d->cache;
  if (c == NULL) return;
  for (int class = 0; class < CLASSES; class ++) {
    block *b;
    while ((b = take(c, class)) != NULL) {
      void *p = b->memory;
      if (!d->host_visible) free(b);
      d->free(d, p, class_size(class));
      cvl_mem_count(0, -(int64_t)class_size(class));
    }
  }
}

void cvl_caches_empty(void) {
  cvl_device *open[32];
  for (int i = 0, n = cvl_devices_open(open, 32); i < n; i++) cvl_cache_empty(open[i]);
}

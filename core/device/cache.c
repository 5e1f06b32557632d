#include "device/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "device/reserve.h"

enum { SMALLEST = 64, STEPS = 8, CLASSES = STEPS * 58 };

typedef struct block { /* lies in the freed memory of host-visible devices; elsewhere beside it */
  struct block *next;
  void *memory;
} block;

typedef struct cvl_cache {
  pthread_mutex_t lock;
  block *free[CLASSES];
  cvl_reserve *reserves; /* of recordings; the first is being made if `reserving` */
  bool reserving;
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

/* The size that a class number stands for. */
static size_t class_size(int class) {
  size_t base = (size_t)SMALLEST << (class / STEPS);
  return base + base / STEPS * (size_t)(class % STEPS);
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

/* A block of the cache's or of the device's own, counted as live, or NULL. */
static void *fetch(cvl_device *d, cvl_cache *c, int class, size_t size) {
  block *b = take(c, class);
  void *p;
  if (b != NULL) {
    p = b->memory;
    if (!d->host_visible) free(b);
    cvl_mem_count((int64_t)size, -(int64_t)size);
    return p;
  }
  if ((p = d->alloc(d, size)) == NULL) {
    cvl_cache_empty(d);
    p = d->alloc(d, size);
  }
  if (p != NULL) cvl_mem_count((int64_t)size, 0);
  return p;
}

/* The way back: kept for the next who asks, or given to the device. Not counted. Returns whether it is kept. */
static bool keep(cvl_device *d, cvl_cache *c, void *p, int class, size_t size) {
  /* Without memory for the note the device gets it, too. */
  block *b = d->uncached ? NULL : d->host_visible ? p : malloc(sizeof *b);
  if (b == NULL) {
    d->free(d, p, size);
    return false;
  }
  b->memory = p;
  pthread_mutex_lock(&c->lock);
  b->next = c->free[class];
  c->free[class] = b;
  pthread_mutex_unlock(&c->lock);
  return true;
}

/* For work that is being recorded: from now on the recording's. What the recording gave back comes first. */
static void *fetch_reserved(cvl_device *d, cvl_cache *c, int class, size_t size) {
  cvl_reserve *r = c->reserves;
  cvl_reserved *idle = d->uncached ? NULL : cvl_reserve_idle(r, class);
  void *p;
  if (idle != NULL) {
    idle->idle = false;
    cvl_mem_count((int64_t)size, -(int64_t)size);
    return idle->memory;
  }
  if ((p = fetch(d, c, class, size)) == NULL) return NULL;
  if (cvl_reserve_add(r, &(cvl_reserved){.memory = p, .size_class = class, .own = true}) == 0)
    return p;
  cvl_mem_count(-(int64_t)size, keep(d, c, p, class, size) ? (int64_t)size : 0);
  return NULL;
}

void *cvl_cache_alloc(cvl_device *d, size_t bytes, cvl_err *e) {
  cvl_cache *c = cache_of(d);
  size_t size;
  void *p = NULL;
  if (c != NULL && bytes <= PTRDIFF_MAX / 2 && cvl_mem_permit((int64_t)bytes)) {
    int class = size_class(bytes, &size);
    p = c->reserving ? fetch_reserved(d, c, class, size) : fetch(d, c, class, size);
  }
  if (p == NULL) cvl_fail_memory(e, (long long)bytes);
  return p;
}

/* Whether a recording names the block: it stays there. */
static bool reserved(const cvl_cache *c, const void *p) {
  for (const cvl_reserve *r = c->reserves; r != NULL; r = r->next) {
    cvl_reserved *b = cvl_reserve_find(r, p);
    if (b == NULL) continue;
    b->idle = true;
    return true;
  }
  return false;
}

void cvl_cache_free(cvl_device *d, void *p, size_t bytes) {
  cvl_cache *c = d->cache;
  size_t size;
  int class;
  if (p == NULL) return;
  class = size_class(bytes, &size);
  cvl_mem_count(-(int64_t)size, reserved(c, p) || keep(d, c, p, class, size) ? (int64_t)size : 0);
}

/* ------------------------------------------------------------------------------------ reserves */

int cvl_cache_open_reserve(cvl_device *d, cvl_reserve *r, cvl_err *e) {
  cvl_cache *c = cache_of(d);
  if (c == NULL) return cvl_fail_memory(e, (long long)sizeof *c);
  r->next = c->reserves;
  c->reserves = r;
  c->reserving = true;
  return 0;
}

int cvl_cache_reserve(cvl_device *d, void *p, size_t bytes, cvl_err *e) {
  cvl_reserve *r = d->cache->reserves;
  cvl_reserved b = {.memory = p};
  size_t size;
  if (cvl_reserve_find(r, p) != NULL) return 0;
  b.size_class = size_class(bytes, &size);
  return cvl_reserve_add(r, &b) == 0
             ? 0
             : cvl_fail_memory(e, (long long)(r->n + 1) * (long long)sizeof b);
}

void cvl_cache_seal_reserve(cvl_device *d) { d->cache->reserving = false; }

void cvl_cache_close_reserve(cvl_device *d, cvl_reserve *r) {
  cvl_cache *c = d->cache;
  cvl_reserve **link = &c->reserves;
  while (*link != r) link = &(*link)->next;
  *link = r->next;
  for (int i = 0; i < r->n; i++) {
    const cvl_reserved *b = &r->block[i];
    size_t size = class_size(b->size_class);
    if (!b->idle || reserved(c, b->memory) || keep(d, c, b->memory, b->size_class, size)) continue;
    cvl_mem_count(0, -(int64_t)size);
  }
  cvl_reserve_clear(r);
}

void cvl_cache_empty(cvl_device *d) {
  cvl_cache *c = d->cache;
  if (c == NULL || c->reserving)
    return; /* to give back is to wait, which nobody may in a recording */
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

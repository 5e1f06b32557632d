#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  _Alignas(16) size_t bytes; /* the size asked for, so that freeing can be counted */
} header;

static atomic_llong live, cached, peak, limit, asked;
static atomic_llong permits = -1;

int64_t cvl_mem_live(void) { return atomic_load_explicit(&live, memory_order_relaxed); }
int64_t cvl_mem_cached(void) { return atomic_load_explicit(&cached, memory_order_relaxed); }
int64_t cvl_mem_peak(void) { return atomic_load_explicit(&peak, memory_order_relaxed); }
int64_t cvl_mem_allocations(void) { return atomic_load_explicit(&asked, memory_order_relaxed); }
void cvl_mem_reset_peak(void) { atomic_store(&peak, atomic_load(&live)); }
void cvl_mem_set_limit(int64_t bytes) { atomic_store(&limit, bytes > 0 ? bytes : 0); }
void cvl_mem_fail_after(int64_t n) { atomic_store(&permits, n < 0 ? -1 : n); }

void cvl_mem_count(int64_t d_live, int64_t d_cached) {
  long long now = atomic_fetch_add(&live, d_live) + d_live;
  long long high = atomic_load(&peak);
  atomic_fetch_add(&cached, d_cached);
  while (now > high && !atomic_compare_exchange_weak(&peak, &high, now)) {}
}

bool cvl_mem_permit(int64_t bytes) {
  long long left = atomic_load(&permits), cap = atomic_load(&limit);
  atomic_fetch_add(&asked, 1);
  if (cap > 0 && bytes > cap - atomic_load(&live)) return false;
  while (left > 0)
    if (atomic_compare_exchange_weak(&permits, &left, left - 1)) return true;
  return left != 0;
}

void *cvl_alloc(size_t bytes) {
  header *h;
  if (bytes > PTRDIFF_MAX - sizeof(header) || !cvl_mem_permit((int64_t)bytes)) return NULL;
  if ((h = calloc(1, sizeof(header) + bytes)) == NULL) return NULL;
  h->bytes = bytes;
  cvl_mem_count((int64_t)bytes, 0);
  return h + 1;
}

void *cvl_alloc_array(size_t count, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? NULL : cvl_alloc(bytes);
}

void *cvl_resize(void *p, size_t bytes) {
  header *h = p != NULL ? (header *)p - 1 : NULL;
  size_t old = h != NULL ? h->bytes : 0;
  if (p == NULL) return cvl_alloc(bytes);
  if (bytes > PTRDIFF_MAX - sizeof(header) || !cvl_mem_permit((int64_t)bytes)) return NULL;
  if ((h = realloc(h, sizeof(header) + bytes)) == NULL) return NULL;
  h->bytes = bytes;
  cvl_mem_count((int64_t)bytes - (int64_t)old, 0);
  return h + 1;
}

char *cvl_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *copy = cvl_alloc(n);
  return copy != NULL ? memcpy(copy, s, n) : NULL;
}

void cvl_free(void *p) {
  header *h = p != NULL ? (header *)p - 1 : NULL;
  if (h == NULL) return;
  cvl_mem_count(-(int64_t)h->bytes, 0);
  free(h);
}

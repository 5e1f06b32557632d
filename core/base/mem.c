#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct header header;
struct header {
  _Alignas(16) size_t bytes; /* the size asked for, so that freeing can be counted */
  header *next;              /* of an idle block */
};

/*
** A tensor, its storage and its node on the tape come and go with every op, and the system's allocator is slow for what
** is freed by the thousand, as a collection of garbage does it. So each thread keeps some small blocks for itself, in
** lists by size. Under the address sanitizer none: it shall see what is used after it was freed.
*/
#ifdef __SANITIZE_ADDRESS__
enum { STEP = 64, SMALL = 0, KEPT = 0, LISTS = 2 };
#else
enum { STEP = 64, SMALL = 1024, KEPT = 256, LISTS = SMALL / STEP + 1 };
#endif
static _Thread_local struct {
  header *first;
  int count;
} idle[LISTS];
static _Thread_local bool emptied_at_exit;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

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
  if (d_cached != 0) atomic_fetch_add(&cached, d_cached);
  while (now > high && !atomic_compare_exchange_weak(&peak, &high, now)) {}
}

static void empty(void *unused) {
  (void)unused;
  for (int i = 0; i < LISTS; i++)
    while (idle[i].first != NULL) {
      header *h = idle[i].first;
      idle[i].first = h->next;
      free(h);
    }
}

static void make_key(void) { pthread_key_create(&at_exit, empty); }

/* The list of blocks for so many bytes, which have room for STEP times its number. A block without bytes has room too:
** leak checkers do not see a pointer to the end of a block. */
static size_t list_of(size_t bytes) { return bytes > 0 ? (bytes + STEP - 1) / STEP : 1; }

/* A block for `bytes` and its header, zeroed behind that. */
static header *take(size_t bytes) {
  size_t list = list_of(bytes);
  header *h;
  if (bytes > SMALL) return calloc(1, sizeof *h + bytes);
  if ((h = idle[list].first) != NULL) {
    idle[list].first = h->next;
    idle[list].count--;
  } else if ((h = malloc(sizeof *h + list * STEP)) == NULL) {
    return NULL;
  }
  memset(h + 1, 0, bytes);
  return h;
}

static void give(header *h) {
  size_t list = list_of(h->bytes);
  if (h->bytes > SMALL || idle[list].count >= KEPT) {
    free(h);
    return;
  }
  if (!emptied_at_exit) { /* any value but NULL makes the thread's end call empty() */
    pthread_once(&once, make_key);
    emptied_at_exit = pthread_setspecific(at_exit, idle) == 0;
  }
  h->next = idle[list].first;
  idle[list].first = h;
  idle[list].count++;
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
  if ((h = take(bytes)) == NULL) return NULL;
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
  if ((h = realloc(h, sizeof(header) + (bytes <= SMALL ? list_of(bytes) * STEP : bytes))) == NULL)
    return NULL;
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
  give(h);
}

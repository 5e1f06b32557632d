#include "kernels/scratch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

enum {
  ALIGNMENT = 64,
  HUGE_PAGE = 1 << 21,
  HUGE_FROM =
      1 << 19, /* bytes: Winograd writes 36 places in turn, more pages than a CPU has in mind */
  KEPT = 24
};

typedef struct {
  _Alignas(ALIGNMENT) size_t bytes; /* of the whole block */
} header;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static header *idle[KEPT]; /* NULL: a free place */

/* Sizes come in steps of an eighth of their power of two, so that problems of about the same size share blocks. */
static size_t rounded(size_t bytes) {
  size_t step = ALIGNMENT;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

static void destroy(header *h) {
  cvl_mem_count(0, -(int64_t)h->bytes);
  free(h);
}

/* The smallest idle block that is large enough but not wastefully so, taken out of the table. */
static header *reuse(size_t bytes) {
  header *best = NULL;
  int place = -1;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < KEPT; i++)
    if (idle[i] != NULL && idle[i]->bytes >= bytes && idle[i]->bytes / 4 <= bytes &&
        (best == NULL || idle[i]->bytes < best->bytes)) {
      best = idle[i];
      place = i;
    }
  if (best != NULL) idle[place] = NULL;
  pthread_mutex_unlock(&lock);
  if (best != NULL) cvl_mem_count((int64_t)best->bytes, -(int64_t)best->bytes);
  return best;
}

static header *create(size_t bytes) {
  bool huge = bytes >= HUGE_FROM;
  header *h;
  if (huge) bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  if ((h = aligned_alloc(huge ? HUGE_PAGE : ALIGNMENT, bytes)) == NULL) return NULL;
  if (huge) madvise(h, bytes, MADV_HUGEPAGE); /* advice: a refusal costs speed only */
  h->bytes = bytes;
  cvl_mem_count((int64_t)bytes, 0);
  return h;
}

float *cvl_scratch_take(int64_t count, cvl_err *e) {
  size_t bytes;
  header *h;
  if (count < 0 || count > (int64_t)(PTRDIFF_MAX / 8)) goto none;
  bytes = rounded(sizeof(header) + (size_t)count * sizeof(float));
  /* Asked for on every call, cached or not: tests that let the n-th allocation fail must not depend on the past. */
  if (!cvl_mem_permit((int64_t)bytes)) goto none;
  if ((h = reuse(bytes)) == NULL && (h = create(bytes)) == NULL) {
    cvl_scratch_trim();
    if ((h = create(bytes)) == NULL) goto none;
  }
  return (float *)(h + 1);
none:
  cvl_fail_memory(e, (long long)count * (long long)sizeof(float));
  return NULL;
}

void cvl_scratch_give(float *block) {
  header *h = block != NULL ? (header *)block - 1 : NULL;
  int place = 0;
  if (h == NULL) return;
  cvl_mem_count(-(int64_t)h->bytes, (int64_t)h->bytes);
  pthread_mutex_lock(&lock);
  for (int i = 0; i < KEPT;
       i++) /* a free place, else the smallest block's: large ones are dearer to get again */
    if (idle[i] == NULL) {
      place = i;
      break;
    } else if (idle[i]->bytes < idle[place]->bytes) {
      place = i;
    }
  if (idle[place] == NULL || idle[place]->bytes < h->bytes) {
    header *old = idle[place];
    idle[place] = h;
    h = old;
  }
  pthread_mutex_unlock(&lock);
  if (h != NULL) destroy(h);
}

void cvl_scratch_trim(void) {
  for (int i = 0; i < KEPT; i++) {
    pthread_mutex_lock(&lock);
    header *h = idle[i];
    idle[i] = NULL;
    pthread_mutex_unlock(&lock);
    if (h != NULL) destroy(h);
  }
}

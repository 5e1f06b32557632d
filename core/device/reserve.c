#include "device/reserve.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* Where the block is, or would be. */
static int place(const cvl_reserve *r, const void *memory) {
  int low = 0, high = r->n;
  while (low < high) {
    int middle = (low + high) / 2;
    if ((uintptr_t)r->block[middle].memory < (uintptr_t)memory)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

cvl_reserved *cvl_reserve_find(const cvl_reserve *r, const void *memory) {
  int at = place(r, memory);
  return at < r->n && r->block[at].memory == memory ? &r->block[at] : NULL;
}

int cvl_reserve_add(cvl_reserve *r, const cvl_reserved *block) {
  int at = place(r, block->memory);
  if (r->n == r->room) {
    int room = r->room * 2 + 64;
    cvl_reserved *more = cvl_resize(r->block, (size_t)room * sizeof *more);
    if (more == NULL) return -1;
    r->block = more;
    r->room = room;
  }
  memmove(&r->block[at + 1], &r->block[at], (size_t)(r->n - at) * sizeof *r->block);
  r->block[at] = *block;
  r->n++;
  return 0;
}

/* The search is along all of them: a step asks a thousand times among a thousand blocks, once. */
cvl_reserved *cvl_reserve_idle(const cvl_reserve *r, int size_class) {
  for (int i = 0; i < r->n; i++)
    if (r->block[i].own && r->block[i].idle && r->block[i].size_class == size_class)
      return &r->block[i];
  return NULL;
}

void cvl_reserve_clear(cvl_reserve *r) {
  cvl_free(r->block);
  *r = (cvl_reserve){.next = NULL};
}

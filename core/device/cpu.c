#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/device.h"

enum { HUGE_PAGE = 2 << 20 };

/* Big blocks start at a huge page's border and ask for huge pages: fewer faults, fewer TLB misses. */
static void *alloc(cvl_device *d, size_t bytes) {
  size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
  void *p = NULL;
  (void)d;
  if (posix_memalign(&p, align, bytes) != 0) return NULL;
  if (align == HUGE_PAGE)
    madvise(p, bytes, MADV_HUGEPAGE); /* advice: its failure changes nothing */
  return p;
}

static void release(cvl_device *d, void *p, size_t bytes) {
  (void)d;
  (void)bytes;
  free(p);
}

static int move(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e) {
  (void)d;
  (void)e;
  if (bytes > 0) memmove(dst, src, bytes);
  return 0;
}

static int clear(cvl_device *d, void *p, size_t bytes, cvl_err *e) {
  (void)d;
  (void)e;
  if (bytes > 0) memset(p, 0, bytes);
  return 0;
}

static int sync(cvl_device *d, cvl_err *e) {
  (void)d;
  (void)e;
  return 0;
}

cvl_device *cvl_cpu(void) {
  static cvl_device cpu = {.name = "cpu",
                           .host_visible = true,
                           .alloc = alloc,
                           .free = release,
                           .from_host = move,
                           .to_host = move,
                           .copy = move,
                           .clear = clear,
                           .sync = sync};
  return &cpu;
}

#include "io/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int grow(cvl_snapshot *s, cvl_err *e) {
  int room = s->room > 0 ? 2 * s->room : 16;
  void *items = cvl_resize(s->items, (size_t)room * sizeof *s->items);
  if (items == NULL) return cvl_fail_memory(e, room * (long long)sizeof *s->items);
  s->items = items;
  s->room = room;
  return 0;
}

int cvl_snapshot_add(cvl_snapshot *s, const char *name, cvl_tensor *x, bool copy, cvl_err *e) {
  struct cvl_snapshot_item item = {0};
  if (s->count == s->room && grow(s, e) != 0) return -1;
  if ((item.name = cvl_strdup(name)) == NULL)
    return cvl_fail_memory(e, (long long)strlen(name) + 1);
  if (copy || !cvl_is_dense(x) || !cvl_device_of(x)->host_visible)
    item.x = cvl_tensor_clone(x, cvl_cpu(), e);
  else
    item.x = cvl_retain(x);
  if (item.x == NULL) {
    cvl_free(item.name);
    return -1;
  }
  s->items[s->count++] = item;
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct cvl_snapshot_item *)a)->name,
                ((const struct cvl_snapshot_item *)b)->name);
}

int cvl_snapshot_save(cvl_snapshot *s, const char *path, cvl_err *e) {
  cvl_array *arrays = cvl_alloc_array((size_t)s->count, sizeof *arrays);
  int rc;
  if (arrays == NULL) return cvl_fail_memory(e, s->count * (long long)sizeof *arrays);
  if (s->count > 1) qsort(s->items, (size_t)s->count, sizeof *s->items, by_name);
  for (int i = 0; i < s->count; i++) {
    const cvl_tensor *x = s->items[i].x;
    arrays[i] = (cvl_array){s->items[i].name, x->dtype, x->shape, cvl_data(x)};
  }
  rc = cvl_npz_save(path, arrays, s->count, e);
  cvl_free(arrays);
  return rc;
}

void cvl_snapshot_free(cvl_snapshot *s) {
  for (int i = 0; i < s->count; i++) {
    cvl_free(s->items[i].name);
    cvl_release(s->items[i].x);
  }
  cvl_free(s->items);
  *s = (cvl_snapshot){0};
}

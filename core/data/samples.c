#include "data/samples.h"

static int get(const void *context, int64_t index, uint64_t epoch, float *x, int64_t *label,
               cvl_err *e) {
  const cvl_array_set *s = context;
  int64_t bytes = cvl_shape_count(&s->item) * (int64_t)cvl_dtype_size(s->transform.dtype);
  const char *item = (const char *)s->items + index * bytes;
  (void)e; /* nothing can fail in memory */
  cvl_transform_apply(&s->transform, item, s->seed, epoch, index, x);
  *label = s->labels != NULL ? s->labels[index] : 0;
  return 0;
}

cvl_samples cvl_array_samples(const cvl_array_set *set) {
  return (cvl_samples){.count = set->count, .item = set->item, .get = get, .context = set};
}

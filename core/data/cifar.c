#include "data/cifar.h"

#include <stdatomic.h>

#include "base/pool.h"

const char *const cvl_cifar_names[CVL_CIFAR_CLASSES] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

typedef struct {
  const unsigned char *bytes;
  uint8_t *x;
  int64_t *labels;
  atomic_llong bad; /* the first record with a wrong label */
} job;

static void decode(void *context, int64_t first, int64_t last) {
  enum { PLANE = CVL_CIFAR_SIDE * CVL_CIFAR_SIDE };
  job *j = context;
  for (int64_t i = first; i < last; i++) {
    const unsigned char *record = j->bytes + i * (1 + CVL_CIFAR_PIXELS), *plane = record + 1;
    uint8_t *x = j->x + i * CVL_CIFAR_PIXELS;
    if (record[0] >= CVL_CIFAR_CLASSES) {
      long long known = atomic_load(&j->bad);
      while (i < known && !atomic_compare_exchange_weak(&j->bad, &known, i)) {}
    }
    j->labels[i] = record[0];
    for (int p = 0; p < PLANE; p++) {
      x[3 * p] = plane[p];
      x[3 * p + 1] = plane[PLANE + p];
      x[3 * p + 2] = plane[2 * PLANE + p];
    }
  }
}

int cvl_cifar_decode(const unsigned char *bytes, size_t size, const char *name, uint8_t *x,
                     int64_t *labels, cvl_err *e) {
  job j = {bytes, x, labels, CVL_CIFAR_RECORDS};
  if (size != CVL_CIFAR_FILE_BYTES)
    return cvl_fail(e, CVL_EFORMAT, 0,
                    "'%s' is not a CIFAR-10 batch: it has %zu bytes, expected %d (10000 records)",
                    name, size, CVL_CIFAR_FILE_BYTES);
  cvl_parallel_range(CVL_CIFAR_RECORDS, 512, decode, &j);
  if (j.bad < CVL_CIFAR_RECORDS)
    return cvl_fail(e, CVL_EFORMAT, 0, "'%s', record %lld: label %d is above 9, the highest class",
                    name, (long long)j.bad + 1, bytes[j.bad * (1 + CVL_CIFAR_PIXELS)]);
  return 0;
}

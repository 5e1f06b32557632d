/* Where a loader's samples come from: arrays in memory here, files of images through the same
** contract elsewhere. */
#ifndef CVL_DATA_SAMPLES_H
#define CVL_DATA_SAMPLES_H

#include "data/augment.h"

/*
** get: fills x, a float32 item, and *label (from 0) with sample `index` as it is to be seen in
** `epoch`. It is called by several threads at once, and what it gives must depend on its arguments
** alone.
*/
typedef struct cvl_samples {
  int64_t count;
  cvl_shape item;
  int (*get)(const void *context, int64_t index, uint64_t epoch, float *x, int64_t *label,
             cvl_err *e);
  const void *context;
} cvl_samples;

/* A data set in memory: dense items {count, item...} of uint8 or float32, labels {count} from 0
** (NULL: all are 0). */
typedef struct cvl_array_set {
  const void *items;
  const int64_t *labels;
  int64_t count;
  cvl_shape item;
  uint64_t seed;           /* of the augmentation */
  cvl_transform transform; /* made for the items' type and shape */
} cvl_array_set;

/* The set as a source; borrows it, items and labels. */
cvl_samples cvl_array_samples(const cvl_array_set *set);

#endif

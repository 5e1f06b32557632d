/*
** From a stored item to a network's input: random crop, random flip, normalisation, cutout, in this
** order. What happens to an item is a function of (seed, epoch, index) alone, whichever thread does
** it and in whatever order.
*/
#ifndef CVL_DATA_AUGMENT_H
#define CVL_DATA_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

enum { CVL_AUGMENT_CHANNELS = 64 }; /* most channels with their own mean and deviation */

typedef struct cvl_augment {
  int64_t pad;  /* pixels added on each side before a crop of the original size; 0: no crop */
  bool reflect; /* pad with the mirrored image (the edge itself not repeated) instead of black */
  bool flip;    /* left and right exchanged for half of the samples */
  /* As flip, but only the first epoch throws a coin: after it every sample changes sides from epoch
  ** to epoch, so that two epochs show both. Jordan 2024, arXiv:2404.00498, section 3.6. */
  bool alternating_flip;
  /* Side in pixels of a square set to the mean, its centre anywhere in the image, so that it may be
  ** cut off; 0: none. DeVries & Taylor 2017, arXiv:1708.04552. */
  int64_t cutout;
  int channels; /* the last axis of the item, whose means follow; 0: no normalisation */
  float mean[CVL_AUGMENT_CHANNELS]; /* in units of 0..1 for uint8 */
  float deviation[CVL_AUGMENT_CHANNELS];
} cvl_augment;

/* An augmentation made ready for items of one type and shape. */
typedef struct cvl_transform {
  cvl_augment o;
  cvl_dtype dtype;
  int64_t height, width, channels;
  float *table; /* {channels, 256}: what a byte becomes; owned, NULL for float32 items */
} cvl_transform;

/*
** Items are uint8, which become 0..1, or float32. Crop, flip and cutout need items {height, width,
** channels}; normalisation alone takes any shape whose last axis is the channels.
** Errors: CVL_EDTYPE, CVL_ESHAPE, CVL_EARG (a negative size, a reflection wider than the image, a
** deviation that is not positive), CVL_ENOMEM.
*/
int cvl_transform_init(cvl_transform *t, const cvl_augment *o, cvl_dtype dtype,
                       const cvl_shape *item, cvl_err *e);
void cvl_transform_free(cvl_transform *t);

/* y, of the item's shape, is the caller's. `x` is one item, dense. */
void cvl_transform_apply(const cvl_transform *t, const void *x, uint64_t seed, uint64_t epoch,
                         int64_t index, float *y);

#endif

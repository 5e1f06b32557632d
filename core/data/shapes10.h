/*
** Shapes10: a data set without files. Ten classes of figures, seven told by their outline and three
** by their texture, at any place, size and rotation, in any colours, before a cluttered background,
** partly covered, with noise. 32 x 32 RGB, as CIFAR-10, so that everything that trains on the one
** trains on the other.
*/
#ifndef CVL_DATA_SHAPES10_H
#define CVL_DATA_SHAPES10_H

#include <stdint.h>

enum { CVL_SHAPES10_SIDE = 32, CVL_SHAPES10_CLASSES = 10, CVL_SHAPES10_BYTES = 3 * 32 * 32 };

extern const char *const cvl_shapes10_names[CVL_SHAPES10_CLASSES]; /* disc ... dots */

/* Samples first .. first + count - 1: x {count, 32, 32, 3}, labels {count} from 0. Each is a
** function of (seed, index) alone; the classes take turns, so that any ten neighbours have all of
** them. */
void cvl_shapes10(uint64_t seed, uint64_t first, int64_t count, uint8_t *x, int64_t *labels);

#endif

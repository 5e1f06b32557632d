/*
** CIFAR-10, binary version (Krizhevsky 2009, "Learning multiple layers of features from tiny
** images"; https://www.cs.toronto.edu/~kriz/cifar.html). A file is 10,000 records of one label byte
** and 3072 pixel bytes: the red plane, the green, the blue, each 32 rows of 32.
*/
#ifndef CVL_DATA_CIFAR_H
#define CVL_DATA_CIFAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
  CVL_CIFAR_RECORDS = 10000,
  CVL_CIFAR_SIDE = 32,
  CVL_CIFAR_PIXELS = 3 * CVL_CIFAR_SIDE * CVL_CIFAR_SIDE,
  CVL_CIFAR_CLASSES = 10,
  CVL_CIFAR_FILE_BYTES = CVL_CIFAR_RECORDS * (1 + CVL_CIFAR_PIXELS) /* 30,730,000 */
};

extern const char *const cvl_cifar_names[CVL_CIFAR_CLASSES]; /* airplane ... truck */

/*
** Decodes one file's bytes: x {10000, 32, 32, 3} uint8, channels last; labels {10000}, from 0.
** `name` is the file's, for messages. Errors: CVL_EFORMAT when the size is not exactly 30,730,000
** bytes or a label is above 9; the message names the file and the record, from 1.
*/
int cvl_cifar_decode(const unsigned char *bytes, size_t size, const char *name, uint8_t *x,
                     int64_t *labels, cvl_err *e);

#endif

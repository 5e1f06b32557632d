/*
** The .npy format of NumPy (numpy/lib/format.py): a magic string, a version, a Python dict literal
** with the element type, the order and the shape, padded so that the data starts at a multiple of
** 64; then the data. Read: versions 1 to 3, both byte orders, both memory orders. Written: version
** 1.0, little-endian, C order.
*/
#ifndef CVL_IO_NPY_H
#define CVL_IO_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

/* What a header says. */
typedef struct cvl_npy {
  cvl_dtype dtype;
  cvl_shape shape;
  bool fortran;        /* the first axis varies fastest */
  bool swapped;        /* bytes of an element in the other order than this machine's */
  size_t header_bytes; /* where the data starts */
  uint64_t data_bytes; /* count * element size */
} cvl_npy;

enum {
  CVL_NPY_HEADER_MOST = 10000, /* bytes of a header that are accepted; NumPy's own limit */
  CVL_NPY_HEADER_ROOM = 320    /* enough for any header written here */
};

/* Writes the header for (dtype, shape) into `out` and returns its length, a multiple of 64. */
size_t cvl_npy_header(cvl_dtype dtype, const cvl_shape *shape, char out[CVL_NPY_HEADER_ROOM]);

/*
** Understands the header at the start of `bytes`; `size` of them are there, which must cover the
** header but not the data. Allocates nothing. Errors: CVL_EFORMAT: not .npy, damaged, pickled
** objects, structured or unsupported element types, more than CVL_MAX_DIM axes, or a size that does
** not fit in memory.
*/
int cvl_npy_parse(const unsigned char *bytes, size_t size, cvl_npy *h, cvl_err *e);

/* Brings `data_bytes` of data at `raw` into this machine's order and C order at `out`. Bytes of
** bool become 0 or 1. The two must not overlap unless they are equal, which is allowed when
** !h->fortran. */
void cvl_npy_convert(const cvl_npy *h, const void *raw, void *out);

#endif

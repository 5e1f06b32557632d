/*
** .npz: a zip archive of .npy arrays, as numpy.savez writes and numpy.load reads. The native
** checkpoint format. Nothing in a file is ever executed, and nothing is allocated on the word of a
** header alone: a file of n bytes can ask for n bytes (stored) or for what deflate can make of them
** (factor 1032), no more.
*/
#ifndef CVL_IO_NPZ_H
#define CVL_IO_NPZ_H

#include <stddef.h>

#include "base/err.h"
#include "io/npy.h"

/* ---- writing */

typedef struct cvl_array {
  const char *name; /* any text without a zero byte, '/' and '.' too; ".npy" is added in the file */
  cvl_dtype dtype;
  cvl_shape shape;
  const void *data; /* dense, C order; only read, and only during the call */
} cvl_array;

/*
** Writes `count` arrays, stored without compression, in the order given, and puts the file in place
** atomically (atomic.h). The same arrays give the same bytes: time stamps are 1980-01-01.
** Errors: CVL_EARG (an empty or repeated name), CVL_EIO (names the file), CVL_ENOMEM.
*/
int cvl_npz_save(const char *path, const cvl_array *arrays, int count, cvl_err *e);

/* ---- reading */

typedef struct cvl_npz cvl_npz;

typedef struct cvl_npz_entry {
  const char *name; /* without ".npy" */
  cvl_npy header;
} cvl_npz_entry;

/*
** Opens a file and checks its directory and every header: after that all names, element types and
** shapes are known and possible, and no data has been read. NULL on error: CVL_EIO, CVL_EFORMAT
** (not a zip, an entry that is not an array, encrypted, a repeated name, sizes that contradict each
** other; the message names file and entry).
*/
cvl_npz *cvl_npz_open(const char *path, cvl_err *e);
int cvl_npz_count(const cvl_npz *z);
const cvl_npz_entry *cvl_npz_at(const cvl_npz *z, int i);
int cvl_npz_find(const cvl_npz *z, const char *name); /* -1 when there is none */
/* Fills `out`, header.data_bytes of it, with entry i in this machine's order and C order. The
** CRC-32 of the entry is checked: CVL_EFORMAT when it differs; `out` is then undefined. */
int cvl_npz_read(cvl_npz *z, int i, void *out, cvl_err *e);
void cvl_npz_close(cvl_npz *z); /* NULL is fine */

#endif

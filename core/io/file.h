/* Whole files in, and errors of the system in one form. */
#ifndef CVL_IO_FILE_H
#define CVL_IO_FILE_H

#include <stddef.h>

#include "base/err.h"

/* "cannot DOING 'PATH': text of `number`" (an errno value) as CVL_EIO. Returns -1. */
int cvl_fail_errno(cvl_err *e, int number, const char *doing, const char *path);

/*
** Reads a regular file of at most `most` bytes. *data is from cvl_alloc, owned by the caller, and
** has a zero byte after the last one, which *size does not count.
** Errors: CVL_EIO (cannot be read, not a regular file, changes while being read), CVL_EFORMAT
** (larger than `most`).
*/
int cvl_read_file(const char *path, size_t most, unsigned char **data, size_t *size, cvl_err *e);

/* fsync of the directory that holds `path`: makes a rename in it survive a loss of power. */
int cvl_sync_parent(const char *path, cvl_err *e);

/* Makes a folder and those above it, as far as they are missing. */
int cvl_make_folders(const char *path, cvl_err *e);

#endif

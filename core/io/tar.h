/* Unpacking of .tar and .tar.gz archives (POSIX.1-1988 ustar, as published data sets use). */
#ifndef CVL_IO_TAR_H
#define CVL_IO_TAR_H

#include <stdint.h>

#include "base/err.h"

/*
** Unpacks the regular files of `archive` into the folder `dir`, making folders below it. Every file
** appears whole or not at all. Nothing is written outside `dir`: absolute names and `..` are
** refused, links and devices too. `most` bounds the bytes of all files together. Returns the number
** of files, or -1. Errors: CVL_EIO, CVL_EFORMAT (damaged, cut short, a refused entry, more than
** `most` bytes); names the archive.
*/
int cvl_tar_extract(const char *archive, const char *dir, int64_t most, cvl_err *e);

#endif

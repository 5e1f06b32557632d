/*
** Files that appear whole or not at all. The bytes go into `.NAME.tmp-PID.N` beside the target,
** then write -> fsync -> close -> rename -> fsync(directory): after a kill, a full disk or a loss
** of power at any instant, PATH is the old file or the new one, complete. What a killed process
** leaves behind is a temporary file, which cvl_atomic_sweep removes. A link at PATH is replaced,
** not followed.
*/
#ifndef CVL_IO_ATOMIC_H
#define CVL_IO_ATOMIC_H

#include <stddef.h>

#include "base/err.h"

typedef struct cvl_atomic_file {
  char *path, *temp; /* owned; NULL when the file is not open */
  int fd;
} cvl_atomic_file;

/* Open, append any number of times, then commit or abort. When commit returns -1 the file is closed
** and PATH is what it was, except where only the sync of the directory failed: then the new file is
** there, but may not survive a loss of power. Abort after commit, after a failed open, or twice is
** harmless. */
int cvl_atomic_open(cvl_atomic_file *f, const char *path, cvl_err *e);
int cvl_atomic_append(cvl_atomic_file *f, const void *data, size_t size, cvl_err *e);
int cvl_atomic_commit(cvl_atomic_file *f, cvl_err *e);
void cvl_atomic_abort(cvl_atomic_file *f);

/* The three in one. */
int cvl_atomic_write(const char *path, const void *data, size_t size, cvl_err *e);

/* Makes `as` one more name of the file at `path`, so that a later write to `path`, which puts another
** file there, leaves this one. `as` is replaced in one step too. Both on one file system, which must
** know hard links. */
int cvl_atomic_keep(const char *path, const char *as, cvl_err *e);

/* Removes temporary files of dead writers from the directory `dir`. Returns how many, or -1. */
int cvl_atomic_sweep(const char *dir, cvl_err *e);

#endif

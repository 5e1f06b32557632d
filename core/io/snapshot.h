/* Named tensors, gathered to be written: by the caller now, or by a thread meanwhile. */
#ifndef CVL_IO_SNAPSHOT_H
#define CVL_IO_SNAPSHOT_H

#include <stdbool.h>

#include "io/npz.h"
#include "tensor/tensor.h"

typedef struct cvl_snapshot {
  int count, room;
  struct cvl_snapshot_item {
    char *name;    /* owned */
    cvl_tensor *x; /* one reference; dense, in host memory */
  } * items;
} cvl_snapshot;

/*
** Adds x under a name. `copy`: takes its values now, so that x may change afterwards; otherwise x
** is only held, unless it is strided or lives on a device, which takes a copy in any case. An empty
** snapshot is all zero bytes. Errors: CVL_ENOMEM, CVL_EDEVICE; the snapshot then stays as it was.
*/
int cvl_snapshot_add(cvl_snapshot *s, const char *name, cvl_tensor *x, bool copy, cvl_err *e);

/* Writes the tensors, ordered by name, as .npz (cvl_npz_save): the file does not depend on the
** order of adding. */
int cvl_snapshot_save(cvl_snapshot *s, const char *path, cvl_err *e);

void cvl_snapshot_free(cvl_snapshot *s); /* leaves it empty */

/*
** A thread that writes one snapshot at a time.
*/
typedef struct cvl_writer cvl_writer;

cvl_writer *cvl_writer_new(cvl_err *e);
/*
** Starts to write `s`, whose contents the writer takes over in any case, to `path`. Waits for the
** write before, and if that one failed returns its error without starting. Where the system gives
** no thread, writes here and now.
*/
int cvl_writer_start(cvl_writer *w, cvl_snapshot *s, const char *path, cvl_err *e);
bool cvl_writer_busy(const cvl_writer *w); /* asks without waiting */
/* Waits for the write under way and returns its result, once; 0 when there is none. */
int cvl_writer_wait(cvl_writer *w, cvl_err *e);
void cvl_writer_free(cvl_writer *w); /* waits; an error nobody asked for is lost. NULL is fine */

#endif

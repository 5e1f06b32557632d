/*
** Scratch memory of the kernels: blocks that are kept after use and handed out again, so that a training step in its
** steady state makes no system call and touches no fresh page. Safe to call from several threads.
*/
#ifndef CVL_KERNELS_SCRATCH_H
#define CVL_KERNELS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* `count` floats aligned to 64 bytes, contents undefined; NULL and CVL_ENOMEM when there is no memory.
** Counted as live while in use and as cached afterwards. */
float *cvl_scratch_take(int64_t count, cvl_err *e);
void cvl_scratch_give(float *block); /* NULL is fine */

/* Returns idle blocks to the system: for whoever ran out of memory, and at the end. */
void cvl_scratch_trim(void);

#endif

/*
** Host memory: every byte of the core is counted, and any allocation can be made to fail.
** Tensor data does not come from here but from a device's allocator (device/), which reports to the same counters.
*/
#ifndef CVL_BASE_MEM_H
#define CVL_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory aligned to 16 bytes, or NULL. `bytes` == 0 gives a unique pointer. Each thread keeps some small blocks
** that were freed for the next who asks; no counter shows these, which are a few hundred KiB at most. */
void *cvl_alloc(size_t bytes);
/* count * size with the overflow checked. */
void *cvl_alloc_array(size_t count, size_t size);
/* Grows or shrinks; new bytes are not zeroed. On failure the old block stays and NULL is returned. */
void *cvl_resize(void *p, size_t bytes);
char *cvl_strdup(const char *s);
void cvl_free(void *p); /* NULL is fine */

/* The counters, in bytes. `live`: held by somebody, host structures and tensor data together.
** `cached`: kept by device allocators for reuse. `peak`: the highest `live` since the last reset. */
int64_t cvl_mem_live(void);
int64_t cvl_mem_cached(void);
int64_t cvl_mem_peak(void);
void cvl_mem_reset_peak(void);
void cvl_mem_count(int64_t live, int64_t cached); /* adds to the counters; for device allocators */

/* An upper limit on `live`, 0 for none; beyond it allocations fail as if the system had none. */
void cvl_mem_set_limit(int64_t bytes);

/*
** Failure injection. cvl_mem_fail_after(n): n further allocations succeed, then every one fails until it is called
** again; n < 0 switches it off. cvl_mem_permit() is asked once per allocation, by this file, by device allocators and by
** the Lua state's allocator in test builds.
*/
void cvl_mem_fail_after(int64_t n);
bool cvl_mem_permit(int64_t bytes);
int64_t cvl_mem_allocations(void); /* how many were asked for since the program started */

#endif

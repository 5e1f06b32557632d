/*
** The thread pool. Work is cut into chunks by the size of the problem, never by the number of threads, so that a result
** has the same bits for any number of threads: a chunk writes its own outputs, or its own partial sums, which the caller
** adds up in the order of the chunks.
*/
#ifndef CVL_BASE_POOL_H
#define CVL_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum { CVL_MAX_THREADS = 256 };

/* Threads in use, the calling one included: --threads, else CONVLUA_THREADS, else the cores this process may run on. */
int cvl_threads(void);
void cvl_set_threads(int n); /* clamped to 1..CVL_MAX_THREADS */

/* Runs body(context, chunk, worker) once for each chunk in 0..chunks-1, in any order, and returns when all are done.
** `worker` is below cvl_threads() and tells whose scratch memory to use; results must not depend on it.
** A call from within a body runs on the calling thread alone. With one chunk or one thread no other thread is woken. */
typedef void cvl_body(void *context, int64_t chunk, int worker);
void cvl_parallel(int64_t chunks, cvl_body *body, void *context);
/* The same on the calling thread alone unless it is `worth` waking others: some 50 microseconds of work, which depend on the
** problem only. A thread that sleeps, or that another process keeps from its core, costs more than it saves. */
void cvl_parallel_if(bool worth, int64_t chunks, cvl_body *body, void *context);

/* For a loop over `n` items that are cheap: cuts it into chunks of at least `grain` items; body gets [first, last). */
typedef void cvl_range_body(void *context, int64_t first, int64_t last);
void cvl_parallel_range(int64_t n, int64_t grain, cvl_range_body *body, void *context);

#endif

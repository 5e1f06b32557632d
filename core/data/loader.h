/*
** Batches of samples, filled by threads ahead of their use. A batch is a function of (seed, epoch,
** batch number): the same for any number of workers, none included, and a loader set to a position
** goes on as if it had come there itself.
*/
#ifndef CVL_DATA_LOADER_H
#define CVL_DATA_LOADER_H

#include "data/samples.h"

typedef struct cvl_loader cvl_loader;

typedef struct cvl_loader_options {
  int64_t batch_size;
  bool shuffle;    /* a new order for each epoch, Fisher & Yates */
  bool drop_last;  /* leave out a last batch that is not full */
  uint64_t seed;   /* of the order */
  int64_t workers; /* threads; 0: cvl_loader_next does the work itself */
  int64_t depth;   /* batches made ahead, at most; 0: twice the workers */
} cvl_loader_options;

enum { CVL_LOADER_WORKERS_MOST = 64 };

/*
** Borrows what `samples` points to until cvl_loader_close. Starts no thread yet. NULL on error:
** CVL_EARG, CVL_ENOMEM. A loader belongs to one thread. After a fork it works on in the child,
** without workers.
*/
cvl_loader *cvl_loader_new(const cvl_samples *samples, const cvl_loader_options *o, cvl_err *e);

/* Puts the loader before `batch` (from 0) of `epoch`, dropping what was made ahead. CVL_EARG when
** there is no such batch; batch == cvl_loader_batches() is the end of the epoch. */
int cvl_loader_start(cvl_loader *l, uint64_t epoch, int64_t batch, cvl_err *e);

/*
** The next batch: x {n, item...}, labels {n}, in the caller's memory, which has room for batch_size
** samples; *n is 0 at the end of the epoch. Errors: what the samples report, with worker and sample
** (from 1) before it. The position then stays at the batch that failed; cvl_loader_start goes past
** it.
*/
int cvl_loader_next(cvl_loader *l, float *x, int64_t *labels, int64_t *n, cvl_err *e);

int64_t cvl_loader_batches(const cvl_loader *l);     /* in an epoch */
int64_t cvl_loader_next_length(const cvl_loader *l); /* samples in the next batch; 0 at the end */
void cvl_loader_position(const cvl_loader *l, uint64_t *epoch, int64_t *batch);

/* Stops the workers within the time of one sample. NULL is fine. */
void cvl_loader_close(cvl_loader *l);

#endif

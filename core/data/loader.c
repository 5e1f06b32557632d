/*
** The ring: batch b lives in slot b % depth. Workers claim batches in order and fill a whole one
** each; the owner takes them in order. One lock guards the numbers; the samples themselves are
** written and copied outside it, by whoever the numbers say has the slot: a worker from claim until
** `ready`, the owner from `ready` until `taken` moves on.
*/
#include "data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/stream.h"

typedef struct {
  float *x;        /* {batch_size, item...} */
  int64_t *labels; /* {batch_size} */
  bool ready;
  cvl_err err; /* why it could not be filled */
} slot;

typedef struct {
  cvl_loader *loader;
  pthread_t thread;
  int number; /* from 1 */
} worker;

struct cvl_loader {
  cvl_samples samples;
  cvl_loader_options o;
  int64_t item_count; /* numbers in an item */
  int64_t batches;
  int64_t *order; /* {count}: the samples of this epoch; written only while nobody is busy */
  uint64_t epoch;
  pid_t owner; /* the process that has the workers */

  slot *slots; /* {depth}; NULL without workers */
  worker *workers;
  int started; /* threads alive */
  pthread_mutex_t lock;
  pthread_cond_t room, filled; /* a worker may go on; a batch or a worker is done */
  int64_t claimed, taken;      /* batches given to a worker, and to the owner */
  int busy;                    /* workers inside a batch */
  bool closing;
  atomic_bool cancelled; /* what is being filled is not wanted any more */
};

/* ---- what a batch is */

static int64_t batch_length(const cvl_loader *l, int64_t batch) {
  int64_t left = l->samples.count - batch * l->o.batch_size;
  return left < l->o.batch_size ? left : l->o.batch_size;
}

static void make_order(cvl_loader *l) {
  cvl_rng g = {.seed = l->o.seed, .stream = CVL_STREAM_SHUFFLE | (l->epoch & 0xffffffff)};
  for (int64_t i = 0; i < l->samples.count; i++) l->order[i] = i;
  if (!l->o.shuffle) return;
  for (int64_t i = l->samples.count - 1; i > 0; i--) {
    uint32_t r[4];
    cvl_philox(&g, (uint64_t)i, r);
    uint64_t bits = (uint64_t)r[0] << 32 | r[1];
    int64_t j = (int64_t)((unsigned __int128)bits * (uint64_t)(i + 1) >> 64), t = l->order[i];
    l->order[i] = l->order[j];
    l->order[j] = t;
  }
}

/* Fills a batch; `number` is the worker's, 0 for the owner. Gives up without a word when the loader
** is cancelled. */
static int fill(cvl_loader *l, int64_t batch, int number, float *x, int64_t *labels, cvl_err *e) {
  int64_t n = batch_length(l, batch);
  for (int64_t i = 0; i < n && !atomic_load_explicit(&l->cancelled, memory_order_relaxed); i++) {
    int64_t index = l->order[batch * l->o.batch_size + i];
    float *item = x + i * l->item_count;
    if (l->samples.get(l->samples.context, index, l->epoch, item, &labels[i], e) == 0) continue;
    if (number == 0) return cvl_err_prefix(e, "loader, sample %lld", (long long)index + 1);
    return cvl_err_prefix(e, "loader worker %d, sample %lld", number, (long long)index + 1);
  }
  return 0;
}

/* ---- the workers */

static void *work(void *arg) {
  worker *w = arg;
  cvl_loader *l = w->loader;
  pthread_mutex_lock(&l->lock);
  for (;;) {
    while (!l->closing && (atomic_load(&l->cancelled) || l->claimed == l->batches ||
                           l->claimed - l->taken >= l->o.depth))
      pthread_cond_wait(&l->room, &l->lock);
    if (l->closing) break;
    int64_t batch = l->claimed++;
    slot *s = &l->slots[batch % l->o.depth];
    l->busy++;
    pthread_mutex_unlock(&l->lock);
    s->err = (cvl_err){0};
    fill(l, batch, w->number, s->x, s->labels, &s->err);
    pthread_mutex_lock(&l->lock);
    l->busy--;
    s->ready = true;
    pthread_cond_broadcast(&l->filled);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

static bool has_workers(const cvl_loader *l) { return l->started > 0 && l->owner == getpid(); }

/* Fewer threads than asked for, or none, is not an error: the batches are the same. Signals are for
** the owner. */
static void start_workers(cvl_loader *l) {
  sigset_t all, before;
  if (l->started > 0 || l->o.workers == 0 || l->owner != getpid()) return;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (l->started < l->o.workers) {
    worker *w = &l->workers[l->started];
    *w = (worker){.loader = l, .number = l->started + 1};
    if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    l->started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the owner's side */

static int check(const cvl_samples *s, const cvl_loader_options *o, cvl_err *e) {
  if (o->batch_size < 1)
    return cvl_fail(e, CVL_EARG, 0, "batch_size must be at least 1, got %lld",
                    (long long)o->batch_size);
  if (o->workers < 0 || o->workers > CVL_LOADER_WORKERS_MOST)
    return cvl_fail(e, CVL_EARG, 0, "workers must be 0..%d, got %lld", CVL_LOADER_WORKERS_MOST,
                    (long long)o->workers);
  if (o->depth < 0 || o->depth > 1024)
    return cvl_fail(e, CVL_EARG, 0, "depth must be 0..1024, got %lld", (long long)o->depth);
  if (s->count < 0) return cvl_fail(e, CVL_EARG, 0, "a data set of negative size");
  return cvl_shape_check(&s->item, (int64_t)sizeof(float), e);
}

static int make_slots(cvl_loader *l, cvl_err *e) {
  size_t sample = (size_t)l->item_count * sizeof(float), batch = (size_t)l->o.batch_size;
  l->slots = cvl_alloc_array((size_t)l->o.depth, sizeof *l->slots);
  l->workers = cvl_alloc_array((size_t)l->o.workers, sizeof *l->workers);
  if (l->slots == NULL || l->workers == NULL)
    return cvl_fail_memory(e, l->o.depth * (long long)sizeof *l->slots);
  for (int i = 0; i < l->o.depth; i++) {
    slot *s = &l->slots[i];
    s->x = cvl_alloc_array(batch, sample);
    s->labels = cvl_alloc_array(batch, sizeof *s->labels);
    if (s->x == NULL || s->labels == NULL)
      return cvl_fail_memory(e, l->o.batch_size * l->item_count * (long long)sizeof(float));
  }
  return 0;
}

cvl_loader *cvl_loader_new(const cvl_samples *samples, const cvl_loader_options *o, cvl_err *e) {
  cvl_loader *l;
  int64_t size = o->batch_size;
  if (check(samples, o, e) != 0) return NULL;
  if ((l = cvl_alloc(sizeof *l)) == NULL) {
    cvl_fail_memory(e, (long long)sizeof *l);
    return NULL;
  }
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->room, NULL);
  pthread_cond_init(&l->filled, NULL);
  l->samples = *samples;
  l->o = *o;
  l->owner = getpid();
  l->item_count = cvl_shape_count(&samples->item);
  if (size > samples->count && samples->count > 0)
    l->o.batch_size = samples->count; /* spare memory */
  l->batches = samples->count / size + (!o->drop_last && samples->count % size != 0);
  if (l->o.depth == 0) l->o.depth = 2 * o->workers;
  if ((l->order = cvl_alloc_array((size_t)samples->count, sizeof *l->order)) == NULL) {
    cvl_fail_memory(e, samples->count * (long long)sizeof *l->order);
    goto fail;
  }
  if (l->o.workers > 0 && make_slots(l, e) != 0) goto fail;
  make_order(l);
  return l;
fail:
  cvl_loader_close(l);
  return NULL;
}

int64_t cvl_loader_batches(const cvl_loader *l) { return l->batches; }

int64_t cvl_loader_next_length(const cvl_loader *l) {
  return l->taken < l->batches ? batch_length(l, l->taken) : 0;
}

void cvl_loader_position(const cvl_loader *l, uint64_t *epoch, int64_t *batch) {
  *epoch = l->epoch;
  *batch = l->taken; /* only the owner writes it */
}

/* Sends the workers to rest, for a change of position, until `cancelled` is false again. */
static void halt(cvl_loader *l) {
  pthread_mutex_lock(&l->lock);
  atomic_store(&l->cancelled, true);
  while (l->busy > 0) pthread_cond_wait(&l->filled, &l->lock);
  pthread_mutex_unlock(&l->lock);
}

int cvl_loader_start(cvl_loader *l, uint64_t epoch, int64_t batch, cvl_err *e) {
  bool threads = has_workers(l);
  if (batch < 0 || batch > l->batches)
    return cvl_fail(e, CVL_EARG, 0, "an epoch has %lld batches, there is none after %lld",
                    (long long)l->batches, (long long)batch);
  if (threads) halt(l);
  if (l->epoch != epoch) {
    l->epoch = epoch;
    make_order(l);
  }
  if (threads) pthread_mutex_lock(&l->lock);
  for (int i = 0; l->slots != NULL && i < l->o.depth; i++) l->slots[i].ready = false;
  l->claimed = l->taken = batch;
  atomic_store(&l->cancelled, false);
  if (threads) {
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
  }
  return 0;
}

static int take_from_ring(cvl_loader *l, float *x, int64_t *labels, int64_t n, cvl_err *e) {
  slot *s = &l->slots[l->taken % l->o.depth];
  pthread_mutex_lock(&l->lock);
  while (!s->ready) pthread_cond_wait(&l->filled, &l->lock);
  pthread_mutex_unlock(&l->lock);
  if (s->err.code != CVL_OK) {
    if (e != NULL && e->code == CVL_OK) *e = s->err;
    return -1;
  }
  memcpy(x, s->x, (size_t)(n * l->item_count) * sizeof *x);
  memcpy(labels, s->labels, (size_t)n * sizeof *labels);
  pthread_mutex_lock(&l->lock);
  s->ready = false;
  l->taken++;
  pthread_cond_signal(&l->room);
  pthread_mutex_unlock(&l->lock);
  return 0;
}

int cvl_loader_next(cvl_loader *l, float *x, int64_t *labels, int64_t *n, cvl_err *e) {
  int64_t length;
  *n = 0;
  if (l->taken == l->batches) return 0;
  length = batch_length(l, l->taken);
  start_workers(l);
  if (has_workers(l)) {
    if (take_from_ring(l, x, labels, length, e) != 0) return -1;
  } else {
    if (fill(l, l->taken, 0, x, labels, e) != 0) return -1;
    l->taken++;
  }
  *n = length;
  return 0;
}

void cvl_loader_close(cvl_loader *l) {
  if (l == NULL) return;
  if (has_workers(l)) {
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    atomic_store(&l->cancelled, true);
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) pthread_join(l->workers[i].thread, NULL);
  }
  if (l->owner == getpid()) { /* in the child of a fork they may look as if somebody waited */
    pthread_cond_destroy(&l->filled);
    pthread_cond_destroy(&l->room);
    pthread_mutex_destroy(&l->lock);
  }
  for (int i = 0; l->slots != NULL && i < l->o.depth; i++) {
    cvl_free(l->slots[i].x);
    cvl_free(l->slots[i].labels);
  }
  cvl_free(l->slots);
  cvl_free(l->workers);
  cvl_free(l->order);
  cvl_free(l);
}

/*
** Workers sleep on a condition variable after a bounded spin, a short one where another process wants their core. The
** chunks of a job are cut into one range for each thread, who takes its own and then what is left of the others': what a
** thread has written is mostly in its core's caches when it works on the same part of the data in the next job. Where
** another process wants a worker's core, it gets it between two chunks, while others do what is left of the job. After
** fork() the child has no workers: the pool starts new ones at its next use.
*/
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* Polls before a worker goes to sleep, and before the caller sleeps until the last one is done: some hundred microseconds,
** which bridge what a training step does on one thread. To be woken takes tens of them, the more so in a virtual machine.
** A thread that shares its core with another process polls LEAST times: what it polls away it lacks for its chunks, for
** which all others wait then. */
enum { SPIN = 10000, LEAST = 500, MORE = 20 };

/* A worker that has kept its core for as many nanoseconds leaves the job and offers the core to others. Schedulers give
** slices of 1.4 milliseconds or more: they would take it within a chunk, and all threads wait for that one until another
** process has had its slice. */
enum { TURN = 1000000 };

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* How often a thread polls, and how many times it has been put off its core so far. */
typedef struct {
  long put_off;
  int polls;
} patience;

/* LEAST after it has been put off, then MORE each time that it has not. */
static int polls_of(patience *p) {
  struct rusage u;
  if (getrusage(RUSAGE_THREAD, &u) != 0) return SPIN;
  p->polls = u.ru_nivcsw != p->put_off ? LEAST : p->polls + MORE < SPIN ? p->polls + MORE : SPIN;
  p->put_off = u.ru_nivcsw;
  return p->polls;
}

/* Moves the calling thread off this core, if it may run on as many as there are threads. Two that share one and wait for each
** other in turn always ran too lately for the system to part them, even if another core is idle. */
static void leave_core(int core, int threads) {
  cpu_set_t all, others;
  if (sched_getcpu() != core || sched_getaffinity(0, sizeof all, &all) != 0 ||
      CPU_COUNT(&all) < threads)
    return;
  others = all;
  CPU_CLR(core, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof all, &all);
}

/* Between two polls: leaves the core to its other thread. */
static inline void rest(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Chunks next .. last - 1 are still to be taken. On a line of the cache of its own. */
typedef struct {
  _Alignas(64) atomic_llong next;
  int64_t last;
} range_of_chunks;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake, idle;
  pthread_t thread[CVL_MAX_THREADS];
  int started; /* workers alive, the caller not counted */
  int wanted;  /* threads to use, 0 before the first question */
  bool stopping;
  atomic_uint generation; /* one more for each job */
  cvl_body *body;         /* the job, NULL when nobody may join it any more */
  void *context;
  int core; /* the caller's */
  range_of_chunks range[CVL_MAX_THREADS];
  int ranges;
  int helpers;     /* workers that may still join it */
  atomic_int busy; /* workers inside the present job */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .idle = PTHREAD_COND_INITIALIZER};

static _Thread_local bool inside;                          /* this thread is running a body */
static pthread_mutex_t caller = PTHREAD_MUTEX_INITIALIZER; /* one job at a time */

/* Until all are taken, or a worker's turn is over: then false. The caller, worker 0, goes on to the end. */
static bool take_chunks(cvl_body *body, void *context, int ranges, int worker, int64_t turn_ends) {
  bool all = true;
  inside = true;
  for (int i = 0; i < ranges && all; i++) {
    range_of_chunks *r = &pool.range[(worker + i) % ranges];
    int64_t chunk;
    while ((all = worker == 0 || now() < turn_ends) &&
           (chunk = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < r->last)
      body(context, chunk, worker);
  }
  inside = false;
  return all;
}

static void *work(void *arg) {
  int worker = (int)(intptr_t)arg;
  unsigned seen = 0;
  patience own = {0, SPIN};
  int64_t turn_ends = now() + TURN;
  for (;;) {
    int polls = polls_of(&own);
    for (int i = 0; i < polls && atomic_load(&pool.generation) == seen; i++) rest();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.generation) == seen && !pool.stopping)
      pthread_cond_wait(&pool.wake, &pool.lock);
    if (pool.stopping) break;
    seen = atomic_load(&pool.generation);
    if (pool.body == NULL || pool.helpers == 0) { /* woken for a job that is over or full */
      pthread_mutex_unlock(&pool.lock);
      continue;
    }
    pool.helpers--;
    atomic_fetch_add(&pool.busy, 1);
    cvl_body *body = pool.body;
    void *context = pool.context;
    int ranges = pool.ranges, core = pool.core;
    pthread_mutex_unlock(&pool.lock);
    leave_core(core, ranges);
    bool all = take_chunks(body, context, ranges, worker, turn_ends);
    pthread_mutex_lock(&pool.lock);
    if (atomic_fetch_sub(&pool.busy, 1) == 1) pthread_cond_signal(&pool.idle);
    if (!all) { /* it joins again, if the job is not over by then */
      pool.helpers++;
      seen--;
    }
    pthread_mutex_unlock(&pool.lock);
    if (now() < turn_ends) continue;
    sched_yield();
    turn_ends = now() + TURN;
  }
  pthread_mutex_unlock(&pool.lock);
  return NULL;
}

/* The child of a fork has only the forking thread: forget the workers, and the locks they may have held. */
static void after_fork(void) {
  pthread_mutex_init(&pool.lock, NULL);
  pthread_cond_init(&pool.wake, NULL);
  pthread_cond_init(&pool.idle, NULL);
  pthread_mutex_init(&caller, NULL);
  pool.started = 0;
  pool.body = NULL;
  atomic_store(&pool.busy, 0);
}

static int default_threads(void) {
  const char *s = getenv("CONVLUA_THREADS");
  long n = s != NULL ? strtol(s, NULL, 10) : 0;
  cpu_set_t cores;
  if (n <= 0) n = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return n > CVL_MAX_THREADS ? CVL_MAX_THREADS : (int)n;
}

int cvl_threads(void) {
  if (pool.wanted == 0) pool.wanted = default_threads();
  return pool.wanted;
}

static void stop(void) {
  pthread_mutex_lock(&pool.lock);
  pool.stopping = true;
  pthread_cond_broadcast(&pool.wake);
  pthread_mutex_unlock(&pool.lock);
  for (int i = 0; i < pool.started; i++) pthread_join(pool.thread[i], NULL);
  pool.started = 0;
  pool.stopping = false;
}

void cvl_set_threads(int n) {
  pthread_mutex_lock(&caller);
  n = n < 1 ? 1 : n > CVL_MAX_THREADS ? CVL_MAX_THREADS : n;
  if (pool.started > n - 1) stop();
  pool.wanted = n;
  pthread_mutex_unlock(&caller);
}

/* Too few workers because the system gave none is not an error: the caller does the work itself. */
static void start(int workers) {
  static bool registered;
  static pthread_attr_t attributes;
  if (!registered) {
    pthread_atfork(NULL, NULL, after_fork);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    registered = true;
  }
  while (pool.started < workers && pthread_create(&pool.thread[pool.started], &attributes, work,
                                                  (void *)(intptr_t)(pool.started + 1)) == 0)
    pool.started++;
}

/* Nobody joins any more; those who have finish their last chunks, mostly within microseconds. */
static void finish(void) {
  static _Thread_local patience own = {0, SPIN};
  pthread_mutex_lock(&pool.lock);
  pool.body = NULL;
  pthread_mutex_unlock(&pool.lock);
  int polls = atomic_load(&pool.busy) > 0 ? polls_of(&own) : 0;
  for (int i = 0; i < polls && atomic_load(&pool.busy) > 0; i++) rest();
  pthread_mutex_lock(&pool.lock);
  while (atomic_load(&pool.busy) > 0) pthread_cond_wait(&pool.idle, &pool.lock);
  pthread_mutex_unlock(&pool.lock);
}

void cvl_parallel(int64_t chunks, cvl_body *body, void *context) {
  int helpers = (int)(chunks < cvl_threads() ? chunks : cvl_threads()) - 1;
  if (helpers <= 0 || inside || pthread_mutex_trylock(&caller) != 0) {
    for (int64_t i = 0; i < chunks; i++) body(context, i, 0);
    return;
  }
  start(cvl_threads() - 1);
  pthread_mutex_lock(&pool.lock);
  pool.body = body;
  pool.context = context;
  pool.core = sched_getcpu();
  pool.helpers = helpers < pool.started ? helpers : pool.started;
  pool.ranges = helpers + 1;
  for (int i = 0; i < pool.ranges; i++) {
    atomic_store_explicit(&pool.range[i].next, i * chunks / pool.ranges, memory_order_relaxed);
    pool.range[i].last = (i + 1) * chunks / pool.ranges;
  }
  atomic_fetch_add(&pool.generation, 1);
  pthread_cond_broadcast(&pool.wake);
  pthread_mutex_unlock(&pool.lock);
  take_chunks(body, context, helpers + 1, 0, 0);
  finish();
  pthread_mutex_unlock(&caller);
}

void cvl_parallel_if(bool worth, int64_t chunks, cvl_body *body, void *context) {
  if (worth) {
    cvl_parallel(chunks, body, context);
    return;
  }
  for (int64_t i = 0; i < chunks; i++) body(context, i, 0);
}

typedef struct {
  cvl_range_body *body;
  void *context;
  int64_t n, size;
} range;

static void run_range(void *context, int64_t chunk, int worker) {
  const range *r = context;
  int64_t first = chunk * r->size;
  (void)worker;
  r->body(r->context, first, first + r->size < r->n ? first + r->size : r->n);
}

void cvl_parallel_range(int64_t n, int64_t grain, cvl_range_body *body, void *context) {
  enum { MOST_CHUNKS = 64 };
  range r = {body, context, n, grain < 1 ? 1 : grain};
  if (n <= 0) return;
  if (n / r.size > MOST_CHUNKS) r.size = (n + MOST_CHUNKS - 1) / MOST_CHUNKS;
  cvl_parallel((n + r.size - 1) / r.size, run_range, &r);
}

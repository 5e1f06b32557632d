/* One thread per write: a checkpoint takes far longer than starting a thread does. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/snapshot.h"

struct cvl_writer {
  pthread_t thread;
  pid_t owner;  /* a child made by fork has no such thread */
  bool started; /* there is a thread to join, or a result to tell */
  bool joined;  /* it was written without a thread */
  atomic_bool done;
  cvl_snapshot snapshot;
  char *path;
  int rc;
  cvl_err err;
};

cvl_writer *cvl_writer_new(cvl_err *e) {
  cvl_writer *w = cvl_alloc(sizeof *w);
  if (w == NULL) cvl_fail_memory(e, (long long)sizeof *w);
  return w;
}

static void *write_out(void *arg) {
  cvl_writer *w = arg;
  w->rc = cvl_snapshot_save(&w->snapshot, w->path, &w->err);
  cvl_snapshot_free(&w->snapshot); /* at once: the copies may be large */
  atomic_store(&w->done, true);
  return NULL;
}

int cvl_writer_start(cvl_writer *w, cvl_snapshot *s, const char *path, cvl_err *e) {
  sigset_t all, before;
  if (cvl_writer_wait(w, e) != 0) {
    cvl_snapshot_free(s);
    return -1;
  }
  if ((w->path = cvl_strdup(path)) == NULL) {
    cvl_snapshot_free(s);
    return cvl_fail_memory(e, 0);
  }
  w->snapshot = *s;
  *s = (cvl_snapshot){0}; /* moved */
  w->owner = getpid();
  w->err = (cvl_err){0};
  w->started = true;
  atomic_store(&w->done, false);
  sigfillset(&all); /* signals are the main thread's */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  w->joined = pthread_create(&w->thread, NULL, write_out, w) != 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (w->joined) write_out(w);
  return 0;
}

bool cvl_writer_busy(const cvl_writer *w) {
  return w->started && w->owner == getpid() && !atomic_load(&w->done);
}

int cvl_writer_wait(cvl_writer *w, cvl_err *e) {
  int rc = 0;
  if (!w->started) return 0;
  w->started = false;
  if (w->owner == getpid()) {
    if (!w->joined) pthread_join(w->thread, NULL);
    if ((rc = w->rc) != 0 && e != NULL && e->code == CVL_OK) *e = w->err;
    cvl_free(w->path);
  } /* else the parent writes it; what it holds here cannot be told from what is in use: leave it */
  w->path = NULL;
  return rc;
}

void cvl_writer_free(cvl_writer *w) {
  if (w == NULL) return;
  cvl_writer_wait(w, NULL);
  cvl_free(w);
}

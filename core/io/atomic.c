/*
** A writer holds a lock (flock) on its temporary file for as long as it writes. The sweep takes a
** file away only when nobody holds that lock and the process in its name is gone, or is this very
** process: process numbers are used again, and in a container a restarted trainer often gets the
** number of its predecessor.
*/
#include "io/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

static const char MARK[] = ".tmp-";
enum { SERIALS = 0x10000, NEVER_OPENED = SERIALS }; /* the last number in a temporary name */

/* Held between the creation of a temporary file and its lock, and by the sweep: threads of this
** process cannot sweep each other's newborn files. */
static pthread_mutex_t newborn = PTHREAD_MUTEX_INITIALIZER;

static char *temp_name(const char *path, unsigned n) {
  const char *slash = strrchr(path, '/');
  int dir = slash != NULL ? (int)(slash - path) + 1 : 0;
  size_t size = strlen(path) + sizeof MARK + 32;
  char *name = cvl_alloc(size);
  if (name != NULL)
    snprintf(name, size, "%.*s.%s%s%ld.%u", dir, path, path + dir, MARK, (long)getpid(), n);
  return name;
}

int cvl_atomic_open(cvl_atomic_file *f, const char *path, cvl_err *e) {
  static atomic_uint serial;
  enum { TRIES = 100 }; /* names left by a dead process with our number */
  *f = (cvl_atomic_file){.fd = -1};
  if (*path == '\0' || path[strlen(path) - 1] == '/')
    return cvl_fail(e, CVL_EIO, 0, "cannot write '%s': it does not name a file", path);
  if ((f->path = cvl_strdup(path)) == NULL) return cvl_fail_memory(e, (long long)strlen(path) + 1);
  for (int try = 0; f->fd < 0; try++) {
    cvl_free(f->temp);
    if ((f->temp = temp_name(path, atomic_fetch_add(&serial, 1) % SERIALS)) == NULL) {
      cvl_fail_memory(e, (long long)strlen(path) + 32);
      break;
    }
    pthread_mutex_lock(&newborn);
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int number = errno;
    if (f->fd >= 0) (void)flock(f->fd, LOCK_EX | LOCK_NB); /* not all file systems can */
    pthread_mutex_unlock(&newborn);
    if (f->fd >= 0) return 0;
    if (number == EINTR || (number == EEXIST && try < TRIES)) continue;
    cvl_fail_errno(e, number, "create", path);
    break;
  }
  cvl_free(f->temp);
  f->temp = NULL; /* nothing to unlink */
  cvl_atomic_abort(f);
  return -1;
}

int cvl_atomic_append(cvl_atomic_file *f, const void *data, size_t size, cvl_err *e) {
  const char *p = data;
  while (size > 0) {
    ssize_t n = write(f->fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return cvl_fail_errno(e, n < 0 ? errno : EIO, "write", f->path);
    p += n;
    size -= (size_t)n;
  }
  return 0;
}

int cvl_atomic_commit(cvl_atomic_file *f, cvl_err *e) {
  int rc = -1, synced, fd = f->fd;
  while ((synced = fsync(fd)) != 0 && errno == EINTR) {}
  if (synced != 0) {
    cvl_fail_errno(e, errno, "sync", f->path);
    goto done;
  }
  f->fd = -1; /* closed also when close() complains; an interrupted close has closed, on Linux */
  if (close(fd) != 0 && errno != EINTR) {
    cvl_fail_errno(e, errno, "close", f->path);
    goto done;
  }
  if (rename(f->temp, f->path) != 0) {
    cvl_fail_errno(e, errno, "put the new file in place of", f->path);
    goto done;
  }
  cvl_free(f->temp);
  f->temp = NULL; /* it is the file now */
  rc = cvl_sync_parent(f->path, e);
done:
  cvl_atomic_abort(f);
  return rc;
}

void cvl_atomic_abort(cvl_atomic_file *f) {
  if (f->temp != NULL) unlink(f->temp);
  if (f->fd >= 0) close(f->fd);
  cvl_free(f->temp);
  cvl_free(f->path);
  *f = (cvl_atomic_file){.fd = -1};
}

int cvl_atomic_write(const char *path, const void *data, size_t size, cvl_err *e) {
  cvl_atomic_file f;
  if (cvl_atomic_open(&f, path, e) != 0) return -1;
  if (cvl_atomic_append(&f, data, size, e) != 0) {
    cvl_atomic_abort(&f);
    return -1;
  }
  return cvl_atomic_commit(&f, e);
}

int cvl_atomic_keep(const char *path, const char *as, cvl_err *e) {
  int rc = -1;
  char *temp = temp_name(as, NEVER_OPENED);
  if (temp == NULL) return cvl_fail_memory(e, (long long)strlen(as) + 32);
  unlink(temp); /* of a dead process with our number */
  if (link(path, temp) != 0)
    cvl_fail_errno(e, errno, "make another name for", path);
  else if (rename(temp, as) != 0)
    cvl_fail_errno(e, errno, "put the file in place of", as);
  else
    rc = cvl_sync_parent(as, e);
  unlink(temp); /* still there after an error, and when `as` was this very file already */
  cvl_free(temp);
  return rc;
}

/* The process number in ".NAME.tmp-PID.N", or 0 when `name` is of another form. */
static long writer(const char *name) {
  const char *mark = NULL;
  char *end;
  long pid;
  if (*name != '.') return 0;
  for (const char *p = name; (p = strstr(p, MARK)) != NULL; p++) mark = p; /* the last one */
  if (mark == NULL || mark == name) return 0;
  pid = strtol(mark + sizeof MARK - 1, &end, 10);
  if (pid <= 0 || *end != '.' || end[1] < '0' || end[1] > '9') return 0;
  strtol(end + 1, &end, 10);
  return *end == '\0' ? pid : 0;
}

static bool abandoned(int dir, const char *name) {
  long pid = writer(name);
  bool locked;
  int fd;
  if (pid == 0) return false;
  if (pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno != ESRCH)) return false;
  if ((fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) < 0) return false;
  locked = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return !locked;
}

int cvl_atomic_sweep(const char *dir, cvl_err *e) {
  const struct dirent *entry;
  int removed = 0;
  DIR *d = opendir(dir);
  if (d == NULL) {
    cvl_fail_errno(e, errno, "open directory", dir);
    return -1;
  }
  pthread_mutex_lock(&newborn);
  while ((entry = readdir(d)) != NULL)
    if (abandoned(dirfd(d), entry->d_name) && unlinkat(dirfd(d), entry->d_name, 0) == 0) removed++;
  pthread_mutex_unlock(&newborn);
  closedir(d);
  return removed;
}

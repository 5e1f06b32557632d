#include "io/fetch.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/sha1.h"
#include "io/file.h"

/* ---- libcurl, loaded once */

static struct {
  void *handle;
  char why[200]; /* it could not be loaded */
  CURLcode (*global_init)(long);
  CURL *(*easy_init)(void);
  CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
  CURLcode (*easy_perform)(CURL *);
  CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
  void (*easy_cleanup)(CURL *);
  const char *(*easy_strerror)(CURLcode);
} curl;

/* POSIX wants data pointers to hold functions, ISO C has no cast for it. */
static bool find(const char *name, void *function) {
  void *symbol = dlsym(curl.handle, name);
  memcpy(function, &symbol, sizeof symbol);
  return symbol != NULL;
}

static void load(void) {
  static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl-nss.so.4"};
  for (size_t i = 0; i < sizeof names / sizeof names[0] && curl.handle == NULL; i++)
    curl.handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  if (curl.handle == NULL) {
    snprintf(curl.why, sizeof curl.why, "%s", dlerror());
  } else if (!find("curl_global_init", &curl.global_init) ||
             !find("curl_easy_init", &curl.easy_init) ||
             !find("curl_easy_setopt", &curl.easy_setopt) ||
             !find("curl_easy_perform", &curl.easy_perform) ||
             !find("curl_easy_getinfo", &curl.easy_getinfo) ||
             !find("curl_easy_cleanup", &curl.easy_cleanup) ||
             !find("curl_easy_strerror", &curl.easy_strerror) ||
             curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    snprintf(curl.why, sizeof curl.why, "the library lacks a function");
    dlclose(curl.handle);
    curl.handle = NULL;
  }
}

/* ---- sums */

static int sum_file(int fd, const char *path, char text[CVL_SHA1_TEXT], cvl_err *e) {
  enum { PIECE = 1 << 16 };
  cvl_sha1 s;
  ssize_t n = 0;
  char *piece = cvl_alloc(PIECE);
  if (piece == NULL) return cvl_fail_memory(e, PIECE);
  cvl_sha1_init(&s);
  if (lseek(fd, 0, SEEK_SET) == 0)
    while ((n = read(fd, piece, PIECE)) > 0 || (n < 0 && errno == EINTR))
      if (n > 0) cvl_sha1_add(&s, piece, (size_t)n);
  cvl_free(piece);
  if (n < 0) return cvl_fail_errno(e, errno, "read", path);
  cvl_sha1_end(&s, text);
  return 0;
}

static int check(int fd, const char *path, int64_t size, const char *sha1, cvl_err *e) {
  struct stat s;
  char text[CVL_SHA1_TEXT];
  if (fstat(fd, &s) != 0) return cvl_fail_errno(e, errno, "examine", path);
  if (size > 0 && s.st_size != size)
    return cvl_fail(e, CVL_EFORMAT, 0, "'%s' has %lld bytes, expected %lld", path,
                    (long long)s.st_size, (long long)size);
  if (sha1 == NULL) return 0;
  if (sum_file(fd, path, text, e) != 0) return -1;
  if (strcmp(text, sha1) != 0)
    return cvl_fail(e, CVL_EFORMAT, 0, "'%s' has the SHA-1 %s, expected %s", path, text, sha1);
  return 0;
}

int cvl_check_sha1(const char *path, int64_t size, const char *sha1, cvl_err *e) {
  int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return cvl_fail_errno(e, errno, "open", path);
  rc = check(fd, path, size, sha1, e);
  close(fd);
  return rc;
}

/* ---- one download */

typedef struct {
  const cvl_fetch_request *r;
  const char *part; /* PATH.part */
  int fd;
  int64_t before, done; /* bytes that an earlier try left, and that are there now */
  bool stopped, too_long;
  int number;           /* errno of a write */
  struct timespec told; /* when progress was called last */
} download;

static size_t write_piece(char *data, size_t size, size_t count, void *context) {
  download *d = context;
  size_t left = size * count;
  if (d->r->size > 0 && (int64_t)left > d->r->size - d->done) {
    d->too_long = true;
    return 0;
  }
  while (left > 0) {
    ssize_t n = write(d->fd, data, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      d->number = n < 0 ? errno : EIO;
      return 0;
    }
    data += n;
    left -= (size_t)n;
    d->done += n;
  }
  return size * count;
}

/* libcurl asks after every piece; a tenth of a second is often enough for a bar. */
static bool due(struct timespec *last) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double seconds =
      (double)(now.tv_sec - last->tv_sec) + 1e-9 * (double)(now.tv_nsec - last->tv_nsec);
  if (seconds < 0.1) return false;
  *last = now;
  return true;
}

static int report(void *context, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t sent) {
  download *d = context;
  int64_t all = d->r->size > 0 ? d->r->size : total > 0 ? d->before + total : 0;
  (void)now;
  (void)up;
  (void)sent;
  if (d->r->progress == NULL || !due(&d->told)) return 0;
  d->stopped = d->r->progress(d->r->context, d->done, all) != 0;
  return d->stopped;
}

static void set_options(CURL *c, download *d, char text[CURL_ERROR_SIZE]) {
  enum { CONNECT_SECONDS = 20, SILENT_SECONDS = 60, REDIRECTS = 5 };
  curl.easy_setopt(c, CURLOPT_URL, d->r->url);
  curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,file");
  curl.easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
  curl.easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
  curl.easy_setopt(c, CURLOPT_FAILONERROR, 1L);
  curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl.easy_setopt(c, CURLOPT_USERAGENT, "convlua");
  curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
  curl.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
  curl.easy_setopt(c, CURLOPT_ERRORBUFFER, text);
  curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, write_piece);
  curl.easy_setopt(c, CURLOPT_WRITEDATA, d);
  curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, report);
  curl.easy_setopt(c, CURLOPT_XFERINFODATA, d);
  curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
  curl.easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)d->before);
}

static int start_afresh(download *d, cvl_err *e) {
  if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) != 0)
    return cvl_fail_errno(e, errno, "empty", d->part);
  d->before = d->done = 0;
  return 0;
}

/* Why libcurl gave up, in our words where we know better. */
static int explain(const download *d, CURLcode code, const char *text, long status, cvl_err *e) {
  if (d->stopped) return cvl_fail(e, CVL_ESTATE, 0, "the download of %s was stopped", d->r->url);
  if (d->number != 0) return cvl_fail_errno(e, d->number, "write", d->part);
  if (d->too_long)
    return cvl_fail(e, CVL_EFORMAT, 0, "%s sends more than the expected %lld bytes", d->r->url,
                    (long long)d->r->size);
  if (status >= 400)
    return cvl_fail(e, CVL_EIO, 0, "cannot download %s: the server answers %ld", d->r->url, status);
  return cvl_fail(e, CVL_EIO, 0, "cannot download %s: %s", d->r->url,
                  *text != '\0' ? text : curl.easy_strerror(code));
}

static int transfer(download *d, cvl_err *e) {
  enum { RANGE_NOT_SATISFIABLE = 416 };
  char text[CURL_ERROR_SIZE] = "";
  long status = 0;
  CURLcode code;
  int rc = -1;
  CURL *c = curl.easy_init();
  if (c == NULL) return cvl_fail_memory(e, 0);
  set_options(c, d, text);
  code = curl.easy_perform(c);
  curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  /* A server that cannot go on from the middle, or whose file is no longer than our part: once more
  ** from the start. */
  if (d->before > 0 && !d->stopped &&
      (code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME ||
       status == RANGE_NOT_SATISFIABLE)) {
    if (start_afresh(d, e) != 0) goto done;
    curl.easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)0);
    *text = '\0';
    code = curl.easy_perform(c);
    curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  }
  rc = code == CURLE_OK ? 0 : explain(d, code, text, status, e);
done:
  curl.easy_cleanup(c);
  return rc;
}

/* Opens PATH.part at its end; it is ours alone while it is open. */
static int open_part(download *d, cvl_err *e) {
  struct stat s;
  if ((d->fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
    return cvl_fail_errno(e, errno, "open", d->part);
  if (flock(d->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return cvl_fail(e, CVL_EIO, 0, "another process is downloading '%s'", d->part);
  if (fstat(d->fd, &s) != 0) return cvl_fail_errno(e, errno, "examine", d->part);
  d->before = d->done = s.st_size;
  if (d->r->size > 0 && d->before > d->r->size) return start_afresh(d, e);
  if (lseek(d->fd, 0, SEEK_END) < 0) return cvl_fail_errno(e, errno, "seek in", d->part);
  return 0;
}

static int finish(download *d, cvl_err *e) {
  if (check(d->fd, d->part, d->r->size, d->r->sha1, e) != 0) {
    bool incomplete = d->r->size > 0 && d->done < d->r->size;
    if (e == NULL || (e->code == CVL_EFORMAT && !incomplete)) unlink(d->part);
    return cvl_err_prefix(e, "%s", d->r->url);
  }
  if (fsync(d->fd) != 0) return cvl_fail_errno(e, errno, "sync", d->part);
  if (rename(d->part, d->r->path) != 0)
    return cvl_fail_errno(e, errno, "put the download in place of", d->r->path);
  if (d->r->progress != NULL) d->r->progress(d->r->context, d->done, d->done);
  return cvl_sync_parent(d->r->path, e);
}

int cvl_fetch(const cvl_fetch_request *r, cvl_err *e) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  download d = {.r = r, .fd = -1};
  size_t room = strlen(r->path) + sizeof ".part";
  char *part = cvl_alloc(room);
  int rc = -1;
  if (part == NULL) return cvl_fail_memory(e, (long long)room);
  snprintf(part, room, "%s.part", r->path);
  d.part = part;
  pthread_once(&once, load);
  if (curl.handle == NULL) {
    cvl_fail(e, CVL_EIO, 0, "cannot download %s: libcurl is missing (%s)", r->url, curl.why);
    goto done;
  }
  if (open_part(&d, e) != 0) goto done;
  if ((r->size == 0 || d.done < r->size) && transfer(&d, e) != 0) {
    if (d.too_long || d.done == 0) unlink(part);
    goto done;
  }
  rc = finish(&d, e);
done:
  if (d.fd >= 0) close(d.fd);
  cvl_free(part);
  return rc;
}

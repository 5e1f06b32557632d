#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int cvl_fail_errno(cvl_err *e, int number, const char *doing, const char *path) {
  errno = number;
  return cvl_fail(e, CVL_EIO, 0, "cannot %s '%s': %m", doing, path);
}

static int read_all(int fd, const char *path, unsigned char *data, size_t size, cvl_err *e) {
  size_t got = 0;
  while (got < size) {
    ssize_t n = read(fd, data + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cvl_fail_errno(e, errno, "read", path);
    if (n == 0)
      return cvl_fail(e, CVL_EIO, 0, "cannot read '%s': it ended after %zu of %zu bytes", path, got,
                      size);
    got += (size_t)n;
  }
  return 0;
}

int cvl_read_file(const char *path, size_t most, unsigned char **data, size_t *size, cvl_err *e) {
  struct stat s;
  unsigned char *bytes = NULL;
  int rc = -1;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block the open */
  if (fd < 0) return cvl_fail_errno(e, errno, "open", path);
  if (fstat(fd, &s) != 0) {
    cvl_fail_errno(e, errno, "examine", path);
    goto done;
  }
  if (!S_ISREG(s.st_mode)) {
    cvl_fail(e, CVL_EIO, 0, "cannot read '%s': it is not a regular file", path);
    goto done;
  }
  if ((unsigned long long)s.st_size > most) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' has %lld bytes, at most %zu are accepted", path,
             (long long)s.st_size, most);
    goto done;
  }
  if ((bytes = cvl_alloc((size_t)s.st_size + 1)) == NULL) {
    cvl_fail_memory(e, (long long)s.st_size + 1);
    goto done;
  }
  if (read_all(fd, path, bytes, (size_t)s.st_size, e) != 0) goto done;
  *data = bytes;
  *size = (size_t)s.st_size;
  bytes = NULL; /* moved to the caller */
  rc = 0;
done:
  cvl_free(bytes);
  close(fd);
  return rc;
}

int cvl_sync_parent(const char *path, cvl_err *e) {
  const char *slash = strrchr(path, '/');
  char *dir = slash == NULL ? cvl_strdup(".") : cvl_strdup(path);
  int fd, synced, rc = -1;
  if (dir == NULL) return cvl_fail_memory(e, (long long)strlen(path) + 1);
  if (slash != NULL) dir[slash == path ? 1 : slash - path] = '\0';
  if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
    cvl_fail_errno(e, errno, "open directory", dir);
    goto done;
  }
  while ((synced = fsync(fd)) != 0 && errno == EINTR) {}
  if (synced != 0 && errno != EINVAL) /* EINVAL: this file system has no such notion */
    cvl_fail_errno(e, errno, "sync directory", dir);
  else
    rc = 0;
done:
  if (fd >= 0) close(fd);
  cvl_free(dir);
  return rc;
}

int cvl_make_folders(const char *path, cvl_err *e) {
  char *copy = cvl_strdup(path);
  int rc = 0;
  if (copy == NULL) return cvl_fail_memory(e, (long long)strlen(path) + 1);
  for (char *p = copy; rc == 0 && *p != '\0'; p++) {
    char *end = p + 1;
    if (*end != '/' && *end != '\0') continue;
    char after = *end;
    *end = '\0';
    if (*p != '/' && mkdir(copy, 0777) != 0) {
      struct stat s;
      int number = errno; /* a folder that is there is fine, also where it could not be made */
      if (stat(copy, &s) != 0 || !S_ISDIR(s.st_mode))
        rc = cvl_fail_errno(e, number, "make folder", copy);
    }
    *end = after;
  }
  cvl_free(copy);
  return rc;
}

#include "io/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "io/file.h"

enum { BLOCK = 512, PIECE = 128 * BLOCK };

/* A header block; numbers are octal text. */
typedef struct {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
  char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
} header;
_Static_assert(sizeof(header) == BLOCK, "a tar header is one block");

typedef struct {
  gzFile file; /* zlib also reads what is not compressed */
  const char *archive, *dir;
  int64_t left; /* bytes that may still be written */
  char *piece;
} reader;

static int refuse(const reader *r, cvl_err *e, const char *name, const char *why) {
  return cvl_fail(e, CVL_EFORMAT, 0, "'%s', entry '%s': %s", r->archive, name, why);
}

/* Exactly `size` bytes. */
static int take(reader *r, void *to, unsigned size, cvl_err *e) {
  int n = gzread(r->file, to, size), code;
  if (n == (int)size) return 0;
  const char *why = gzerror(r->file, &code);
  if (n >= 0 && (code == Z_OK || code == Z_BUF_ERROR)) why = "it is cut short";
  if (code == Z_ERRNO) return cvl_fail_errno(e, errno, "read", r->archive);
  return cvl_fail(e, CVL_EFORMAT, 0, "'%s' is damaged: %s", r->archive, why);
}

static bool octal(const char *text, int length, int64_t *value) {
  int64_t v = 0;
  int i = 0;
  while (i < length && text[i] == ' ') i++;
  for (; i < length && text[i] >= '0' && text[i] <= '7'; i++) v = v * 8 + (text[i] - '0');
  *value = v;
  return i == length || text[i] == '\0' || text[i] == ' ';
}

static bool checksum_right(const header *h) {
  const unsigned char *p = (const unsigned char *)h;
  int64_t sum = 0, stored;
  for (int i = 0; i < BLOCK; i++) sum += p[i];
  for (size_t i = 0; i < sizeof h->checksum; i++) sum += ' ' - (unsigned char)h->checksum[i];
  return octal(h->checksum, sizeof h->checksum, &stored) && stored == sum;
}

/* The name may be in two parts. `out` has room for both, a slash and the zero. */
static void full_name(const header *h, char out[sizeof h->prefix + sizeof h->name + 2]) {
  bool split = memcmp(h->magic, "ustar", 5) == 0 && h->magic[5] == '\0' && h->prefix[0] != '\0';
  int n = split ? sprintf(out, "%.*s/", (int)sizeof h->prefix, h->prefix) : 0;
  sprintf(out + n, "%.*s", (int)sizeof h->name, h->name);
}

/* Stays below the folder: no absolute name, no empty or `..` part. */
static bool inside(const char *name) {
  if (*name == '\0' || *name == '/') return false;
  for (const char *part = name; part != NULL;) {
    const char *slash = strchr(part, '/');
    size_t n = slash != NULL ? (size_t)(slash - part) : strlen(part);
    if (n == 2 && part[0] == '.' && part[1] == '.') return false;
    part = slash != NULL ? slash + 1 : NULL;
  }
  return true;
}

/* Takes `size` bytes and the padding to a whole block; writes them to `path`, or nowhere (NULL). */
static int copy_body(reader *r, const char *path, int64_t size, cvl_err *e) {
  cvl_atomic_file f = {.fd = -1};
  int rc = -1;
  if (path != NULL && cvl_atomic_open(&f, path, e) != 0) return -1;
  for (int64_t left = size; left > 0;) {
    int64_t n = left < PIECE ? left : PIECE;
    if (take(r, r->piece, (unsigned)((n + BLOCK - 1) / BLOCK * BLOCK), e) != 0) goto done;
    if (path != NULL && cvl_atomic_append(&f, r->piece, (size_t)n, e) != 0) goto done;
    left -= n;
  }
  rc = path != NULL ? cvl_atomic_commit(&f, e) : 0;
done:
  cvl_atomic_abort(&f);
  return rc;
}

/* One entry; *files counts the regular ones. */
static int unpack(reader *r, const header *h, int *files, cvl_err *e) {
  char name[sizeof h->prefix + sizeof h->name + 2];
  size_t room = strlen(r->dir) + 1 + sizeof name;
  int64_t size;
  char *path, *slash;
  int rc = -1;
  full_name(h, name);
  if (!checksum_right(h) || !octal(h->size, sizeof h->size, &size))
    return refuse(r, e, name, "its header is damaged");
  if (h->type == 'x' || h->type == 'g') return copy_body(r, NULL, size, e); /* times and owners */
  if (!inside(name)) return refuse(r, e, name, "the name leads out of the folder");
  if (h->type != '0' && h->type != '\0' && h->type != '5')
    return refuse(r, e, name, "it is neither a file nor a folder");
  if (size > r->left) return refuse(r, e, name, "the archive holds more bytes than expected");
  if ((path = cvl_alloc(room)) == NULL) return cvl_fail_memory(e, (long long)room);
  snprintf(path, room, "%s/%s", r->dir, name);
  if (h->type == '5') {
    rc = cvl_make_folders(path, e);
  } else {
    slash = strrchr(path, '/'); /* there is one after `dir` */
    *slash = '\0';
    rc = cvl_make_folders(path, e);
    *slash = '/';
    if (rc == 0 && (rc = copy_body(r, path, size, e)) == 0) {
      r->left -= size;
      ++*files;
    }
  }
  cvl_free(path);
  return rc;
}

int cvl_tar_extract(const char *archive, const char *dir, int64_t most, cvl_err *e) {
  static const header end;
  reader r = {.archive = archive, .dir = dir, .left = most};
  header h;
  int files = 0, rc = -1;
  if ((r.file = gzopen(archive, "rbe")) == NULL)
    return cvl_fail_errno(e, errno != 0 ? errno : ENOMEM, "open", archive);
  if ((r.piece = cvl_alloc(PIECE)) == NULL) {
    cvl_fail_memory(e, PIECE);
    goto done;
  }
  for (;;) {
    if (take(&r, &h, BLOCK, e) != 0) goto done;
    if (memcmp(&h, &end, BLOCK) == 0) break; /* an empty block closes the archive */
    if (unpack(&r, &h, &files, e) != 0) goto done;
  }
  rc = files;
done:
  cvl_free(r.piece);
  gzclose(r.file);
  return rc;
}

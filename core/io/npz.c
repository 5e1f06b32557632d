#include "io/npz.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/mem.h"
#include "io/file.h"

struct cvl_npz {
  char *path;
  zip_t *zip;
  cvl_npz_entry *entries;
  char **names; /* owned; entries[i].name points here */
  int *order;   /* entries by name, for cvl_npz_find */
  int count;
};

static int refuse(cvl_err *e, const char *path, const char *name, const char *why) {
  return cvl_fail(e, CVL_EFORMAT, 0, "'%s', array '%s': %s", path, name, why);
}

static int zip_failed(const char *path, const char *name, zip_error_t *why, cvl_err *e) {
  if (zip_error_code_zip(why) == ZIP_ER_MEMORY) return cvl_fail_memory(e, 0);
  return refuse(e, path, name, zip_error_strerror(why));
}

/* The directory's claims about an entry: its sizes must be possible in a file of `file_bytes`. */
static int check_sizes(const cvl_npz *z, const zip_stat_t *s, uint64_t file_bytes, cvl_err *e) {
  enum { NEEDED = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_CRC };
  enum { MOST_INFLATED = 1032 }; /* bytes from one byte of deflate; zlib's technical notes */
  if ((s->valid & NEEDED) != NEEDED) return refuse(e, z->path, s->name, "its entry is incomplete");
  if ((s->valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && s->encryption_method != ZIP_EM_NONE)
    return refuse(e, z->path, s->name, "it is encrypted");
  if (s->comp_method != ZIP_CM_STORE && s->comp_method != ZIP_CM_DEFLATE)
    return refuse(e, z->path, s->name, "its compression is neither stored nor deflate");
  if (s->comp_size > file_bytes)
    return refuse(e, z->path, s->name, "its entry claims more bytes than the file has");
  if (s->comp_method == ZIP_CM_STORE ? s->size != s->comp_size
                                     : s->size / MOST_INFLATED > s->comp_size)
    return refuse(e, z->path, s->name, "its entry claims an impossible size");
  return 0;
}

static int read_header(cvl_npz *z, int i, const zip_stat_t *s, cvl_err *e) {
  unsigned char head[12 + CVL_NPY_HEADER_MOST];
  cvl_npy *h = &z->entries[i].header;
  size_t size = 0;
  zip_int64_t n = 1;
  zip_file_t *file = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
  if (file == NULL) return zip_failed(z->path, s->name, zip_get_error(z->zip), e);
  while (size < sizeof head && (n = zip_fread(file, head + size, sizeof head - size)) > 0)
    size += (size_t)n;
  if (n < 0) zip_failed(z->path, s->name, zip_file_get_error(file), e);
  zip_fclose(file);
  if (n < 0) return -1;
  if (cvl_npy_parse(head, size, h, e) != 0)
    return cvl_err_prefix(e, "'%s', array '%s'", z->path, s->name);
  if (h->header_bytes + h->data_bytes != s->size)
    return cvl_fail(e, CVL_EFORMAT, 0,
                    "'%s', array '%s': its header asks for %" PRIu64 " bytes, it has %" PRIu64,
                    z->path, s->name, h->data_bytes, s->size - h->header_bytes);
  return 0;
}

/* The name without ".npy". */
static char *array_name(const char *entry) {
  size_t n = strlen(entry);
  char *name;
  if (n < 5 || strcmp(entry + n - 4, ".npy") != 0 || (name = cvl_strdup(entry)) == NULL)
    return NULL;
  name[n - 4] = '\0';
  return name;
}

static int read_entry(cvl_npz *z, int i, uint64_t file_bytes, cvl_err *e) {
  zip_stat_t s;
  zip_stat_init(&s);
  if (zip_stat_index(z->zip, (zip_uint64_t)i, 0, &s) != 0 || (s.valid & ZIP_STAT_NAME) == 0)
    return zip_failed(z->path, "?", zip_get_error(z->zip), e);
  if ((z->names[i] = array_name(s.name)) == NULL) {
    size_t n = strlen(s.name);
    if (n >= 5 && strcmp(s.name + n - 4, ".npy") == 0) return cvl_fail_memory(e, (long long)n);
    return cvl_fail(e, CVL_EFORMAT, 0, "'%s' holds '%s', which is not a NumPy array", z->path,
                    s.name);
  }
  z->entries[i].name = z->names[i];
  return check_sizes(z, &s, file_bytes, e) != 0 ? -1 : read_header(z, i, &s, e);
}

/* Sorts `order` by name: heap sort, because the names come from a stranger. */
static void sift(cvl_npz *z, int root, int end) {
  int *o = z->order;
  for (int child; (child = 2 * root + 1) < end; root = child) {
    if (child + 1 < end && strcmp(z->names[o[child]], z->names[o[child + 1]]) < 0) child++;
    if (strcmp(z->names[o[root]], z->names[o[child]]) >= 0) return;
    int t = o[root];
    o[root] = o[child];
    o[child] = t;
  }
}

static void sort_names(cvl_npz *z) {
  for (int i = 0; i < z->count; i++) z->order[i] = i;
  for (int i = z->count / 2 - 1; i >= 0; i--) sift(z, i, z->count);
  for (int end = z->count - 1; end > 0; end--) {
    int t = z->order[0];
    z->order[0] = z->order[end];
    z->order[end] = t;
    sift(z, 0, end);
  }
}

/* Opens the zip on a descriptor of our own, so that what was measured is what is read. */
static zip_t *open_zip(const char *path, uint64_t *bytes, cvl_err *e) {
  zip_t *zip = NULL;
  struct stat s = {0};
  int why, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    cvl_fail_errno(e, errno, "open", path);
    return NULL;
  }
  if (fstat(fd, &s) != 0)
    cvl_fail_errno(e, errno, "examine", path);
  else if (!S_ISREG(s.st_mode))
    cvl_fail(e, CVL_EIO, 0, "cannot read '%s': it is not a regular file", path);
  else if ((zip = zip_fdopen(fd, ZIP_CHECKCONS, &why)) == NULL) {
    zip_error_t text;
    zip_error_init_with_code(&text, why);
    if (why == ZIP_ER_MEMORY)
      cvl_fail_memory(e, (long long)s.st_size);
    else
      cvl_fail(e, CVL_EFORMAT, 0, "'%s' is not a whole .npz file: %s", path,
               why == ZIP_ER_EXISTS ? "a name occurs twice" : zip_error_strerror(&text));
    zip_error_fini(&text);
  }
  *bytes = (uint64_t)s.st_size;
  if (zip == NULL) close(fd);
  return zip;
}

cvl_npz *cvl_npz_open(const char *path, cvl_err *e) {
  cvl_npz *z = cvl_alloc(sizeof *z);
  uint64_t bytes;
  zip_int64_t count;
  if (z == NULL || (z->path = cvl_strdup(path)) == NULL) {
    cvl_fail_memory(e, (long long)sizeof *z);
    goto fail;
  }
  if ((z->zip = open_zip(path, &bytes, e)) == NULL) goto fail;
  count = zip_get_num_entries(z->zip, 0);
  if (count > 1000000) { /* each costs us memory, and a file of data has far fewer */
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' has %lld entries, at most 1000000 are accepted", path,
             (long long)count);
    goto fail;
  }
  z->count = (int)count;
  z->entries = cvl_alloc_array((size_t)count, sizeof *z->entries);
  z->names = cvl_alloc_array((size_t)count, sizeof *z->names);
  z->order = cvl_alloc_array((size_t)count, sizeof *z->order);
  if (z->entries == NULL || z->names == NULL || z->order == NULL) {
    cvl_fail_memory(e, count * (long long)sizeof *z->entries);
    goto fail;
  }
  for (int i = 0; i < z->count; i++)
    if (read_entry(z, i, bytes, e) != 0) goto fail;
  sort_names(z);
  return z;
fail:
  cvl_npz_close(z);
  return NULL;
}

int cvl_npz_count(const cvl_npz *z) { return z->count; }

const cvl_npz_entry *cvl_npz_at(const cvl_npz *z, int i) { return &z->entries[i]; }

int cvl_npz_find(const cvl_npz *z, const char *name) {
  int low = 0, high = z->count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    int c = strcmp(name, z->names[z->order[middle]]);
    if (c == 0) return z->order[middle];
    if (c < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return -1;
}

/* Exactly `size` bytes, or the reason. */
static int read_exactly(cvl_npz *z, int i, zip_file_t *file, void *to, uint64_t size, cvl_err *e) {
  uint64_t got = 0;
  while (got < size) {
    zip_int64_t n = zip_fread(file, (char *)to + got, size - got);
    if (n < 0) return zip_failed(z->path, z->names[i], zip_file_get_error(file), e);
    if (n == 0) return refuse(e, z->path, z->names[i], "it ends early");
    got += (uint64_t)n;
  }
  return 0;
}

int cvl_npz_read(cvl_npz *z, int i, void *out, cvl_err *e) {
  const cvl_npy *h = &z->entries[i].header;
  unsigned char head[12 + CVL_NPY_HEADER_MOST], end;
  bool aside = h->fortran && h->shape.ndim > 1; /* needs a second buffer to be turned around */
  void *raw = out;
  int rc = -1;
  zip_file_t *file = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
  if (file == NULL) return zip_failed(z->path, z->names[i], zip_get_error(z->zip), e);
  if (aside && (raw = cvl_alloc((size_t)h->data_bytes)) == NULL) {
    cvl_fail_memory(e, (long long)h->data_bytes);
    goto done;
  }
  if (read_exactly(z, i, file, head, h->header_bytes, e) != 0) goto done;
  if (read_exactly(z, i, file, raw, h->data_bytes, e) != 0) goto done;
  if (zip_fread(file, &end, 1) != 0) { /* at the end libzip compares the CRC-32 */
    zip_failed(z->path, z->names[i], zip_file_get_error(file), e);
    goto done;
  }
  cvl_npy_convert(h, raw, out);
  rc = 0;
done:
  if (raw != out) cvl_free(raw);
  zip_fclose(file);
  return rc;
}

void cvl_npz_close(cvl_npz *z) {
  if (z == NULL) return;
  if (z->zip != NULL) zip_discard(z->zip);
  for (int i = 0; z->names != NULL && i < z->count; i++) cvl_free(z->names[i]);
  cvl_free(z->names);
  cvl_free(z->entries);
  cvl_free(z->order);
  cvl_free(z->path);
  cvl_free(z);
}

/*
** libzip builds the archive in memory from (header, data) fragments that stay where they are; the
** finished bytes then go through the atomic writer, because libzip's own replacement of a file
** neither syncs it nor its directory.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "io/npz.h"

/* What one entry needs until the archive is closed. */
typedef struct {
  char header[CVL_NPY_HEADER_ROOM];
  zip_buffer_fragment_t parts[2];
  char *name; /* with ".npy" */
} entry;

static int zip_failed(const char *path, zip_error_t *why, cvl_err *e) {
  if (zip_error_code_zip(why) == ZIP_ER_MEMORY) return cvl_fail_memory(e, 0);
  return cvl_fail(e, CVL_EIO, 0, "cannot build '%s': %s", path, zip_error_strerror(why));
}

static int add(zip_t *zip, const char *path, const cvl_array *a, entry *t, cvl_err *e) {
  enum { DOS_TIME = 0, DOS_DATE = 0x21 }; /* midnight, 1980-01-01: the first day a zip knows */
  zip_source_t *source;
  zip_int64_t index;
  zip_uint64_t bytes = (zip_uint64_t)cvl_shape_count(&a->shape) * cvl_dtype_size(a->dtype);
  size_t length = strlen(a->name);
  if (length == 0 || length > 65000)
    return cvl_fail(e, CVL_EARG, 0, "cannot write '%s': array %s", path,
                    length == 0 ? "with an empty name" : "with a name of more than 65000 bytes");
  if ((t->name = cvl_alloc(length + sizeof ".npy")) == NULL)
    return cvl_fail_memory(e, (long long)length + 5);
  memcpy(t->name, a->name, length);
  memcpy(t->name + length, ".npy", sizeof ".npy");
  t->parts[0].data = (zip_uint8_t *)t->header;
  t->parts[0].length = cvl_npy_header(a->dtype, &a->shape, t->header);
  t->parts[1].data = (zip_uint8_t *)a->data; /* libzip only reads it */
  t->parts[1].length = bytes;
  source = zip_source_buffer_fragment(zip, t->parts, bytes > 0 ? 2 : 1, 0);
  if (source == NULL) return zip_failed(path, zip_get_error(zip), e);
  if ((index = zip_file_add(zip, t->name, source, ZIP_FL_ENC_UTF_8)) < 0) {
    zip_source_free(source);
    if (zip_error_code_zip(zip_get_error(zip)) == ZIP_ER_EXISTS)
      return cvl_fail(e, CVL_EARG, 0, "cannot write '%s': two arrays are called '%s'", path,
                      a->name);
    return zip_failed(path, zip_get_error(zip), e);
  }
  if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) != 0 ||
      zip_file_set_dostime(zip, (zip_uint64_t)index, DOS_TIME, DOS_DATE, 0) != 0)
    return zip_failed(path, zip_get_error(zip), e);
  return 0;
}

/* Copies the finished archive into the file. */
static int drain(zip_source_t *archive, const char *path, cvl_err *e) {
  enum { PIECE = 1 << 20 };
  cvl_atomic_file f = {.fd = -1};
  char *piece = cvl_alloc(PIECE);
  zip_int64_t n;
  int rc = -1;
  if (piece == NULL) return cvl_fail_memory(e, PIECE);
  if (zip_source_open(archive) != 0) {
    zip_failed(path, zip_source_error(archive), e);
    goto done;
  }
  if (cvl_atomic_open(&f, path, e) != 0) goto close;
  while ((n = zip_source_read(archive, piece, PIECE)) > 0)
    if (cvl_atomic_append(&f, piece, (size_t)n, e) != 0) goto close;
  if (n < 0)
    zip_failed(path, zip_source_error(archive), e);
  else
    rc = cvl_atomic_commit(&f, e);
close:
  zip_source_close(archive);
done:
  cvl_atomic_abort(&f);
  cvl_free(piece);
  return rc;
}

int cvl_npz_save(const char *path, const cvl_array *arrays, int count, cvl_err *e) {
  zip_source_t *archive = NULL;
  zip_t *zip = NULL;
  zip_error_t why;
  int rc = -1;
  entry *entries = cvl_alloc_array((size_t)count, sizeof *entries);
  zip_error_init(&why);
  if (entries == NULL) {
    cvl_fail_memory(e, (long long)count * (long long)sizeof *entries);
    goto done;
  }
  if ((archive = zip_source_buffer_create(NULL, 0, 0, &why)) == NULL ||
      (zip = zip_open_from_source(archive, ZIP_CREATE | ZIP_TRUNCATE, &why)) == NULL) {
    zip_failed(path, &why, e);
    goto done;
  }
  zip_source_keep(archive); /* zip_close gives up its share of it */
  for (int i = 0; i < count; i++)
    if (add(zip, path, &arrays[i], &entries[i], e) != 0) goto done;
  if (zip_close(zip) != 0) {
    zip_failed(path, zip_get_error(zip), e);
    goto done;
  }
  zip = NULL;
  rc = drain(archive, path, e);
done:
  if (zip != NULL) zip_discard(zip);
  if (archive != NULL) zip_source_free(archive);
  for (int i = 0; entries != NULL && i < count; i++) cvl_free(entries[i].name);
  cvl_free(entries);
  zip_error_fini(&why);
  return rc;
}

#include "io/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const unsigned char MAGIC[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
  char kind;
  int bytes;
  cvl_dtype dtype;
} types[] =
    {
        {'f', 4, CVL_F32}, {'f', 8, CVL_F64},  {'i', 4, CVL_I32},
        {'i', 8, CVL_I64}, {'u', 1, CVL_U8},   {'b', 1, CVL_BOOL},
        {'f', 2, CVL_F16}, {'V', 2, CVL_BF16}, /* two bytes of whatever, as ml_dtypes, which gives NumPy the type, writes it */
};
enum { TYPES = sizeof types / sizeof types[0] };

static bool little_endian(void) {
  const uint16_t one = 1;
  return *(const unsigned char *)&one == 1;
}

size_t cvl_npy_header(cvl_dtype dtype, const cvl_shape *shape, char out[CVL_NPY_HEADER_ROOM]) {
  enum { PREFIX = 10, ALIGN = 64 }; /* magic, two bytes of version, two of length */
  char kind = 'f';
  int size = (int)cvl_dtype_size(dtype), n;
  char order = size == 1 ? '|' : little_endian() ? '<' : '>';
  char *text = out + PREFIX;
  size_t room = CVL_NPY_HEADER_ROOM - PREFIX, total;
  for (int i = 0; i < TYPES; i++)
    if (types[i].dtype == dtype) kind = types[i].kind;
  n = snprintf(text, room, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", order, kind,
               size);
  for (int i = 0; i < shape->ndim; i++)
    n += snprintf(text + n, room - (size_t)n, "%s%" PRId64 "%s", i > 0 ? " " : "", shape->dim[i],
                  i + 1 < shape->ndim || shape->ndim == 1 ? "," : "");
  n += snprintf(text + n, room - (size_t)n, "), }");
  total = (PREFIX + (size_t)n + 1 + ALIGN - 1) / ALIGN * ALIGN;
  memset(text + n, ' ', total - PREFIX - (size_t)n - 1);
  out[total - 1] = '\n';
  memcpy(out, MAGIC, sizeof MAGIC);
  out[6] = 1; /* version 1.0 */
  out[7] = 0;
  out[8] = (char)((total - PREFIX) & 255);
  out[9] = (char)((total - PREFIX) >> 8);
  return total;
}

/*
** The header is a Python dict literal with exactly three known keys, as NumPy requires, in any
** order. `cursor` walks through it; nothing is copied and no general parser of Python is needed.
*/
typedef struct {
  const char *p, *end;
} cursor;

static void skip_blanks(cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

static bool take(cursor *c, char wanted) {
  skip_blanks(c);
  if (c->p == c->end || *c->p != wanted) return false;
  c->p++;
  return true;
}

static bool take_string(cursor *c, char *out, size_t room) {
  char quote;
  size_t n = 0;
  skip_blanks(c);
  if (c->p == c->end || (*c->p != '\'' && *c->p != '"')) return false;
  quote = *c->p++;
  while (c->p < c->end && *c->p != quote) {
    if (*c->p == '\\' || (unsigned char)*c->p < ' ' || n + 1 >= room) return false;
    out[n++] = *c->p++;
  }
  out[n] = '\0';
  return take(c, quote);
}

static bool take_word(cursor *c, const char *word) {
  size_t n = strlen(word);
  skip_blanks(c);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0) return false;
  c->p += n;
  return true;
}

/* A non-negative integer; Python 2 wrote 3L. */
static bool take_size(cursor *c, int64_t *value) {
  int64_t v = 0;
  skip_blanks(c);
  if (c->p == c->end || *c->p < '0' || *c->p > '9') return false;
  for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
      return false;
  if (c->p < c->end && *c->p == 'L') c->p++;
  *value = v;
  return true;
}

static int damaged(cvl_err *e, const char *what) {
  return cvl_fail(e, CVL_EFORMAT, 0, "the .npy header is damaged: %s", what);
}

static int read_shape(cursor *c, cvl_shape *s, cvl_err *e) {
  bool comma = true;
  s->ndim = 0;
  if (!take(c, '(')) return damaged(e, "shape is not a tuple");
  while (!take(c, ')')) {
    if (!comma) return damaged(e, "shape is not a tuple of sizes");
    if (s->ndim == CVL_MAX_DIM)
      return cvl_fail(e, CVL_EFORMAT, 0, "the array has more than %d axes", CVL_MAX_DIM);
    if (!take_size(c, &s->dim[s->ndim])) return damaged(e, "shape holds something else than sizes");
    s->ndim++;
    comma = take(c, ',');
  }
  return s->ndim == 1 && !comma ? damaged(e, "shape is a number, not a tuple") : 0;
}

static int read_type(cursor *c, cvl_npy *h, cvl_err *e) {
  char text[32];
  int bytes = 0;
  if (!take_string(c, text, sizeof text))
    return cvl_fail(e, CVL_EFORMAT, 0, "structured element types are not supported");
  if (strchr(text, 'O') != NULL)
    return cvl_fail(e, CVL_EFORMAT, 0,
                    "the array holds pickled Python objects ('%s'), which are never loaded", text);
  if (strchr("<>|=", text[0]) != NULL && text[0] != '\0' && text[1] != '\0')
    for (const char *p = text + 2; *p >= '0' && *p <= '9' && bytes < 1000; p++)
      bytes = bytes * 10 + (*p - '0');
  for (int i = 0; i < TYPES; i++)
    if (bytes == types[i].bytes && text[1] == types[i].kind && text[3] == '\0') {
      h->dtype = types[i].dtype;
      h->swapped = bytes > 1 && text[0] == (little_endian() ? '>' : '<');
      return 0;
    }
  return cvl_fail(e, CVL_EFORMAT, 0,
                  "element type '%s' is not supported (expected f2, f4, f8, i4, i8, u1, b1 or V2)",
                  text);
}

static int read_dict(cursor *c, cvl_npy *h, cvl_err *e) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0, key;
  char name[16];
  if (!take(c, '{')) return damaged(e, "no dict");
  while (!take(c, '}')) {
    if (!take_string(c, name, sizeof name) || !take(c, ':')) return damaged(e, "no key");
    key = strcmp(name, "descr") == 0           ? DESCR
          : strcmp(name, "fortran_order") == 0 ? ORDER
          : strcmp(name, "shape") == 0         ? SHAPE
                                               : 0;
    if (key == 0 || (seen & key) != 0) return damaged(e, "an unknown or repeated key");
    seen |= key;
    if (key == DESCR && read_type(c, h, e) != 0) return -1;
    if (key == SHAPE && read_shape(c, &h->shape, e) != 0) return -1;
    if (key == ORDER && !(h->fortran = take_word(c, "True")) && !take_word(c, "False"))
      return damaged(e, "fortran_order is neither True nor False");
    if (!take(c, ',')) {
      if (!take(c, '}')) return damaged(e, "a comma is missing");
      break;
    }
  }
  skip_blanks(c);
  if (c->p != c->end) return damaged(e, "text after the dict");
  return seen == (DESCR | ORDER | SHAPE) ? 0 : damaged(e, "a key is missing");
}

int cvl_npy_parse(const unsigned char *bytes, size_t size, cvl_npy *h, cvl_err *e) {
  size_t prefix, length;
  cursor c;
  *h = (cvl_npy){0};
  if (size < 12 || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
    return cvl_fail(e, CVL_EFORMAT, 0, "not a .npy array: the magic string is missing");
  if (bytes[6] < 1 || bytes[6] > 3)
    return cvl_fail(e, CVL_EFORMAT, 0, ".npy version %d.%d is not known", bytes[6], bytes[7]);
  prefix = bytes[6] == 1 ? 10 : 12;
  length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
  if (prefix == 12) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
  if (length > CVL_NPY_HEADER_MOST)
    return cvl_fail(e, CVL_EFORMAT, 0, "the .npy header has %zu bytes, at most %d are accepted",
                    length, CVL_NPY_HEADER_MOST);
  if (length > size - prefix) return damaged(e, "it is cut short");
  c.p = (const char *)bytes + prefix;
  c.end = c.p + length;
  if (read_dict(&c, h, e) != 0) return -1;
  if (cvl_shape_check(&h->shape, (int64_t)cvl_dtype_size(h->dtype), e) != 0) {
    if (e != NULL) e->code = CVL_EFORMAT; /* the fault is the file's */
    return -1;
  }
  h->header_bytes = prefix + length;
  h->data_bytes = (uint64_t)cvl_shape_count(&h->shape) * cvl_dtype_size(h->dtype);
  return 0;
}

static void copy_element(unsigned char *out, const unsigned char *in, size_t size, bool swapped) {
  if (swapped)
    for (size_t i = 0; i < size; i++) out[i] = in[size - 1 - i];
  else
    memcpy(out, in, size);
}

static void swap_in_place(unsigned char *p, uint64_t count, size_t size) {
  for (uint64_t i = 0; i < count; i++, p += size)
    for (size_t j = 0; j < size / 2; j++) {
      unsigned char t = p[j];
      p[j] = p[size - 1 - j];
      p[size - 1 - j] = t;
    }
}

void cvl_npy_convert(const cvl_npy *h, const void *raw, void *out) {
  size_t size = cvl_dtype_size(h->dtype);
  uint64_t count = size > 0 ? h->data_bytes / size : 0;
  const cvl_shape *s = &h->shape;
  unsigned char *y = out;
  if (h->fortran && s->ndim > 1) {
    int64_t index[CVL_MAX_DIM] = {0}, stride[CVL_MAX_DIM], at = 0;
    stride[0] = 1; /* the file's strides, in elements */
    for (int i = 1; i < s->ndim; i++) stride[i] = stride[i - 1] * s->dim[i - 1];
    for (uint64_t n = 0; n < count; n++) {
      copy_element(y + n * size, (const unsigned char *)raw + (size_t)at * size, size, h->swapped);
      for (int i = s->ndim - 1; i >= 0; i--) { /* step like an odometer, last axis first */
        at += stride[i];
        if (++index[i] < s->dim[i]) break;
        at -= stride[i] * s->dim[i];
        index[i] = 0;
      }
    }
  } else {
    if (out != raw) memcpy(out, raw, (size_t)h->data_bytes);
    if (h->swapped) swap_in_place(y, count, size);
  }
  if (h->dtype == CVL_BOOL)
    for (uint64_t n = 0; n < count; n++) y[n] = y[n] != 0;
}

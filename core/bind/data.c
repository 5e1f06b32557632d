/*
** convlua.core.data: data sets in memory, and the loader that makes batches of them. Labels, epochs
** and batches count from 1 in Lua. The loader hands labels through as they are, so only the
** decoders convert them.
*/
#include "bind/data.h"

#include <string.h>

#include "base/mem.h"
#include "bind/box.h"
#include "bind/check.h"
#include "data/cifar.h"
#include "data/loader.h"
#include "data/shapes10.h"
#include "io/file.h"

/* ---- data sets */

static void push_names(lua_State *L, const char *const *names, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* Images {count, side, side, 3} uint8 and labels {count} int64 into two boxes. */
static int make_set(int64_t count, int64_t side, cvl_tensor **x, cvl_tensor **labels, cvl_err *e) {
  cvl_shape images = {4, {count, side, side, 3}}, one = {1, {count}};
  if ((*x = cvl_tensor_new(&images, CVL_U8, cvl_cpu(), e)) == NULL) return -1;
  return (*labels = cvl_tensor_new(&one, CVL_I64, cvl_cpu(), e)) != NULL ? 0 : -1;
}

static void count_from_one(int64_t *labels, int64_t n) {
  for (int64_t i = 0; i < n; i++) labels[i]++;
}

static int read_batch(const char *path, uint8_t *x, int64_t *labels, cvl_err *e) {
  unsigned char *bytes = NULL;
  size_t size;
  int rc = cvl_read_file(path, 1 << 28, &bytes, &size, e);
  if (rc == 0) rc = cvl_cifar_decode(bytes, size, path, x, labels, e);
  cvl_free(bytes);
  return rc;
}

/* cifar10{path, ...} -> images uint8 {10000 n, 32, 32, 3}, labels int64 {10000 n} of 1..10; binary
** batches */
static int cifar10(lua_State *L) {
  cvl_err e = {0};
  cvl_tensor **x, **labels;
  lua_Integer n;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  n = (lua_Integer)lua_rawlen(L, 1);
  luaL_argcheck(L, n >= 1 && n <= 100, 1, "a list of 1 to 100 files expected");
  luaL_checkstack(L, (int)n + 4, "cifar10");
  for (int i = 1; i <= n; i++)
    if (lua_rawgeti(L, 1, i) != LUA_TSTRING)
      return luaL_argerror(L, 1, lua_pushfstring(L, "entry %d is not a file's name", i));
  x = cvl_box(L);
  labels = cvl_box(L);
  if (make_set(n * CVL_CIFAR_RECORDS, CVL_CIFAR_SIDE, x, labels, &e) != 0)
    return cvl_raise(L, "cifar10", &e);
  for (int64_t i = 0; i < n && e.code == CVL_OK; i++) {
    int64_t *l = (int64_t *)cvl_data(*labels) + i * CVL_CIFAR_RECORDS;
    uint8_t *images = cvl_data(*x);
    read_batch(lua_tostring(L, 2 + (int)i), images + i * CVL_CIFAR_RECORDS * CVL_CIFAR_PIXELS, l,
               &e);
    count_from_one(l, CVL_CIFAR_RECORDS);
  }
  return e.code == CVL_OK ? 2 : cvl_raise(L, "cifar10", &e);
}

typedef struct {
  int64_t count, seed, first;
} shapes10_options;

static const cvl_option shapes10_list[] = {
    CVL_INTEGER(shapes10_options, count, 0, CVL_REQUIRED, "how many samples"),
    CVL_INTEGER(shapes10_options, seed, 0, CVL_ANY, "another seed, another data set"),
    CVL_INTEGER(shapes10_options, first, 1, CVL_POSITIVE, "the first sample, from 1"),
    {NULL, 0, 0, 0, 0, NULL, NULL}};

/* shapes10{count, seed = 0, first = 1} -> images uint8 {count, 32, 32, 3}, labels int64 {count} of
** 1..10 */
static int shapes10(lua_State *L) {
  shapes10_options o;
  cvl_err e = {0};
  cvl_tensor **x, **labels;
  cvl_check_options(L, 1, "shapes10", shapes10_list, sizeof o, &o);
  if (o.count < 0 || o.count > (int64_t)1 << 32)
    return luaL_error(L, "shapes10: count must be 0..2^32, got %I", (LUAI_UACINT)o.count);
  x = cvl_box(L);
  labels = cvl_box(L);
  if (make_set(o.count, CVL_SHAPES10_SIDE, x, labels, &e) != 0) return cvl_raise(L, "shapes10", &e);
  cvl_shapes10((uint64_t)o.seed, (uint64_t)(o.first - 1), o.count, cvl_data(*x), cvl_data(*labels));
  count_from_one(cvl_data(*labels), o.count);
  cvl_collect_if_due(L);
  return 2;
}

/* ---- the loader */

static const char LOADER[] = "convlua.loader";

typedef struct {
  cvl_loader *loader; /* NULL: closed */
  cvl_array_set set;
  cvl_tensor *items, *labels; /* one reference each; dense, on the CPU */
  int64_t batch_size;
} box;

typedef struct {
  int64_t batch_size, seed, workers, depth, crop_padding, cutout;
  bool shuffle, drop_last, flip, alternating_flip;
  int padding_mode;
} loader_options;

static const char *const padding_modes[] = {"zero", "reflect", NULL};

static const cvl_option loader_list[] = {
    CVL_INTEGER(loader_options, batch_size, 0, CVL_REQUIRED, "samples in a batch"),
    CVL_FLAG(loader_options, shuffle, 0, "a new order for each epoch"),
    CVL_FLAG(loader_options, drop_last, 0, "leave out a last batch that is not full"),
    CVL_INTEGER(loader_options, seed, 0, CVL_ANY, "of the order and the augmentation"),
    CVL_INTEGER(loader_options, workers, 1, CVL_NOT_NEGATIVE, "threads that work ahead; 0: none"),
    CVL_INTEGER(loader_options, depth, 0, CVL_NOT_NEGATIVE, "batches ahead; 0: twice the workers"),
    CVL_INTEGER(loader_options, crop_padding, 0, CVL_NOT_NEGATIVE, "pixels around a random crop"),
    CVL_CHOICE(loader_options, padding_mode, 0, padding_modes, "what the crop sees outside"),
    CVL_FLAG(loader_options, flip, 0, "left and right exchanged for half of the samples"),
    CVL_FLAG(loader_options, alternating_flip, 0, "every sample changes sides from epoch to epoch"),
    CVL_INTEGER(loader_options, cutout, 0, CVL_NOT_NEGATIVE, "side of a square set to the mean"),
    {NULL, 0, 0, 0, 0, NULL, NULL}};

static void close_box(box *b) {
  cvl_loader *l = b->loader;
  cvl_tensor *items = b->items, *labels = b->labels;
  b->loader = NULL;
  b->items = b->labels = NULL;
  cvl_loader_close(l); /* first: its threads read what follows */
  cvl_transform_free(&b->set.transform);
  cvl_release(items);
  cvl_release(labels);
}

/* l:close(), __gc and __close; a second call is harmless. */
static int close_loader(lua_State *L) {
  close_box(luaL_checkudata(L, 1, LOADER));
  return 0;
}

static box *check_loader(lua_State *L) {
  box *b = luaL_checkudata(L, 1, LOADER);
  luaL_argcheck(L, b->loader != NULL, 1, "the loader has been closed");
  return b;
}

/* Reads the list `name` of the table at 1, a number for each channel, into v; returns how many. */
static int read_numbers(lua_State *L, const char *name, float v[CVL_AUGMENT_CHANNELS]) {
  int n = 0;
  lua_getfield(L, 1, name);
  if (lua_istable(L, -1)) {
    n = (int)lua_rawlen(L, -1);
    if (n > CVL_AUGMENT_CHANNELS)
      luaL_error(L, "loader: option '%s': at most %d channels expected, got %d", name,
                 CVL_AUGMENT_CHANNELS, n);
    for (int i = 0; i < n; i++) {
      if (lua_rawgeti(L, -1, i + 1) != LUA_TNUMBER)
        luaL_error(L, "loader: option '%s': a list of numbers expected", name);
      v[i] = (float)lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
  } else if (!lua_isnil(L, -1)) {
    luaL_error(L, "loader: option '%s': a list of numbers expected, got %s", name,
               luaL_typename(L, -1));
  }
  lua_pop(L, 1);
  return n;
}

static void read_augment(lua_State *L, const loader_options *o, cvl_augment *a) {
  int means = read_numbers(L, "mean", a->mean), stds = read_numbers(L, "std", a->deviation);
  if (means != stds)
    luaL_error(L, "loader: mean and std must have as many numbers, got %d and %d", means, stds);
  a->channels = means;
  a->pad = o->crop_padding;
  a->reflect = o->padding_mode == 1;
  a->flip = o->flip;
  a->alternating_flip = o->alternating_flip;
  a->cutout = o->cutout;
}

/* x itself when it is dense and on the CPU, else a copy; one reference. */
static cvl_tensor *hold(cvl_tensor *x, cvl_err *e) {
  bool usable = cvl_is_dense(x) && cvl_device_of(x)->host_visible;
  return usable ? cvl_retain(x) : cvl_tensor_clone(x, cvl_cpu(), e);
}

static int start_loader(box *b, const loader_options *o, const cvl_augment *a, cvl_tensor *items,
                        cvl_tensor *labels, cvl_err *e) {
  cvl_loader_options lo = {.batch_size = o->batch_size,
                           .shuffle = o->shuffle,
                           .drop_last = o->drop_last,
                           .seed = (uint64_t)o->seed,
                           .workers = o->workers,
                           .depth = o->depth};
  cvl_array_set *s = &b->set;
  if (items->shape.ndim < 1) return cvl_fail(e, CVL_ESHAPE, 0, "items must be {count, ...}");
  s->count = items->shape.dim[0];
  s->item.ndim = items->shape.ndim - 1;
  memcpy(s->item.dim, items->shape.dim + 1, (size_t)s->item.ndim * sizeof s->item.dim[0]);
  s->seed = (uint64_t)o->seed;
  if (labels->dtype != CVL_I64 || labels->shape.ndim != 1 || labels->shape.dim[0] != s->count) {
    char text[CVL_SHAPE_TEXT];
    return cvl_fail(e, CVL_ESHAPE, 0, "labels must be int64 {%lld}, one for each item, got %s %s",
                    (long long)s->count, cvl_dtype_name(labels->dtype),
                    cvl_shape_text(&labels->shape, text));
  }
  if ((b->items = hold(items, e)) == NULL || (b->labels = hold(labels, e)) == NULL) return -1;
  if (cvl_transform_init(&s->transform, a, items->dtype, &s->item, e) != 0) return -1;
  s->items = cvl_data(b->items);
  s->labels = cvl_data(b->labels);
  b->batch_size = o->batch_size;
  cvl_samples samples = cvl_array_samples(s);
  return (b->loader = cvl_loader_new(&samples, &lo, e)) != NULL ? 0 : -1;
}

/* Pushes field `name` of the table at 1, which must be a tensor. */
static void push_tensor_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  if (cvl_test_tensor(L, -1) == NULL)
    luaL_error(L, "loader: option '%s': convlua.tensor expected, got %s", name,
               luaL_typename(L, -1));
}

/*
** loader{items, labels, batch_size, shuffle, drop_last, seed, workers, depth, crop_padding,
** padding_mode, flip, cutout, mean, std} -> loader. items {count, ...}: uint8, which become 0..1,
** or float32; labels int64 {count}. While the loader lives nobody may write into them.
*/
static int loader(lua_State *L) {
  static const char *const others[] = {"items", "labels", "mean", "std", NULL};
  loader_options o = {0};
  cvl_augment a = {0};
  cvl_err e = {0};
  cvl_tensor *items, *labels;
  box *b;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (box){0};
  luaL_setmetatable(L, LOADER);
  cvl_options_default(loader_list, &o);
  cvl_check_option_table(L, 1, "loader", loader_list, &o, others);
  read_augment(L, &o, &a);
  push_tensor_field(L, "items");
  push_tensor_field(L, "labels"); /* a table with __index may have run Lua, which may free */
  items = cvl_check_tensor(L, 3);
  labels = cvl_check_tensor(L, 4);
  if (start_loader(b, &o, &a, items, labels, &e) != 0) {
    close_box(b);
    return cvl_raise(L, "loader", &e);
  }
  lua_settop(L, 2);
  return 1;
}

/* l:start(epoch [, batch = 1]): puts the loader before a batch; both count from 1 */
static int start(lua_State *L) {
  box *b = check_loader(L);
  lua_Integer epoch = luaL_checkinteger(L, 2), batch = luaL_optinteger(L, 3, 1);
  cvl_err e = {0};
  luaL_argcheck(L, epoch >= 1, 2, "epochs count from 1");
  luaL_argcheck(L, batch >= 1, 3, "batches count from 1");
  if (cvl_loader_start(b->loader, (uint64_t)(epoch - 1), batch - 1, &e) != 0)
    return cvl_raise(L, "loader", &e);
  return 0;
}

static int fill(box *b, cvl_tensor **x, cvl_tensor **labels, cvl_err *e) {
  cvl_shape xs = {b->set.item.ndim + 1, {0}}, ls = {1, {0}};
  int64_t n = cvl_loader_next_length(b->loader);
  if (n == 0) return 0;
  xs.dim[0] = ls.dim[0] = n;
  memcpy(xs.dim + 1, b->set.item.dim, (size_t)b->set.item.ndim * sizeof xs.dim[0]);
  cvl_release(*x); /* of a first try */
  *x = NULL;
  if ((*x = cvl_tensor_new(&xs, CVL_F32, cvl_cpu(), e)) == NULL) return -1;
  if ((*labels = cvl_tensor_new(&ls, CVL_I64, cvl_cpu(), e)) == NULL) return -1;
  return cvl_loader_next(b->loader, cvl_data(*x), cvl_data(*labels), &n, e);
}

/* l:next() -> x float32 {n, ...}, labels int64 {n}; nothing at the end of the epoch */
static int next(lua_State *L) {
  cvl_tensor **x, **labels;
  cvl_err e = {0};
  luaL_checkudata(L, 1, LOADER);
  x = cvl_box(L);
  labels = cvl_box(L);
  if (fill(check_loader(L), x, labels, &e) != 0 && e.code == CVL_ENOMEM) {
    e = (cvl_err){0};
    cvl_collect_all(L); /* runs finalizers: look at the loader again */
    fill(check_loader(L), x, labels, &e);
  }
  if (e.code != CVL_OK) return cvl_raise(L, "loader", &e);
  if (*x == NULL) return 0;
  cvl_collect_if_due(L);
  return 2;
}

/* l:position() -> epoch, batch: what comes next, from 1 */
static int position(lua_State *L) {
  box *b = check_loader(L);
  uint64_t epoch;
  int64_t batch;
  cvl_loader_position(b->loader, &epoch, &batch);
  lua_pushinteger(L, (lua_Integer)epoch + 1);
  lua_pushinteger(L, batch + 1);
  return 2;
}

/* l:batches() -> how many there are in an epoch; #l is the same */
static int batches(lua_State *L) {
  lua_pushinteger(L, cvl_loader_batches(check_loader(L)->loader));
  return 1;
}

/* l:size() -> samples */
static int size(lua_State *L) {
  lua_pushinteger(L, check_loader(L)->set.count);
  return 1;
}

static int to_string(lua_State *L) {
  const box *b = luaL_checkudata(L, 1, LOADER);
  if (b->loader == NULL)
    lua_pushliteral(L, "loader (closed)");
  else
    lua_pushfstring(L, "loader of %I samples in %I batches of %I", (LUAI_UACINT)b->set.count,
                    (LUAI_UACINT)cvl_loader_batches(b->loader), (LUAI_UACINT)b->batch_size);
  return 1;
}

static void new_loader_kind(lua_State *L) {
  static const luaL_Reg methods[] = {{"start", start},     {"next", next}, {"position", position},
                                     {"batches", batches}, {"size", size}, {"close", close_loader},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", close_loader},
                                  {"__close", close_loader},
                                  {"__tostring", to_string},
                                  {"__len", batches},
                                  {NULL, NULL}};
  if (luaL_newmetatable(L, LOADER)) {
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, LOADER);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
}

int cvl_open_data(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"cifar10", cifar10}, {"shapes10", shapes10}, {"loader", loader}, {NULL, NULL}};
  new_loader_kind(L);
  luaL_newlib(L, functions);
  push_names(L, cvl_cifar_names, CVL_CIFAR_CLASSES);
  lua_setfield(L, -2, "cifar10_names");
  push_names(L, cvl_shapes10_names, CVL_SHAPES10_CLASSES);
  lua_setfield(L, -2, "shapes10_names");
  return 1;
}

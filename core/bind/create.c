/*
** Tensors from nothing: zeros, ones, full, arange, linspace, eye, rand, randn, randint, tensor.
** Shapes are given as zeros(2, 3) or zeros{2, 3}; options dtype, device, requires_grad in a table at the end, or in the
** same table as the shape: zeros{2, 3, dtype = "float64"}.
*/
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "bind/check.h"
#include "bind/open.h"
#include "tensor/half.h"
#include "tensor/random.h"

typedef struct {
  int dtype;
  bool requires_grad;
  const char *device;
} options;

/* Reads the named entries of the table at `index`; its list part is the caller's. */
static void read_named(lua_State *L, int index, const char *who, options *o) {
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (name == NULL) {
      if (lua_type(L, -2) != LUA_TNUMBER)
        luaL_error(L, "%s: options have names, got a %s", who, luaL_typename(L, -2));
    } else if (strcmp(name, "dtype") == 0) {
      o->dtype = (int)cvl_check_dtype(L, lua_gettop(L), CVL_F32);
    } else if (strcmp(name, "device") == 0) {
      o->device = luaL_checkstring(L, lua_gettop(L)); /* the table keeps the string */
    } else if (strcmp(name, "requires_grad") == 0) {
      luaL_checktype(L, lua_gettop(L), LUA_TBOOLEAN);
      o->requires_grad = lua_toboolean(L, -1);
    } else {
      luaL_error(L, "%s: unknown option '%s'; there are dtype, device, requires_grad", who, name);
    }
    lua_pop(L, 1);
  }
}

/* Options from a table at the end; returns the last argument before it. */
static int read_options(lua_State *L, int first, const char *who, options *o) {
  int top = lua_gettop(L);
  *o = (options){.dtype = -1};
  if (top >= first && lua_istable(L, top)) {
    read_named(L, top, who, o);
    if (top > first || lua_rawlen(L, top) == 0) return top - 1;
  }
  return top;
}

/* The shape from arguments first..last, which must be there. */
static void read_shape(lua_State *L, int first, int last, const char *who, options *o,
                       cvl_shape *shape) {
  if (last >= first && lua_istable(L, first)) {
    read_named(L, first, who, o);
    if (last > first) luaL_error(L, "%s: one shape expected, got more arguments", who);
  }
  *shape = (cvl_shape){0};
  if (last >= first) cvl_check_shape(L, first, last, who, shape);
}

/* Pushes a new tensor; on the CPU, where the caller fills it, for d == NULL. Then the caller calls finish. */
static cvl_tensor *make_on(lua_State *L, const char *who, const cvl_shape *shape, cvl_dtype t,
                           cvl_device *d) {
  cvl_err e = {0};
  cvl_tensor **y = cvl_box(L);
  if ((*y = cvl_tensor_new(shape, t, d, &e)) == NULL && e.code == CVL_ENOMEM) {
    cvl_collect_all(L);
    e = (cvl_err){0};
    *y = cvl_tensor_new(shape, t, d, &e);
  }
  if (*y == NULL) cvl_raise(L, who, &e);
  return *y;
}

static cvl_tensor *make(lua_State *L, const char *who, const cvl_shape *shape, cvl_dtype t) {
  return make_on(L, who, shape, t, NULL);
}

static cvl_device *device_of(lua_State *L, const char *who, const options *o) {
  cvl_err e = {0};
  cvl_device *d = o->device != NULL ? cvl_device_get(o->device, &e) : cvl_cpu();
  if (d == NULL) cvl_raise(L, who, &e);
  return d;
}

/* Moves the tensor on top to its device, sets requires_grad, and returns it. */
static int finish(lua_State *L, const char *who, const options *o) {
  cvl_tensor *x = cvl_check_tensor(L, -1), **there;
  cvl_device *d;
  cvl_err e = {0};
  if (o->requires_grad && !cvl_dtype_floating(x->dtype))
    return luaL_error(L, "%s: only floating tensors have gradients, got %s", who,
                      cvl_dtype_name(x->dtype));
  if ((d = device_of(L, who, o)) != cvl_device_of(x)) {
    there = cvl_box(L);
    x = cvl_check_tensor(L, -2);
    if ((x = *there = cvl_tensor_clone(x, d, &e)) == NULL) return cvl_raise(L, who, &e);
  }
  x->requires_grad = o->requires_grad;
  cvl_collect_if_due(L);
  return 1;
}

static cvl_dtype type_or(const options *o, cvl_dtype def) {
  return o->dtype >= 0 ? (cvl_dtype)o->dtype : def;
}

/* A tensor of equal elements, made where it is wanted. */
static int make_full(lua_State *L, const char *who, const cvl_shape *shape, const options *o,
                     double v) {
  cvl_err e = {0};
  cvl_tensor *x = make_on(L, who, shape, type_or(o, CVL_F32), device_of(L, who, o));
  if (cvl_tensor_fill(x, v, &e) != 0) return cvl_raise(L, who, &e);
  return finish(L, who, o);
}

static int filled(lua_State *L, const char *who, double v) {
  options o;
  cvl_shape shape;
  int last = read_options(L, 1, who, &o);
  read_shape(L, 1, last, who, &o, &shape);
  return make_full(L, who, &shape, &o, v);
}

static int zeros(lua_State *L) { return filled(L, "zeros", 0); }
static int ones(lua_State *L) { return filled(L, "ones", 1); }

/* full(shape, value, options) */
static int full(lua_State *L) {
  options o;
  cvl_shape shape;
  read_options(L, 3, "full", &o);
  luaL_checktype(L, 1, LUA_TTABLE);
  read_shape(L, 1, 1, "full", &o, &shape);
  double v = luaL_checknumber(L, 2);
  return make_full(L, "full", &shape, &o, v);
}

static int fill_random(lua_State *L, const char *who, void (*fill)(cvl_tensor *, double, double),
                       double a, double b) {
  options o;
  cvl_shape shape;
  int last = read_options(L, 1, who, &o);
  read_shape(L, 1, last, who, &o, &shape);
  if (!cvl_dtype_floating(type_or(&o, CVL_F32)))
    return luaL_error(L, "%s: a floating type expected, got %s", who,
                      cvl_dtype_name((cvl_dtype)o.dtype));
  fill(make(L, who, &shape, type_or(&o, CVL_F32)), a, b);
  return finish(L, who, &o);
}

static int rand_uniform(lua_State *L) { return fill_random(L, "rand", cvl_fill_uniform, 0, 1); }
static int rand_normal(lua_State *L) { return fill_random(L, "randn", cvl_fill_normal, 0, 1); }

/* randint(low, high, shape, options): low..high, both included, as math.random */
static int rand_integers(lua_State *L) {
  options o;
  cvl_shape shape;
  lua_Integer low = luaL_checkinteger(L, 1), high = luaL_checkinteger(L, 2);
  int last = read_options(L, 3, "randint", &o);
  luaL_argcheck(L, low <= high, 2, "low <= high expected");
  read_shape(L, 3, last, "randint", &o, &shape);
  cvl_fill_integers(make(L, "randint", &shape, type_or(&o, CVL_I64)), low, high);
  return finish(L, "randint", &o);
}

static void set_element(cvl_tensor *x, int64_t i, double v) {
  switch (x->dtype) {
  case CVL_F32:
    ((float *)cvl_data(x))[i] = (float)v;
    break;
  case CVL_F64:
    ((double *)cvl_data(x))[i] = v;
    break;
  case CVL_I32:
    ((int32_t *)cvl_data(x))[i] = (int32_t)v;
    break;
  case CVL_I64:
    ((int64_t *)cvl_data(x))[i] = (int64_t)v;
    break;
  case CVL_U8:
    ((uint8_t *)cvl_data(x))[i] = (uint8_t)v;
    break;
  case CVL_BF16:
  case CVL_F16:
    ((uint16_t *)cvl_data(x))[i] = cvl_half_from_f32(x->dtype, cvl_half_odd(v));
    break;
  default:
    ((uint8_t *)cvl_data(x))[i] = v != 0;
    break;
  }
}

/* arange(first, last, step = 1): first, first + step, ... up to last included, as a Lua for loop; integers stay int64 */
static int arange(lua_State *L) {
  options o;
  double first = luaL_checknumber(L, 1), last = luaL_checknumber(L, 2), count;
  bool whole = lua_isinteger(L, 1) && lua_isinteger(L, 2);
  int end = read_options(L, 3, "arange", &o);
  double step = end >= 3 && !lua_isnil(L, 3) ? luaL_checknumber(L, 3) : 1;
  if (end >= 3 && !lua_isinteger(L, 3)) whole = false;
  luaL_argcheck(L, step != 0 && step == step, 3, "a step other than 0 expected");
  count = floor((last - first) / step * (1 + 1e-12) + 1e-9) + 1;
  luaL_argcheck(L, count < 0x1p53, 2, "too many elements");
  cvl_shape shape = {.ndim = 1, .dim = {count > 0 ? (int64_t)count : 0}};
  cvl_tensor *x = make(L, "arange", &shape, type_or(&o, whole ? CVL_I64 : CVL_F32));
  for (int64_t i = 0; i < shape.dim[0]; i++) set_element(x, i, first + (double)i * step);
  return finish(L, "arange", &o);
}

/* linspace(first, last, count): both ends included */
static int linspace(lua_State *L) {
  options o;
  double first = luaL_checknumber(L, 1), last = luaL_checknumber(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  read_options(L, 4, "linspace", &o);
  luaL_argcheck(L, n >= 0, 3, "0 or more expected");
  cvl_shape shape = {.ndim = 1, .dim = {n}};
  cvl_tensor *x = make(L, "linspace", &shape, type_or(&o, CVL_F32));
  for (int64_t i = 0; i < n; i++)
    set_element(x, i,
                i == n - 1 && n > 1
                    ? last
                    : first + (last - first) * (double)i / (double)(n > 1 ? n - 1 : 1));
  return finish(L, "linspace", &o);
}

static int eye(lua_State *L) {
  options o;
  lua_Integer n = luaL_checkinteger(L, 1);
  read_options(L, 2, "eye", &o);
  luaL_argcheck(L, n >= 0, 1, "0 or more expected");
  cvl_shape shape = {.ndim = 2, .dim = {n, n}};
  cvl_tensor *x = make(L, "eye", &shape, type_or(&o, CVL_F32));
  cvl_tensor_fill(x, 0, NULL);
  for (int64_t i = 0; i < n; i++) set_element(x, i * (n + 1), 1);
  return finish(L, "eye", &o);
}

/* The shape of nested tables, read along the first elements. */
static void table_shape(lua_State *L, int index, cvl_shape *shape) {
  lua_pushvalue(L, index);
  while (lua_istable(L, -1)) {
    if (shape->ndim == CVL_MAX_DIM)
      luaL_error(L, "tensor: at most %d axes are possible", CVL_MAX_DIM);
    shape->dim[shape->ndim++] = (int64_t)lua_rawlen(L, -1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_pop(L, 1);
}

static void read_table(lua_State *L, int index, cvl_tensor *x, int axis, int64_t *at) {
  if (axis == x->shape.ndim) {
    int type = lua_type(L, index);
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
      luaL_error(L, "tensor: numbers or booleans expected in the innermost tables, got %s",
                 luaL_typename(L, index));
    if (x->dtype == CVL_I64 && lua_isinteger(L, index))
      ((int64_t *)cvl_data(x))[(*at)++] = lua_tointeger(L, index);
    else
      set_element(x, (*at)++,
                  type == LUA_TBOOLEAN ? lua_toboolean(L, index) : lua_tonumber(L, index));
    return;
  }
  if (!lua_istable(L, index) || (int64_t)lua_rawlen(L, index) != x->shape.dim[axis])
    luaL_error(L,
               "tensor: the nested tables are ragged: %I elements expected along axis %d, got %I",
               (LUAI_UACINT)x->shape.dim[axis], axis + 1,
               (LUAI_UACINT)(lua_istable(L, index) ? (lua_Integer)lua_rawlen(L, index) : 0));
  luaL_checkstack(L, 4, "tensor");
  for (int64_t i = 1; i <= x->shape.dim[axis]; i++) {
    lua_rawgeti(L, index, i);
    read_table(L, lua_gettop(L), x, axis + 1, at);
    lua_pop(L, 1);
  }
}

/*
** tensor(value, options): from a number, a boolean or nested tables. float32 unless told otherwise; booleans give bool.
** tensor(string, {dtype =, shape =}) takes raw bytes: see from_bytes.
*/
static int tensor(lua_State *L) {
  options o = {.dtype = -1};
  cvl_shape shape = {0};
  int64_t at = 0;
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING)
    o.dtype = (int)cvl_check_dtype(L, 2, CVL_F32);
  else if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    read_named(L, 2, "tensor", &o);
  }
  luaL_checkany(L, 1);
  table_shape(L, 1, &shape);
  bool truth = lua_isboolean(L, 1);
  if (shape.ndim > 0 && o.dtype < 0) { /* the first element tells */
    lua_pushvalue(L, 1);
    while (lua_istable(L, -1)) {
      lua_rawgeti(L, -1, 1);
      lua_remove(L, -2);
    }
    truth = lua_isboolean(L, -1);
    lua_pop(L, 1);
  }
  cvl_tensor *x = make(L, "tensor", &shape, type_or(&o, truth ? CVL_BOOL : CVL_F32));
  read_table(L, 1, x, 0, &at);
  return finish(L, "tensor", &o);
}

/* from_bytes(string, shape, dtype): the elements in the machine's byte order */
static int from_bytes(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  cvl_dtype t = cvl_check_dtype(L, 3, CVL_F32);
  cvl_shape shape;
  cvl_err e = {0};
  luaL_checktype(L, 2, LUA_TTABLE);
  cvl_check_shape(L, 2, 2, "from_bytes", &shape);
  if (cvl_shape_check(&shape, (int64_t)cvl_dtype_size(t), &e) != 0)
    return cvl_raise(L, "from_bytes", &e);
  if ((size_t)cvl_shape_count(&shape) * cvl_dtype_size(t) != n)
    return luaL_error(L, "from_bytes: %I bytes expected, got %I",
                      (LUAI_UACINT)((size_t)cvl_shape_count(&shape) * cvl_dtype_size(t)),
                      (LUAI_UACINT)n);
  cvl_tensor *x = make(L, "from_bytes", &shape, t);
  if (n > 0) memcpy(cvl_data(x), bytes, n);
  if (t == CVL_BOOL)
    for (size_t i = 0; i < n; i++) ((uint8_t *)cvl_data(x))[i] = bytes[i] != 0;
  return 1;
}

static int manual_seed(lua_State *L) {
  cvl_seed((uint64_t)luaL_checkinteger(L, 1));
  return 0;
}

/* rng_state() -> {seed, stream, position}; rng_state(state) restores it */
static int rng_state(lua_State *L) {
  cvl_rng *g = cvl_global_rng();
  uint64_t *field[] = {&g->seed, &g->stream, &g->position};
  if (lua_istable(L, 1)) {
    cvl_rng next;
    uint64_t *to[] = {&next.seed, &next.stream, &next.position};
    for (int i = 0; i < 3; i++) {
      lua_rawgeti(L, 1, i + 1);
      *to[i] = (uint64_t)luaL_checkinteger(L, -1);
    }
    *g = next;
    return 0;
  }
  lua_createtable(L, 3, 0);
  for (int i = 0; i < 3; i++) {
    lua_pushinteger(L, (lua_Integer)*field[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void cvl_open_create(lua_State *L) {
  static const luaL_Reg functions[] = {{"zeros", zeros},
                                       {"ones", ones},
                                       {"full", full},
                                       {"rand", rand_uniform},
                                       {"randn", rand_normal},
                                       {"randint", rand_integers},
                                       {"arange", arange},
                                       {"linspace", linspace},
                                       {"eye", eye},
                                       {"tensor", tensor},
                                       {"from_bytes", from_bytes},
                                       {"manual_seed", manual_seed},
                                       {"rng_state", rng_state},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}

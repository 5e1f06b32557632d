/*
** Methods and fields of tensors that are not ops: shape, dtype, indexing, conversion to Lua values, changes in place.
*/
#include <string.h>

#include "autograd/autograd.h"
#include "base/mem.h"
#include "bind/check.h"
#include "bind/open.h"
#include "ops/op.h"

static void push_shape(lua_State *L, const cvl_shape *s) {
  lua_createtable(L, s->ndim, 0);
  for (int i = 0; i < s->ndim; i++) {
    lua_pushinteger(L, s->dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* A host tensor that can be read element by element: x itself, or a copy pushed in a box. */
static cvl_tensor *readable(lua_State *L, int index) {
  cvl_tensor *x = cvl_check_tensor(L, index), **y;
  cvl_err e = {0};
  if (cvl_device_of(x)->host_visible) return x;
  y = cvl_box(L);
  x = cvl_check_tensor(L, index);
  if ((*y = cvl_tensor_clone(x, cvl_cpu(), &e)) == NULL) cvl_raise(L, "to", &e);
  return *y;
}

static void push_element(lua_State *L, const cvl_tensor *x, int64_t at) {
  if (x->dtype == CVL_BOOL)
    lua_pushboolean(L, cvl_element(x, at) != 0);
  else if (x->dtype == CVL_I64)
    lua_pushinteger(L, ((const int64_t *)cvl_data(x))[at]);
  else if (cvl_dtype_floating(x->dtype))
    lua_pushnumber(L, cvl_element(x, at));
  else
    lua_pushinteger(L, (lua_Integer)cvl_element(x, at));
}

static void push_axis(lua_State *L, const cvl_tensor *x, int axis, int64_t at) {
  if (axis == x->shape.ndim) {
    push_element(L, x, at);
    return;
  }
  luaL_checkstack(L, 4, "to_table");
  lua_createtable(L, (int)(x->shape.dim[axis] < INT32_MAX ? x->shape.dim[axis] : 0), 0);
  for (int64_t i = 0; i < x->shape.dim[axis]; i++) {
    push_axis(L, x, axis + 1, at + i * x->stride[axis]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* x:to_table() -> nested tables of numbers or booleans; of a scalar, the value itself */
static int to_table(lua_State *L) {
  cvl_tensor *x = readable(L, 1);
  push_axis(L, x, 0, 0);
  return 1;
}

/* x:item() -> the one element as a number or boolean */
static int item(lua_State *L) {
  char text[CVL_SHAPE_TEXT];
  cvl_tensor *x = readable(L, 1);
  if (cvl_count(x) != 1)
    return luaL_error(L, "item: a tensor with one element expected, got %s",
                      cvl_shape_text(&x->shape, text));
  push_element(L, x, 0);
  return 1;
}

/* x:to_bytes() -> the dense elements as a string, in the machine's byte order */
static int to_bytes(lua_State *L) {
  cvl_tensor *x = readable(L, 1), **dense;
  cvl_err e = {0};
  if (!cvl_is_dense(x)) {
    dense = cvl_box(L);
    x = readable(L, 1);
    if ((x = *dense = cvl_tensor_clone(x, cvl_cpu(), &e)) == NULL)
      return cvl_raise(L, "to_bytes", &e);
  }
  lua_pushlstring(L, cvl_data(x), (size_t)cvl_count(x) * cvl_dtype_size(x->dtype));
  return 1;
}

/* x:size() -> table; x:size(axis) -> integer */
static int size(lua_State *L) {
  cvl_tensor *x = cvl_check_tensor(L, 1);
  cvl_err e = {0};
  int axis;
  if (lua_isnoneornil(L, 2)) {
    push_shape(L, &x->shape);
    return 1;
  }
  axis = cvl_axis(cvl_from_one(luaL_checkinteger(L, 2)), x->shape.ndim, "axis", &e);
  if (axis < 0) return cvl_raise(L, "size", &e);
  lua_pushinteger(L, x->shape.dim[axis]);
  return 1;
}

static int numel(lua_State *L) {
  lua_pushinteger(L, cvl_count(cvl_check_tensor(L, 1)));
  return 1;
}

static int length(lua_State *L) {
  cvl_tensor *x = cvl_check_tensor(L, 1);
  lua_pushinteger(L, x->shape.ndim > 0 ? x->shape.dim[0] : 0);
  return 1;
}

/* x:stride() -> table of element strides */
static int stride(lua_State *L) {
  cvl_tensor *x = cvl_check_tensor(L, 1);
  cvl_shape s = {.ndim = x->shape.ndim};
  memcpy(s.dim, x->stride, sizeof s.dim);
  push_shape(L, &s);
  return 1;
}

static int is_contiguous(lua_State *L) {
  lua_pushboolean(L, cvl_is_dense(cvl_check_tensor(L, 1)));
  return 1;
}

static int text(lua_State *L) {
  cvl_tensor *x = cvl_test_tensor(L, 1);
  cvl_err e = {0};
  char *s;
  if (x == NULL) {
    lua_pushliteral(L, "tensor (freed)");
    return 1;
  }
  if ((s = cvl_tensor_text(x, &e)) == NULL) return cvl_raise(L, "tostring", &e);
  lua_pushstring(
      L,
      s); /* may raise for want of memory, and then leaks this text: Lua is out of memory anyway */
  cvl_free(s);
  return 1;
}

/* ------------------------------------------------------------------------------------------------ change in place */

static int guard_in_place(lua_State *L, const cvl_tensor *x, const char *who) {
  if (x->requires_grad && cvl_grad_enabled())
    return luaL_error(
        L,
        "%s: a tensor that requires gradients cannot be changed in place; wrap the change in "
        "convlua.no_grad(function() ... end)",
        who);
  return 0;
}

extern const cvl_op cvl_op_cast, cvl_op_expand;

/* dst <- value (a tensor, broadcast and cast, or a number); index of each on the stack. */
static int assign(lua_State *L, int dst_index, int value_index, const char *who) {
  cvl_tensor *dst = cvl_check_tensor(L, dst_index), *src = NULL, **cast;
  cvl_shape shape;
  cvl_err e = {0};
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  bool grad;
  guard_in_place(L, dst, who);
  cast = cvl_box(L);
  if (lua_type(L, value_index) == LUA_TNUMBER || lua_isboolean(L, value_index)) {
    cvl_shape none = {0};
    double v = lua_isboolean(L, value_index) ? lua_toboolean(L, value_index)
                                             : lua_tonumber(L, value_index);
    src = *cast = cvl_tensor_full(&none, dst->dtype, cvl_device_of(dst), v, &e);
    if (src == NULL) return cvl_raise(L, who, &e);
  } else {
    src = cvl_check_tensor(L, value_index);
    if (src->dtype != dst->dtype ||
        src->storage == dst->storage) { /* overlapping views: through a copy */
      grad = cvl_set_grad_enabled(false);
      if (src->dtype != dst->dtype)
        cvl_apply(&cvl_op_cast, &src, 1, &(int){(int)dst->dtype}, cast, &e);
      else
        *cast = cvl_tensor_clone(src, cvl_device_of(src), &e);
      cvl_set_grad_enabled(grad);
      if ((src = *cast) == NULL) return cvl_raise(L, who, &e);
    }
  }
  if (cvl_shape_broadcast(&dst->shape, &src->shape, &shape, &e) != 0 ||
      !cvl_shape_equal(&shape, &dst->shape))
    return luaL_error(L, "%s: %s does not fit into %s", who, cvl_shape_text(&src->shape, a),
                      cvl_shape_text(&dst->shape, b));
  if (cvl_tensor_copy(dst, src, &e) != 0) return cvl_raise(L, who, &e);
  dst->storage->version++;
  lua_settop(L, -2);
  return 0;
}

static int copy_in_place(lua_State *L) {
  lua_settop(L, 2);
  assign(L, 1, 2, "copy_");
  lua_settop(L, 1);
  return 1;
}

static int fill_in_place(lua_State *L) {
  lua_settop(L, 2);
  luaL_checknumber(L, 2);
  assign(L, 1, 2, "fill_");
  lua_settop(L, 1);
  return 1;
}

static int zero_in_place(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return fill_in_place(L);
}

/* x:clone() -> a copy, dense, outside of the tape */
static int clone(lua_State *L) {
  cvl_err e = {0};
  cvl_tensor **y, *x = cvl_check_tensor(L, 1);
  y = cvl_box(L);
  x = cvl_check_tensor(L, 1);
  if ((*y = cvl_tensor_clone(x, cvl_device_of(x), &e)) == NULL) return cvl_raise(L, "clone", &e);
  cvl_collect_if_due(L);
  return 1;
}

/* x:to("float64"), x:to("cuda:0") -> x itself when nothing is to be done. Element types are recorded on the tape; moves
** between devices are not. */
static int to(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  cvl_tensor **y, *x = cvl_check_tensor(L, 1);
  cvl_device *d;
  cvl_dtype t;
  cvl_err e = {0};
  lua_settop(L, 2);
  if (cvl_dtype_parse(name, &t)) {
    lua_getfield(L, 1, "cast");
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
  }
  if ((d = cvl_device_get(name, &e)) == NULL) return cvl_raise(L, "to", &e);
  if (d == cvl_device_of(x)) {
    lua_settop(L, 1);
    return 1;
  }
  y = cvl_box(L);
  x = cvl_check_tensor(L, 1);
  if ((*y = cvl_tensor_clone(x, d, &e)) == NULL) return cvl_raise(L, "to", &e);
  (*y)->requires_grad = x->requires_grad && x->node == NULL;
  return 1;
}

/* ------------------------------------------------------------------------------------------------ fields and indices */

/* Replaces the value at the stack's top by value:method(a, b...) with `n` integers. */
static void call_method(lua_State *L, const char *method, int n, const lua_Integer *args) {
  luaL_getmetafield(L, -1, method);
  lua_insert(L, -2);
  for (int i = 0; i < n; i++) lua_pushinteger(L, args[i]);
  lua_call(L, n + 1, 1);
}

static lua_Integer whole(lua_State *L, int index, const char *what) {
  int ok;
  lua_Integer v = lua_tointegerx(L, index, &ok);
  if (!ok) luaL_error(L, "index: %s expected, got %s", what, luaL_typename(L, index));
  return v;
}

/*
** Pushes x[key]. key: an integer, which takes the axis away, or a table with one entry per axis from the first:
** an integer, {} (all of the axis), {first, last} or {first, last, step}.
*/
static void push_indexed(lua_State *L, int x, int key) {
  enum { MOST = CVL_MAX_DIM };
  lua_pushvalue(L, x);
  if (!lua_istable(L, key)) {
    call_method(L, "select", 2, (lua_Integer[]){1, whole(L, key, "integer or table")});
    return;
  }
  int n = (int)lua_rawlen(L, key), axis = 1;
  if (n > MOST) luaL_error(L, "index: at most %d axes are possible, got %d", MOST, n);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, key, i);
    if (lua_istable(L, -1)) {
      lua_Integer range[3] = {1, -1, 1};
      int parts = (int)lua_rawlen(L, -1);
      if (parts > 3)
        luaL_error(L, "index: {first, last, step} expected for axis %d, got %d values", i, parts);
      for (int k = 0; k < parts; k++) {
        lua_rawgeti(L, -1, k + 1);
        range[k] = whole(L, -1, "integer");
        lua_pop(L, 1);
      }
      if (parts == 1) range[1] = range[0];
      lua_pop(L, 1);
      if (parts > 0)
        call_method(L, "slice", 4, (lua_Integer[]){axis, range[0], range[1], range[2]});
      axis++;
    } else {
      lua_Integer at = whole(L, -1, "integer or table");
      lua_pop(L, 1);
      call_method(L, "select", 2, (lua_Integer[]){axis, at});
    }
  }
}

static int get_index(lua_State *L) {
  const char *name;
  cvl_tensor *x;
  if (lua_type(L, 2) != LUA_TSTRING) {
    cvl_check_tensor(L, 1);
    push_indexed(L, 1, 2);
    return 1;
  }
  if (luaL_getmetafield(L, 1, lua_tostring(L, 2)) != LUA_TNIL)
    return 1; /* methods: those of a freed tensor too */
  x = cvl_check_tensor(L, 1);
  name = lua_tostring(L, 2);
  if (strcmp(name, "shape") == 0)
    push_shape(L, &x->shape);
  else if (strcmp(name, "ndim") == 0)
    lua_pushinteger(L, x->shape.ndim);
  else if (strcmp(name, "dtype") == 0)
    lua_pushstring(L, cvl_dtype_name(x->dtype));
  else if (strcmp(name, "device") == 0)
    lua_pushstring(L, cvl_device_of(x)->name);
  else if (strcmp(name, "requires_grad") == 0)
    lua_pushboolean(L, x->requires_grad);
  else if (strcmp(name, "is_leaf") == 0)
    lua_pushboolean(L, x->node == NULL);
  else if (strcmp(name, "made_by") == 0)
    lua_pushstring(L, cvl_made_by(x));
  else if (strcmp(name, "grad") != 0 || x->grad == NULL)
    lua_pushnil(L);
  else
    cvl_push_tensor(L, cvl_retain(x->grad));
  return 1;
}

static int set_requires_grad(lua_State *L, cvl_tensor *x, bool wanted) {
  if (wanted && !cvl_dtype_floating(x->dtype))
    return luaL_error(L, "requires_grad: only floating tensors have gradients, got %s",
                      cvl_dtype_name(x->dtype));
  if (x->node != NULL && !wanted)
    return luaL_error(L, "requires_grad: this is the result of '%s'; use detach()", cvl_made_by(x));
  x->requires_grad = wanted;
  return 0;
}

static int set_grad(lua_State *L, cvl_tensor *x, int value) {
  cvl_tensor *g = lua_isnil(L, value) ? NULL : cvl_check_tensor(L, value), *former = x->grad;
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  if (g == x) return luaL_error(L, "grad: a tensor cannot be its own gradient");
  if (g != NULL && cvl_device_of(g) != cvl_device_of(x))
    return luaL_error(L, "grad: a tensor on device %s expected, got one on %s",
                      cvl_device_of(x)->name, cvl_device_of(g)->name);
  if (g != NULL && (!cvl_shape_equal(&g->shape, &x->shape) || g->dtype != x->dtype))
    return luaL_error(L, "grad: %s %s expected, got %s %s", cvl_dtype_name(x->dtype),
                      cvl_shape_text(&x->shape, a), cvl_dtype_name(g->dtype),
                      cvl_shape_text(&g->shape, b));
  x->grad = g != NULL ? cvl_retain(g) : NULL;
  cvl_release(former);
  return 0;
}

static int set_index(lua_State *L) {
  cvl_tensor *x = cvl_check_tensor(L, 1);
  if (lua_type(L, 2) != LUA_TSTRING) {
    guard_in_place(L, x, "index");
    push_indexed(L, 1, 2);
    assign(L, lua_gettop(L), 3, "index");
    return 0;
  }
  const char *name = lua_tostring(L, 2);
  if (strcmp(name, "requires_grad") == 0) {
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    return set_requires_grad(L, x, lua_toboolean(L, 3));
  }
  if (strcmp(name, "grad") == 0) return set_grad(L, x, 3);
  return luaL_error(
      L, "a tensor has no field '%s' that can be set; there are grad and requires_grad", name);
}

static int next_row(lua_State *L) {
  lua_Integer i = lua_tointeger(L, 2) + 1;
  cvl_tensor *x = cvl_check_tensor(L, 1);
  if (x->shape.ndim == 0 || i > x->shape.dim[0]) return 0;
  lua_pushinteger(L, i);
  lua_pushvalue(L, 1);
  call_method(L, "select", 2, (lua_Integer[]){1, i});
  return 2;
}

/* for i, row in x:rows() do ... end */
static int rows(lua_State *L) {
  cvl_check_tensor(L, 1);
  lua_pushcfunction(L, next_row);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

static int is_tensor(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, CVL_TENSOR) != NULL);
  return 1;
}

/* same(a, b): whether two handles are one tensor */
static int same(lua_State *L) {
  cvl_tensor *a = cvl_test_tensor(L, 1), *b = cvl_test_tensor(L, 2);
  lua_pushboolean(L, a != NULL && a == b);
  return 1;
}

void cvl_open_tensor(lua_State *L) {
  static const luaL_Reg methods[] = {{"to_table", to_table},
                                     {"to_bytes", to_bytes},
                                     {"item", item},
                                     {"size", size},
                                     {"numel", numel},
                                     {"stride", stride},
                                     {"is_contiguous", is_contiguous},
                                     {"copy_", copy_in_place},
                                     {"fill_", fill_in_place},
                                     {"zero_", zero_in_place},
                                     {"clone", clone},
                                     {"to", to},
                                     {"rows", rows},
                                     {"is_same", same},
                                     {"__len", length},
                                     {"__tostring", text},
                                     {"__index", get_index},
                                     {"__newindex", set_index},
                                     {NULL, NULL}};
  luaL_getmetatable(L, CVL_TENSOR);
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 1);
  lua_pushcfunction(L, is_tensor);
  lua_setfield(L, -2, "is_tensor");
}

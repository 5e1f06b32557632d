/*
** Every layer, from its descriptor: the constructors in core.layers(), and the userdata "convlua.layer".
**   layer(x, ...), layer:forward(x, ...)     layer.type, layer.options, layer.training
**   layer.filter, layer.bias, ...            parameters and buffers by name; assigning copies the values
**   layer:parameters(), layer:buffers()      lists of {name, tensor}, by name
**   layer:train(), layer:eval(), layer:to(dtype or device)
**   layer:multiply_adds(shape), layer:window()
** and core.conv_norm(conv, norm, x, residual), core.conv_pool(conv, pool, x), core.joined(part, after).
*/
#include <string.h>

#include "autograd/autograd.h"
#include "bind/check.h"
#include "bind/open.h"
#include "bind/options.h"
#include "layers/joined.h"

#define CVL_LAYER_TYPE "convlua.layer"

typedef struct {
  cvl_layer *l;   /* NULL: construction failed, or collected */
  uint64_t given; /* the options that the user wrote, for printing */
} handle;

static handle *check_handle(lua_State *L, int index) {
  handle *h = luaL_checkudata(L, index, CVL_LAYER_TYPE);
  if (h->l == NULL) luaL_argerror(L, index, "the layer has been freed");
  return h;
}

static cvl_layer *check_layer(lua_State *L, int index) { return check_handle(L, index)->l; }

static int construct(lua_State *L) {
  const cvl_layer_type *type = lua_touserdata(L, lua_upvalueindex(1));
  _Alignas(16) unsigned char options[CVL_OPTION_BYTES] = {0};
  cvl_err e = {0};
  handle *h;
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  if (!lua_istable(L, 1))
    return luaL_error(L, "%s: a table of options expected, got %s", type->name,
                      luaL_typename(L, 1));
  cvl_options_default(type->options, options);
  cvl_check_option_table(L, 1, type->name, type->options, options, NULL);
  h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (handle){.given = 0};
  luaL_setmetatable(L, CVL_LAYER_TYPE);
  h->given = cvl_options_given(L, 1, type->options);
  if ((h->l = cvl_layer_new(type, options, &e)) == NULL && e.code == CVL_ENOMEM) {
    cvl_collect_all(L);
    e = (cvl_err){0};
    h->l = cvl_layer_new(type, options, &e);
  }
  if (h->l == NULL) return cvl_raise(L, type->name, &e);
  cvl_collect_if_due(L);
  return 1;
}

/* Whether a call ran out of memory for the first time, and the garbage, collected now, may have held it. */
static bool is_worth_another(lua_State *L, int rc, int *attempts, cvl_err *e) {
  if (rc == 0 || e->code != CVL_ENOMEM || (*attempts)++ > 0) return false;
  cvl_collect_all(L);
  *e = (cvl_err){0};
  return true;
}

/* The result on top of the stack, or the error as one of the layer's. */
static int give(lua_State *L, const cvl_layer *l, int rc, cvl_err *e) {
  if (rc != 0) return cvl_raise(L, l->type->name, e);
  cvl_collect_if_due(L);
  return 1;
}

static int forward(lua_State *L) {
  cvl_layer *l = check_layer(L, 1);
  cvl_tensor *in[CVL_LAYER_INPUTS] = {NULL}, **y;
  cvl_err e = {0};
  int rc, attempts = 0, n = l->type->n_in;
  if (lua_gettop(L) > n + 1)
    return luaL_error(L, "%s: at most %d tensor%s expected, got %d values", l->type->name, n,
                      n > 1 ? "s" : "", lua_gettop(L) - 1);
  lua_settop(L, n + 1);
  for (int i = 0; i < n; i++) {
    if (i >= n - l->type->n_optional && lua_isnil(L, i + 2)) continue;
    if (cvl_test_tensor(L, i + 2) != NULL) continue;
    if (luaL_testudata(L, i + 2, CVL_TENSOR) != NULL)
      cvl_check_tensor(L, i + 2); /* says that it is freed */
    return luaL_error(L, "bad argument #%d to '%s' (tensor expected, got %s)", i + 1, l->type->name,
                      luaL_typename(L, i + 2));
  }
  y = cvl_box(L);
  do {
    for (int i = 0; i < n; i++) in[i] = cvl_test_tensor(L, i + 2);
    rc = cvl_layer_forward(l, in, y, &e);
  } while (is_worth_another(L, rc, &attempts, &e));
  return give(L, l, rc, &e);
}

/* Whether something else than forward() is done when layers are called: somebody watches (nn/trace.lua). */
static bool is_watched(lua_State *L, int index) {
  bool watched = luaL_getmetafield(L, index, "__call") == LUA_TNIL;
  if (watched) return true;
  watched = lua_tocfunction(L, -1) != forward;
  lua_pop(L, 1);
  return watched;
}

/* norm(conv(x), residual), two calls that are seen. */
static int conv_norm_watched(lua_State *L) {
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_call(L, 1, 1);
  lua_pushvalue(L, 4);
  lua_call(L, 2, 1);
  return 1;
}

/* conv_norm(conv, norm, x, residual or nil) -> norm(conv(x), residual) */
static int conv_norm(lua_State *L) {
  cvl_layer *conv = check_layer(L, 1), *norm = check_layer(L, 2);
  cvl_tensor **y, *residual;
  cvl_err e = {0};
  int rc, attempts = 0;
  lua_settop(L, 4);
  cvl_check_tensor(L, 3);
  if (!lua_isnil(L, 4)) cvl_check_tensor(L, 4);
  if (conv->type->n_in != 1 || norm->type->n_in != 2)
    return luaL_error(L, "conv_norm: a convolution and a normalization expected, got %s and %s",
                      conv->type->name, norm->type->name);
  if (is_watched(L, 1)) return conv_norm_watched(L);
  y = cvl_box(L);
  do {
    residual = lua_isnil(L, 4) ? NULL : cvl_check_tensor(L, 4);
    rc = cvl_conv_norm(conv, norm, cvl_check_tensor(L, 3), residual, y, &e);
  } while (is_worth_another(L, rc, &attempts, &e));
  return give(L, conv, rc, &e);
}

/* pool(conv(x)), two calls that are seen. */
static int conv_pool_watched(lua_State *L) {
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_call(L, 1, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* conv_pool(conv, pool, x) -> pool(conv(x)) */
static int conv_pool(lua_State *L) {
  cvl_layer *conv = check_layer(L, 1), *pool = check_layer(L, 2);
  cvl_tensor **y;
  cvl_err e = {0};
  int rc, attempts = 0;
  lua_settop(L, 3);
  cvl_check_tensor(L, 3);
  if (conv->type->n_in != 1 || pool->type->n_in != 1)
    return luaL_error(L, "conv_pool: a convolution and a pooling expected, got %s and %s",
                      conv->type->name, pool->type->name);
  if (is_watched(L, 1)) return conv_pool_watched(L);
  y = cvl_box(L);
  do {
    rc = cvl_conv_pool_layers(conv, pool, cvl_check_tensor(L, 3), y, &e);
  } while (is_worth_another(L, rc, &attempts, &e));
  return give(L, conv, rc, &e);
}

/* joined(part, after) -> conv_norm, conv_pool or nil: what takes both in one pass, if anything may */
static int joined(lua_State *L) {
  handle *part = luaL_testudata(L, 1, CVL_LAYER_TYPE),
         *after = luaL_testudata(L, 2, CVL_LAYER_TYPE);
  const cvl_layer_type *first, *second;
  if (part == NULL || part->l == NULL || after == NULL || after->l == NULL) return 0;
  first = part->l->type;
  second = after->l->type;
  if (first->forward_norm != NULL && second->statistics != NULL && !cvl_grad_enabled())
    lua_pushcfunction(L, conv_norm);
  else if (first->forward_pool != NULL && second->pooling != NULL)
    lua_pushcfunction(L, conv_pool);
  else
    return 0;
  return 1;
}

static void push_slot(lua_State *L, const cvl_slot *slot) {
  cvl_tensor **x = cvl_box(L);
  *x = cvl_retain(slot->x);
}

static int list_slots(lua_State *L, bool buffers) {
  cvl_layer *l = check_layer(L, 1);
  int n = 0;
  lua_newtable(L);
  for (int i = 0; i < l->n; i++) {
    if (l->slot[i].buffer != buffers) continue;
    lua_createtable(L, 2, 0);
    lua_pushstring(L, l->slot[i].name);
    lua_rawseti(L, -2, 1);
    push_slot(L, &l->slot[i]);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int parameters(lua_State *L) { return list_slots(L, false); }
static int buffers(lua_State *L) { return list_slots(L, true); }

static int set_training(lua_State *L, bool training) {
  check_layer(L, 1)->training = training;
  lua_settop(L, 1);
  return 1;
}

static int train(lua_State *L) {
  return set_training(L, lua_isnoneornil(L, 2) || lua_toboolean(L, 2)); /* train(false) is eval() */
}
static int eval(lua_State *L) { return set_training(L, false); }

/* layer:to("float64"), layer:to("cuda:0") -> layer. The parameters become new tensors: make the optimizer afterwards. */
static int to(lua_State *L) {
  cvl_layer *l = check_layer(L, 1);
  const char *name = luaL_checkstring(L, 2);
  cvl_device *d;
  cvl_dtype t;
  cvl_err e = {0};
  int rc;
  if (cvl_dtype_parse(name, &t))
    rc = cvl_layer_cast(l, t, &e);
  else
    rc = (d = cvl_device_get(name, &e)) == NULL ? -1 : cvl_layer_move(l, d, &e);
  if (rc != 0) return cvl_raise(L, "to", &e);
  lua_settop(L, 1);
  cvl_collect_if_due(L);
  return 1;
}

static void push_shape(lua_State *L, const cvl_shape *s) {
  lua_createtable(L, s->ndim, 0);
  for (int i = 0; i < s->ndim; i++) {
    lua_pushinteger(L, s->dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* layer:multiply_adds({N, ...}) -> shape of the result, number of multiply-adds */
static int multiply_adds(lua_State *L) {
  cvl_layer *l = check_layer(L, 1);
  cvl_shape x, y;
  int64_t count;
  cvl_err e = {0};
  luaL_checktype(L, 2, LUA_TTABLE);
  cvl_check_shape(L, 2, 2, "multiply_adds", &x);
  if (cvl_layer_cost(l, &x, &y, &count, &e) != 0) return cvl_raise(L, l->type->name, &e);
  push_shape(L, &y);
  lua_pushinteger(L, count);
  return 2;
}

static void push_sizes(lua_State *L, const cvl_window *w, const int64_t *from) {
  lua_createtable(L, w->axes, 0);
  for (int i = 0; i < w->axes; i++) {
    lua_pushinteger(L, from[CVL_MAX_SPATIAL - w->axes + i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* layer:window() -> filter sizes, strides, dilations, each per spatial axis; nil when the layer slides no window */
static int window(lua_State *L) {
  const cvl_layer *l = check_layer(L, 1);
  cvl_window w;
  if (l->type->window == NULL) {
    lua_pushnil(L);
    return 1;
  }
  l->type->window(l, &w);
  push_sizes(L, &w, w.filter);
  push_sizes(L, &w, w.stride);
  push_sizes(L, &w, w.dilation);
  return 3;
}

static int64_t parameter_count(const cvl_layer *l) {
  int64_t n = 0;
  for (int i = 0; i < l->n; i++)
    if (!l->slot[i].buffer) n += cvl_count(l->slot[i].x);
  return n;
}

static int text(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CVL_LAYER_TYPE);
  if (h->l == NULL) {
    lua_pushliteral(L, "layer (freed)");
    return 1;
  }
  lua_pushstring(L, h->l->type->name);
  cvl_push_options_text(L, h->l->type->options, h->l->options, h->given);
  lua_concat(L, 2);
  if (parameter_count(h->l) > 0) {
    lua_pushliteral(L, "  ");
    cvl_push_grouped(L, parameter_count(h->l));
    lua_pushliteral(L, " parameters");
    lua_concat(L, 4);
  }
  return 1;
}

/* upvalue 1: the methods */
static int get_field(lua_State *L) {
  cvl_layer *l = check_layer(L, 1);
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  cvl_slot *slot;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL || name == NULL) return 1;
  if (strcmp(name, "type") == 0) {
    lua_pushstring(L, l->type->name);
  } else if (strcmp(name, "training") == 0) {
    lua_pushboolean(L, l->training);
  } else if (strcmp(name, "options") == 0) {
    cvl_push_option_values(L, l->type->options, l->options);
  } else if (strcmp(name, "parameter_count") == 0) {
    lua_pushinteger(L, parameter_count(l));
  } else if ((slot = cvl_layer_slot(l, name)) != NULL) {
    push_slot(L, slot);
  }
  return 1;
}

extern const cvl_op cvl_op_cast;

/* layer.filter = tensor: the values are copied, so that optimizers and others who hold the parameter see them. */
static int set_field(lua_State *L) {
  cvl_layer *l = check_layer(L, 1);
  const char *name = luaL_checkstring(L, 2);
  cvl_slot *slot = cvl_layer_slot(l, name);
  char want[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
  cvl_tensor *x, **copy;
  cvl_err e = {0};
  bool grad;
  if (slot == NULL && strcmp(name, "training") == 0)
    return luaL_error(L, "%s: training is set by train() and eval()", l->type->name);
  if (slot == NULL)
    return luaL_error(L, "%s: there is no parameter or buffer '%s'", l->type->name, name);
  copy = cvl_box(L);
  if ((x = cvl_test_tensor(L, 3)) == NULL)
    return luaL_error(L, "%s: %s must be a tensor, got %s", l->type->name, name,
                      luaL_typename(L, 3));
  if (!cvl_shape_equal(&x->shape, &slot->x->shape))
    return luaL_error(L, "%s: %s has the shape %s, got %s", l->type->name, name,
                      cvl_shape_text(&slot->x->shape, want), cvl_shape_text(&x->shape, got));
  if (x->dtype != slot->x->dtype ||
      x->storage == slot->x->storage) { /* overlapping views: through a copy */
    grad = cvl_set_grad_enabled(false);
    if (x->dtype != slot->x->dtype)
      cvl_apply(&cvl_op_cast, &x, 1, &(int){(int)slot->x->dtype}, copy, &e);
    else
      *copy = cvl_tensor_clone(x, cvl_device_of(x), &e);
    cvl_set_grad_enabled(grad);
    if ((x = *copy) == NULL) return cvl_raise(L, l->type->name, &e);
  }
  if (cvl_tensor_copy(slot->x, x, &e) != 0) return cvl_raise(L, l->type->name, &e);
  slot->x->storage->version++;
  return 0;
}

static int collect(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CVL_LAYER_TYPE);
  cvl_layer *l = h->l;
  h->l = NULL;
  cvl_layer_free(l);
  return 0;
}

/* layers() -> list of descriptors {name, doc, n_in, options, call} */
static int layers(lua_State *L) {
  int n;
  const cvl_layer_type *const *list = cvl_layer_types(&n);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, 0, 5);
    lua_pushstring(L, list[i]->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, list[i]->doc);
    lua_setfield(L, -2, "doc");
    lua_pushinteger(L, list[i]->n_in);
    lua_setfield(L, -2, "n_in");
    cvl_push_option_list(L, list[i]->options, list[i]->option_bytes);
    lua_setfield(L, -2, "options");
    lua_pushlightuserdata(L, (void *)list[i]);
    lua_pushcclosure(L, construct, 1);
    lua_setfield(L, -2, "call");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void cvl_open_layer(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__call", forward}, {"__gc", collect}, {"__tostring", text}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"forward", forward}, {"parameters", parameters},
                                     {"buffers", buffers}, {"train", train},
                                     {"eval", eval},       {"to", to},
                                     {"window", window},   {"multiply_adds", multiply_adds},
                                     {NULL, NULL}};
  if (luaL_newmetatable(L, CVL_LAYER_TYPE)) {
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, get_field, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, set_field);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, CVL_LAYER_TYPE);
    lua_setfield(L, -2, "__metatable");
  }
  lua_getfield(L, -1, "methods");
  lua_setfield(L, -3, "layer_methods"); /* for the Lua half, which adds its own */
  lua_pop(L, 1);
  lua_pushcfunction(L, layers);
  lua_setfield(L, -2, "layers");
  lua_pushcfunction(L, conv_norm);
  lua_setfield(L, -2, "conv_norm");
  lua_pushcfunction(L, conv_pool);
  lua_setfield(L, -2, "conv_pool");
  lua_pushcfunction(L, joined);
  lua_setfield(L, -2, "joined");
}

/*
** core.autograd and the tensors' methods backward, detach, register_hook. Lua functions called during a walk run on the
** state that asked for the walk, in protected mode; their error object waits on its stack until the walk has cleaned up.
*/
#include "autograd/autograd.h"

#include "base/mem.h"
#include "bind/check.h"
#include "bind/open.h"

static _Thread_local lua_State *walking; /* the state whose backward() is running */

/* A Lua value held by the core: the main state and a reference in the registry. */
typedef struct {
  lua_State *main;
  int ref;
} held;

static held *hold(lua_State *L, int index) {
  held *h = cvl_alloc(sizeof *h);
  if (h == NULL) luaL_error(L, "out of memory");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  h->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_pushvalue(L, index);
  h->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return h;
}

static void let_go(void *context) {
  held *h = context;
  luaL_unref(h->main, LUA_REGISTRYINDEX, h->ref);
  cvl_free(h);
}

typedef struct {
  held *function;
  cvl_tensor *g, **gx;
  int n_in;
} call;

/* Runs in protected mode: function(g) -> replacement or nil. */
static int run_hook(lua_State *L) {
  call *c = lua_touserdata(L, 1);
  cvl_tensor *y;
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->function->ref);
  cvl_push_tensor(L, cvl_retain(c->g));
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1)) return 0;
  y = cvl_check_tensor(L, -1);
  if (!cvl_shape_equal(&y->shape, &c->g->shape) || y->dtype != c->g->dtype)
    return luaL_error(L, "hook: a gradient %s %s expected, got %s %s", cvl_dtype_name(c->g->dtype),
                      cvl_shape_text(&c->g->shape, a), cvl_dtype_name(y->dtype),
                      cvl_shape_text(&y->shape, b));
  cvl_release(c->g);
  c->g = cvl_retain(y);
  return 0;
}

static int protect(lua_CFunction f, call *c, cvl_err *e) {
  lua_State *L = walking;
  if (L == NULL || !lua_checkstack(L, 8))
    return cvl_fail(e, CVL_ESTATE, 0, "no Lua state to call the hook on");
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, c);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return 0;
  return cvl_fail(e, CVL_EHOOK, 0, "a Lua function failed");
}

static int hook(void *context, cvl_tensor **g, cvl_err *e) {
  call c = {.function = context, .g = *g};
  int rc = protect(run_hook, &c, e);
  *g = c.g;
  return rc;
}

/* Runs in protected mode: function(gy) -> gx1, gx2, ... */
static int run_backward(lua_State *L) {
  call *c = lua_touserdata(L, 1);
  luaL_checkstack(L, c->n_in + 2, "backward");
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->function->ref);
  cvl_push_tensor(L, cvl_retain(c->g));
  lua_call(L, 1, c->n_in);
  for (int i = 0; i < c->n_in; i++) {
    int at = 2 + i;
    if (!lua_isnil(L, at) && luaL_testudata(L, at, CVL_TENSOR) == NULL)
      return luaL_error(L, "backward: result %d: tensor or nil expected, got %s", i + 1,
                        luaL_typename(L, at));
    if (!lua_isnil(L, at)) c->gx[i] = cvl_retain(cvl_check_tensor(L, at));
  }
  return 0;
}

static int function_backward(void *context, cvl_tensor *gy, cvl_tensor **gx, int n_in, cvl_err *e) {
  call c = {.function = context, .g = gy, .gx = gx, .n_in = n_in};
  return protect(run_backward, &c, e);
}

static bool flag(lua_State *L, int table, const char *name) {
  bool set = false;
  if (lua_istable(L, table)) {
    lua_pushstring(L, name);
    lua_rawget(L, table);
    set = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return set;
}

static void check_flags(lua_State *L, int table) {
  static const cvl_option list[] = {
      {"retain_graph", CVL_OPT_BOOL, offsetof(cvl_backward_options, retain_graph), 0, CVL_ANY, NULL,
       NULL},
      {"create_graph", CVL_OPT_BOOL, offsetof(cvl_backward_options, create_graph), 0, CVL_ANY, NULL,
       NULL},
      {NULL, 0, 0, 0, 0, NULL, NULL}};
  static const char *const also[] = {"gradient", NULL};
  cvl_backward_options o;
  if (!lua_isnoneornil(L, table)) {
    luaL_checktype(L, table, LUA_TTABLE);
    cvl_check_option_table(L, table, "backward", list, &o, also);
  }
}

static int walk(lua_State *L, const char *who, cvl_tensor *root, cvl_tensor *seed, int options,
                cvl_tensor *const *targets, int n, cvl_tensor **found) {
  cvl_backward_options o = {flag(L, options, "retain_graph"), flag(L, options, "create_graph")};
  lua_State *outer = walking;
  cvl_err e = {0};
  int rc;
  lua_checkstack(L, 20);
  walking = L;
  rc = cvl_backward(root, seed, &o, targets, n, found, &e);
  walking = outer;
  return rc == 0 ? 0 : cvl_raise(L, who, &e);
}

/* x:backward(gradient, {retain_graph =, create_graph =}); the gradient may be left out for a single number */
static int backward(lua_State *L) {
  cvl_tensor *root = cvl_check_tensor(L, 1), *seed = NULL;
  lua_settop(L, 3);
  if (lua_istable(L, 2) && lua_isnil(L, 3)) {
    lua_insert(L, 2); /* options only */
  }
  if (!lua_isnil(L, 2)) seed = cvl_check_tensor(L, 2);
  check_flags(L, 3);
  /* a hook may free their handles: in boxes of their own, which an error from the walk releases, too */
  cvl_push_tensor(L, cvl_retain(root));
  if (seed != NULL) cvl_push_tensor(L, cvl_retain(seed = cvl_check_tensor(L, 2)));
  walk(L, "backward", root, seed, 3, NULL, 0, NULL);
  cvl_collect_if_due(L);
  return 0;
}

/*
** grad(y, x or {x1, x2, ...}, {gradient =, retain_graph =, create_graph =}) -> gradient, or a list of them in the order of
** the targets; nil (false in a list) where y does not depend on a target. No .grad changes.
*/
static int grad(lua_State *L) {
  cvl_tensor *root = cvl_check_tensor(L, 1), *seed = NULL, **targets, **found, **slot;
  bool one = !lua_istable(L, 2);
  int n;
  lua_settop(L, 3);
  check_flags(L, 3);
  if (one) {
    cvl_check_tensor(L, 2);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    lua_replace(L, 2);
  }
  n = (int)lua_rawlen(L, 2);
  luaL_argcheck(L, n >= 1, 2, "a tensor or a table of tensors expected");
  if (lua_istable(L, 3)) {
    lua_pushstring(L, "gradient");
    if (lua_rawget(L, 3) != LUA_TNIL) seed = cvl_check_tensor(L, -1);
  }
  targets = lua_newuserdatauv(L, (size_t)n * sizeof *targets, 0);
  found = lua_newuserdatauv(L, (size_t)n * sizeof *found, 0);
  lua_createtable(L, n, 0); /* boxes for the results, made beforehand */
  int result = lua_gettop(L);
  for (int i = 0; i < n; i++) {
    cvl_box(L);
    lua_rawseti(L, result, i + 1);
  }
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 2, i + 1);
    targets[i] = cvl_check_tensor(L, -1);
    if (!targets[i]->requires_grad)
      return luaL_error(L, "grad: target %d does not require gradients", i + 1);
    lua_pop(L, 1);
  }
  root = cvl_check_tensor(L, 1);
  walk(L, "grad", root, seed, 3, targets, n, found);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, result, i + 1);
    slot = lua_touserdata(L, -1);
    *slot = found[i];
    lua_pop(L, 1);
    if (found[i] == NULL) {
      lua_pushboolean(L, 0);
      lua_rawseti(L, result, i + 1);
    }
  }
  if (!one) return 1;
  if (found[0] == NULL)
    lua_pushnil(L);
  else
    lua_rawgeti(L, result, 1);
  return 1;
}

/* x:detach() -> the same memory, outside of the tape */
static int detach(lua_State *L) {
  cvl_err e = {0};
  cvl_tensor **y, *x;
  cvl_check_tensor(L, 1);
  y = cvl_box(L);
  x = cvl_check_tensor(L, 1);
  if ((*y = cvl_tensor_alias(x, &e)) == NULL) return cvl_raise(L, "detach", &e);
  return 1;
}

/* x:register_hook(function(g) ... end): called with each gradient of x; a tensor it returns takes the gradient's place */
static int register_hook(lua_State *L) {
  cvl_err e = {0};
  cvl_tensor *x = cvl_check_tensor(L, 1);
  held *h;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  h = hold(L, 2);
  x = cvl_check_tensor(L, 1);
  if (cvl_add_hook(x, h, hook, let_go, &e) != 0) return cvl_raise(L, "register_hook", &e);
  return 0;
}

/* record(name, {inputs}, y, backward): hangs y, a fresh result, on the tape; backward(gy) returns one gradient per input */
static int record(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  cvl_tensor *y = cvl_check_tensor(L, 3), **in;
  cvl_err e = {0};
  bool wanted = false;
  int n;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  n = (int)lua_rawlen(L, 2);
  luaL_argcheck(L, n >= 1 && n <= CVL_MAX_INPUTS, 2, "a table of tensors expected");
  luaL_argcheck(L, y->node == NULL && !y->requires_grad, 3,
                "a result that is not on the tape yet expected");
  luaL_argcheck(L, cvl_dtype_floating(y->dtype), 3, "a floating result expected");
  in = lua_newuserdatauv(L, (size_t)n * sizeof *in, 0);
  held *h = NULL;
  h = hold(L, 4);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 2, i + 1);
    in[i] = cvl_test_tensor(L, -1);
    lua_pop(L, 1);
    if (in[i] == NULL) {
      let_go(h);
      return luaL_error(L, "record: input %d: live tensor expected", i + 1);
    }
    if (in[i]->requires_grad) wanted = true;
  }
  if (!wanted || !cvl_grad_enabled()) {
    let_go(h);
  } else {
    cvl_function f = {.name = "autograd.Function",
                      .context = h,
                      .backward = function_backward,
                      .release = let_go};
    (void)name;
    if (cvl_record(&f, in, n, y, &e) != 0) return cvl_raise(L, "record", &e);
  }
  lua_settop(L, 3);
  return 1;
}

static int call_with(lua_State *L, bool enabled) {
  bool former;
  int status;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  former = cvl_set_grad_enabled(enabled);
  status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  cvl_set_grad_enabled(former);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* no_grad(f, ...), with_grad(f, ...) -> what f returns */
static int no_grad(lua_State *L) { return call_with(L, false); }
static int with_grad(lua_State *L) { return call_with(L, true); }

static int enabled(lua_State *L) {
  lua_pushboolean(L, cvl_grad_enabled());
  return 1;
}

/* precision() -> name; precision(name, f, ...) -> what f returns */
static int precision(lua_State *L) {
  cvl_precision p, former;
  const char *name;
  int status;
  if (lua_isnoneornil(L, 1)) {
    lua_pushstring(L, cvl_precision_name(cvl_precision_used()));
    return 1;
  }
  name = luaL_checkstring(L, 1);
  if (!cvl_precision_parse(name, &p))
    return luaL_argerror(
        L, 1,
        lua_pushfstring(L, "'float32', 'bf16', 'bf16-full' or 'f16' expected, got '%s'", name));
  luaL_checktype(L, 2, LUA_TFUNCTION);
  former = cvl_set_precision(p);
  status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  cvl_set_precision(former);
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

void cvl_open_autograd(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"backward", backward}, {"detach", detach}, {"register_hook", register_hook}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"grad", grad},       {"record", record},
                                       {"no_grad", no_grad}, {"with_grad", with_grad},
                                       {"enabled", enabled}, {"precision", precision},
                                       {NULL, NULL}};
  luaL_getmetatable(L, CVL_TENSOR);
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "autograd");
}

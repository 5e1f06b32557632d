/*
** Every op, from its descriptor: the function convlua.<name>, the method tensor:<name>, and the list convlua.core.ops().
*/
#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "base/mem.h"
#include "bind/check.h"
#include "bind/open.h"
#include "bind/options.h"
#include "ops/call.h"

/* The type that a Lua number takes beside tensors of type t. */
static cvl_dtype weak_type(lua_State *L, int index, cvl_dtype t) {
  if (cvl_dtype_floating(t)) return t;
  if (lua_isinteger(L, index)) return t == CVL_BOOL ? CVL_I32 : t;
  return CVL_F32;
}

enum { FEW = 8 };

typedef struct {
  const cvl_op *op;
  int n;
  cvl_tensor **in;                  /* borrowed, but for those in `made` */
  cvl_tensor *few[FEW], *made[FEW]; /* made[i]: converted from a Lua value, owned */
} inputs;

/* The types of the inputs are checked here, where an error may still be raised. */
static void check_inputs(lua_State *L, const cvl_op *op) {
  for (int i = 1; i <= op->n_in; i++) {
    bool number = op->promotes && lua_type(L, i) == LUA_TNUMBER;
    bool absent = i > op->n_in - op->n_optional && lua_isnoneornil(L, i);
    if (number || absent || cvl_test_tensor(L, i) != NULL) continue;
    if (luaL_testudata(L, i, CVL_TENSOR) != NULL)
      cvl_check_tensor(L, i); /* says that it is freed */
    luaL_error(L, "bad argument #%d to '%s' (%s expected, got %s)", i, op->name,
               op->promotes ? "tensor or number" : "tensor", luaL_typename(L, i));
  }
}

static cvl_tensor *number_tensor(lua_State *L, int index, cvl_dtype t, cvl_device *d, cvl_err *e) {
  const cvl_shape none = {0};
  const double v = lua_tonumber(L, index);
  cvl_tensor *x, *there;
  /* Of the integers a double has not all. */
  if (t != CVL_I64 || fabs(v) < 0x1p53) return cvl_tensor_full(&none, t, d, v, e);
  if ((x = cvl_tensor_new(&none, t, NULL, e)) == NULL) return NULL;
  *(int64_t *)cvl_data(x) = lua_tointeger(L, index);
  if (d == cvl_cpu()) return x;
  there = cvl_tensor_clone(x, d, e);
  cvl_release(x);
  return there;
}

/* Positions as Lua counts them, from 1 or from the end, become the core's; on the CPU. */
static cvl_tensor *positions_from_one(cvl_tensor *x, int arg, cvl_err *e) {
  cvl_tensor *y;
  int64_t *p;
  if (x->dtype != CVL_I64 && x->dtype != CVL_I32 && x->dtype != CVL_U8) {
    cvl_fail(e, CVL_EDTYPE, arg, "positions must be integers, got %s", cvl_dtype_name(x->dtype));
    return NULL;
  }
  if (x->dtype == CVL_I64) {
    y = cvl_tensor_clone(x, cvl_cpu(), e);
  } else if ((y = cvl_tensor_new(&x->shape, CVL_I64, NULL, e)) != NULL) {
    cvl_tensor *dense = cvl_tensor_clone(x, cvl_cpu(), e);
    for (int64_t i = 0, n = cvl_count(x); dense != NULL && i < n; i++)
      ((int64_t *)cvl_data(y))[i] = (int64_t)cvl_element(dense, i);
    if (dense == NULL) {
      cvl_release(y);
      y = NULL;
    }
    cvl_release(dense);
  }
  if (y == NULL) return NULL;
  p = cvl_data(y);
  for (int64_t i = 0, n = cvl_count(y); i < n; i++) {
    if (p[i] == 0) {
      cvl_fail(e, CVL_EARG, arg, "element %lld is 0: positions and labels start at 1",
               (long long)i + 1);
      cvl_release(y);
      return NULL;
    }
    p[i] = cvl_from_one(p[i]);
  }
  return y;
}

/* In a recording, where nobody may look: for ops that make NaN of negative positions, the others look themselves. */
static cvl_tensor *positions_unseen(cvl_tensor *x, cvl_err *e) {
  cvl_scope s;
  cvl_tensor *y;
  cvl_scope_init(&s, e);
  y = cvl_add_scalar(&s, cvl_cast(&s, x, CVL_I64), -1);
  if (y != NULL) cvl_retain(y);
  cvl_scope_end(&s);
  return y;
}

/* The same on x's device. Every one is looked at here, which a device is waited for. */
static cvl_tensor *positions_to_core(cvl_tensor *x, int arg, cvl_err *e) {
  cvl_tensor *y, *there;
  if (cvl_device_of(x)->recording != NULL && !cvl_dtype_floating(x->dtype))
    return positions_unseen(x, e);
  y = positions_from_one(x, arg, e);
  if (y == NULL || cvl_device_of(x) == cvl_cpu()) return y;
  there = cvl_tensor_clone(y, cvl_device_of(x), e);
  cvl_release(y);
  return there;
}

/* From here until the core returns, no Lua runs. */
static int borrow(lua_State *L, inputs *b, cvl_err *e) {
  const cvl_op *op = b->op;
  const cvl_tensor *like = NULL; /* what Lua numbers take their type from */
  for (int i = b->n - 1; i >= 0; i--)
    if ((b->in[i] = cvl_test_tensor(L, i + 1)) != NULL &&
        (like == NULL || !(op->unpromoted >> i & 1)))
      like = b->in[i];
  for (int i = 0; i < b->n && i < FEW; i++) {
    if (b->in[i] == NULL && lua_type(L, i + 1) == LUA_TNUMBER) {
      cvl_dtype t = weak_type(L, i + 1, like != NULL ? like->dtype : CVL_F32);
      b->made[i] = number_tensor(L, i + 1, t, like != NULL ? cvl_device_of(like) : cvl_cpu(), e);
    } else if (b->in[i] != NULL && (op->position_in >> i & 1) &&
               !cvl_dtype_floating(b->in[i]->dtype)) {
      b->made[i] = positions_to_core(b->in[i], i + 1, e);
    } else {
      continue;
    }
    if ((b->in[i] = b->made[i]) == NULL) return -1;
  }
  return 0;
}

static void give_back(inputs *b) {
  for (int i = 0; i < FEW; i++) {
    cvl_release(b->made[i]);
    b->made[i] = NULL;
  }
}

/* The core's positions become Lua's, in place. */
static int positions_to_lua(cvl_tensor *y, cvl_err *e) {
  const cvl_shape none = {0};
  cvl_tensor *one;
  int rc;
  if (cvl_device_of(y)->host_visible) {
    int64_t *p = cvl_data(y);
    for (int64_t i = 0, n = cvl_count(y); i < n; i++) p[i]++;
    return 0;
  }
  if ((one = cvl_tensor_full(&none, y->dtype, cvl_device_of(y), 1, e)) == NULL) return -1;
  rc = cvl_accumulate(y, one, e);
  cvl_release(one);
  return rc;
}

/* A table of tensors, copied to the stack's userdata below the options; returns how many. */
static int check_list(lua_State *L, const cvl_op *op) {
  lua_Integer n;
  if (!lua_istable(L, 1))
    return luaL_error(L, "bad argument #1 to '%s' (table of tensors expected, got %s)", op->name,
                      luaL_typename(L, 1));
  n = (lua_Integer)lua_rawlen(L, 1);
  if (n < 1 || n > CVL_MAX_INPUTS)
    return luaL_error(L, "bad argument #1 to '%s' (1 to %d tensors expected, got %I)", op->name,
                      CVL_MAX_INPUTS, (LUAI_UACINT)n);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    if (cvl_test_tensor(L, -1) == NULL)
      return luaL_error(L, "bad argument #1 to '%s' (element %I: live tensor expected, got %s)",
                        op->name, (LUAI_UACINT)i, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return (int)n;
}

static int borrow_list(lua_State *L, inputs *b) {
  for (int i = 0; i < b->n; i++) {
    lua_rawgeti(L, 1, i + 1);
    b->in[i] = cvl_test_tensor(L, -1); /* the table keeps it alive */
    lua_pop(L, 1);
  }
  return 0;
}

static int call_op(lua_State *L) {
  const cvl_op *op = lua_touserdata(L, lua_upvalueindex(1));
  _Alignas(16) unsigned char options[CVL_OPTION_BYTES];
  inputs b = {.op = op, .n = op->n_in, .in = b.few};
  cvl_err e = {0};
  cvl_tensor **y;
  int rc;
  if (lua_toboolean(L, lua_upvalueindex(2)))
    lua_settop(L, 1); /* Lua calls __unm with the operand twice */
  if (op->list) {
    b.n = check_list(L, op);
  } else {
    check_inputs(L, op);
  }
  cvl_check_options(L, (op->list ? 1 : op->n_in) + 1, op->name, op->options, op->option_bytes,
                    options);
  if (b.n > FEW) b.in = lua_newuserdatauv(L, (size_t)b.n * sizeof *b.in, 0);
  y = cvl_box(L);
  for (int attempt = 0;; attempt++) {
    rc = op->list ? borrow_list(L, &b) : borrow(L, &b, &e);
    if (rc == 0) rc = cvl_apply(op, b.in, b.n, options, y, &e);
    if (rc == 0 && op->positions) rc = positions_to_lua(*y, &e);
    give_back(&b);
    if (rc == 0 || e.code != CVL_ENOMEM || attempt > 0) break;
    cvl_collect_all(L);
    e = (cvl_err){0};
  }
  if (rc != 0) return cvl_raise(L, op->name, &e);
  cvl_collect_if_due(L);
  return 1;
}

static void push_call(lua_State *L, const cvl_op *op, bool first_only) {
  lua_pushlightuserdata(L, (void *)op);
  lua_pushboolean(L, first_only);
  lua_pushcclosure(L, call_op, 2);
}

static void push_op(lua_State *L, const cvl_op *op) {
  lua_createtable(L, 0, 12);
  lua_pushstring(L, op->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, op->doc);
  lua_setfield(L, -2, "doc");
  lua_pushinteger(L, op->n_in);
  lua_setfield(L, -2, "n_in");
  lua_pushboolean(L, op->internal);
  lua_setfield(L, -2, "internal");
  lua_pushboolean(L, op->list);
  lua_setfield(L, -2, "list");
  lua_pushboolean(L, op->vjp != NULL);
  lua_setfield(L, -2, "has_vjp");
  lua_pushboolean(L, op->compose != NULL);
  lua_setfield(L, -2, "composed");
  cvl_push_option_list(L, op->options, op->option_bytes);
  lua_setfield(L, -2, "options");
  lua_newtable(L);
  for (int i = 0; op->samples != NULL && op->samples[i] != NULL; i++) {
    lua_pushstring(L, op->samples[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "samples");
  lua_newtable(L);
  for (int i = 0; op->rejects != NULL && op->rejects[i].call != NULL; i++) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, op->rejects[i].call);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, op->rejects[i].message);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "rejects");
}

/* ops() -> list of descriptors {name, doc, n_in, internal, options, samples, rejects, call}; an internal op has
** `call` only for its samples' sake: without any it trusts the gradient that calls it, and stays out of reach. */
static int ops(lua_State *L) {
  int n;
  const cvl_op *const *list = cvl_ops(&n);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    push_op(L, list[i]);
    if (!list[i]->internal || list[i]->samples != NULL) {
      push_call(L, list[i], false);
      lua_setfield(L, -2, "call");
    }
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* x < y, x <= y, x > y, x >= y: Lua would make one true or false of whatever this returned. */
static int refuse_order(lua_State *L) {
  return luaL_error(
      L, "<, <=, > and >= do not compare tensors: write x:lt(y), x:le(y), x:gt(y), x:ge(y), which "
         "compare element by element");
}

void cvl_open_op(lua_State *L) {
  static const struct {
    const char *event, *op;
  } operators[] = {{"__add", "add"}, {"__sub", "sub"}, {"__mul", "mul"}, {"__div", "div"},
                   {"__pow", "pow"}, {"__mod", "mod"}, {"__unm", "neg"}};
  int n, module = lua_gettop(L);
  const cvl_op *const *list = cvl_ops(&n);
  luaL_getmetatable(L, CVL_TENSOR);
  for (int i = 0; i < n; i++) {
    if (list[i]->internal) continue;
    push_call(L, list[i], false);
    lua_pushvalue(L, -1);
    lua_setfield(L, module, list[i]->name);
    for (size_t k = 0; k < sizeof operators / sizeof operators[0]; k++)
      if (strcmp(operators[k].op, list[i]->name) == 0) {
        push_call(L, list[i], list[i]->n_in == 1);
        lua_setfield(L, -3, operators[k].event);
      }
    if (list[i]->list)
      lua_pop(L, 1);
    else
      lua_setfield(L, -2, list[i]->name);
  }
  lua_pushcfunction(L, refuse_order);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__lt");
  lua_setfield(L, -2, "__le");
  lua_pop(L, 1);
  lua_pushcfunction(L, ops);
  lua_setfield(L, module, "ops");
}

/*
** core.optimizer{kind = "SGD", parameters = {tensor, ...}, groups = {{parameters = {...}, learning_rate =, weight_decay =},
** ...}, ...} -> userdata "convlua.optimizer"; the other options are the kind's own.
**   o:step()                   one update of every parameter that has a gradient
**   o:zero_grad()              forgets the gradients
**   o:gradient_norm()          of all of them together
**   o:first_non_finite()       number of the first parameter with NaN or infinity in its gradient, or nil
**   o:state(), o:load_state()  name -> tensor: "velocity.1", ..., and "step"
**   o.kind, o.step_count, o.parameter_count, o.learning_rate and the other options, which can be assigned
** Parameters are numbered as they are listed, those of the groups after the others. A group's learning_rate is kept as a
** factor of the optimizer's: assigning o.learning_rate, as schedules do, moves all groups.
*/
#include <string.h>

#include "bind/check.h"
#include "bind/open.h"
#include "bind/options.h"
#include "optim/optim.h"

#define CVL_OPTIMIZER "convlua.optimizer"

typedef struct {
  cvl_optimizer *o; /* NULL: construction failed, or collected */
  uint64_t given;   /* the options that the user wrote, for printing */
} handle;

static cvl_optimizer *check_optimizer(lua_State *L, int index) {
  handle *h = luaL_checkudata(L, index, CVL_OPTIMIZER);
  if (h->o == NULL) luaL_argerror(L, index, "the optimizer has been freed");
  return h->o;
}

/* --------------------------------------------------------------------------------------------------- construction */

static const cvl_optim_type *check_kind(lua_State *L) {
  int n;
  const cvl_optim_type *const *types = cvl_optim_types(&n);
  const char *kind;
  lua_getfield(L, 1, "kind");
  kind = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
  for (int i = 0; i < n; i++)
    if (strcmp(types[i]->name, kind) == 0) {
      lua_pop(L, 1);
      return types[i];
    }
  lua_pushliteral(L, "");
  for (int i = 0; i < n; i++) {
    lua_pushfstring(L, "%s%s", i > 0 ? ", " : "", types[i]->name);
    lua_concat(L, 2);
  }
  luaL_error(L, "optimizer: kind must be one of %s, got %s", lua_tostring(L, -1), kind);
  return NULL;
}

/* The list of tensors on top of the stack stays there; returns how many. */
static int check_parameters(lua_State *L, const char *who, const char *what) {
  int n;
  if (!lua_istable(L, -1))
    luaL_error(L, "%s: %s must be a list of tensors, got %s", who, what, luaL_typename(L, -1));
  n = (int)lua_rawlen(L, -1);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    if (cvl_test_tensor(L, -1) == NULL)
      luaL_error(L, "%s: element %d of %s must be a live tensor, got %s", who, i, what,
                 luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return n;
}

/* A number of a group, or -1. The group is on top of the stack. */
static double group_number(lua_State *L, const char *who, int group, const char *name) {
  double v = -1;
  lua_pushstring(L, name);
  if (lua_rawget(L, -2) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER || !((v = lua_tonumber(L, -1)) >= 0))
      luaL_error(L, "%s: %s of group %d must be a number, 0 or more", who, name, group);
  }
  lua_pop(L, 1);
  return v;
}

static void check_group_keys(lua_State *L, const char *who, int group) {
  static const char *const keys[] = {"parameters", "learning_rate", "weight_decay"};
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
    if (strcmp(name, keys[0]) != 0 && strcmp(name, keys[1]) != 0 && strcmp(name, keys[2]) != 0)
      luaL_error(
          L, "%s: unknown key '%s' in group %d; there are parameters, learning_rate, weight_decay",
          who, name, group);
    lua_pop(L, 1);
  }
}

typedef struct {
  const char *who;
  double learning_rate; /* of the optimizer */
  int lists,
      groups; /* stack indices: of the table of lists of parameters, and of the table of groups or nil */
  int n_lists, n; /* lists, parameters in all */
} plan;

/* Everything that may raise: afterwards list i of the table at p->lists is {parameters, lr factor, weight decay}. */
static void check_lists(lua_State *L, plan *p) {
  lua_newtable(L);
  p->lists = lua_gettop(L);
  lua_getfield(L, 1, "groups");
  p->groups = lua_gettop(L);
  if (!lua_isnil(L, -1) && !lua_istable(L, -1))
    luaL_error(L, "%s: groups must be a list of tables, got %s", p->who, luaL_typename(L, -1));
  for (int i = 0; i == 0 || (lua_istable(L, p->groups) && i <= (int)lua_rawlen(L, p->groups));
       i++) {
    double lr = -1, weight_decay = -1;
    lua_createtable(L, 3, 0);
    if (i == 0) {
      lua_getfield(L, 1, "parameters");
      if (lua_isnil(L, -1) && lua_istable(L, p->groups)) { /* all of them are in groups */
        lua_newtable(L);
        lua_replace(L, -2);
      }
    } else {
      lua_rawgeti(L, p->groups, i);
      if (!lua_istable(L, -1))
        luaL_error(L, "%s: group %d must be a table, got %s", p->who, i, luaL_typename(L, -1));
      check_group_keys(L, p->who, i);
      lr = group_number(L, p->who, i, "learning_rate");
      weight_decay = group_number(L, p->who, i, "weight_decay");
      if (lr >= 0 && p->learning_rate == 0)
        luaL_error(L, "%s: a group's learning_rate needs the optimizer's to be above 0", p->who);
      lua_pushliteral(L, "parameters");
      lua_rawget(L, -2);
      lua_replace(L, -2);
    }
    p->n += check_parameters(L, p->who, i == 0 ? "parameters" : "a group's parameters");
    lua_rawseti(L, -2, 1);
    lua_pushnumber(L, lr >= 0 ? lr / p->learning_rate : 1);
    lua_rawseti(L, -2, 2);
    lua_pushnumber(L, weight_decay);
    lua_rawseti(L, -2, 3);
    lua_rawseti(L, p->lists, ++p->n_lists);
  }
  if (p->n == 0) luaL_error(L, "%s: there are no parameters", p->who);
}

/* Raw reads only: nothing here raises or runs Lua. */
static int add_all(lua_State *L, const plan *p, cvl_optimizer *o, cvl_err *e) {
  int top = lua_gettop(L);
  for (int i = 1; i <= p->n_lists; i++) {
    double factor, weight_decay;
    lua_rawgeti(L, p->lists, i);
    lua_rawgeti(L, -1, 2);
    lua_rawgeti(L, -2, 3);
    factor = lua_tonumber(L, -2);
    weight_decay = lua_tonumber(L, -1);
    lua_rawgeti(L, -3, 1);
    for (int k = 1, n = (int)lua_rawlen(L, -1); k <= n; k++) {
      int rc;
      lua_rawgeti(L, -1, k);
      rc = cvl_optimizer_add(o, cvl_test_tensor(L, -1), factor, weight_decay, e);
      lua_pop(L, 1);
      if (rc != 0) {
        lua_settop(L, top);
        return -1;
      }
    }
    lua_settop(L, top);
  }
  return 0;
}

static int construct(lua_State *L) {
  static const char *const also[] = {"kind", "parameters", "groups", NULL};
  _Alignas(16) unsigned char options[CVL_OPTION_BYTES] = {0};
  const cvl_optim_type *type;
  plan p = {0};
  cvl_err e = {0};
  handle *h;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 16, "optimizer");
  type = check_kind(L);
  p.who = type->name;
  cvl_options_default(type->options, options);
  cvl_check_option_table(L, 1, type->name, type->options, options, also);
  p.learning_rate = ((const cvl_optim_options *)options)->learning_rate;
  h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (handle){.given = 0};
  luaL_setmetatable(L, CVL_OPTIMIZER);
  h->given = cvl_options_given(L, 1, type->options);
  check_lists(L, &p);
  for (int attempt = 0; attempt < 2; attempt++) {
    e = (cvl_err){0};
    if ((h->o = cvl_optimizer_new(type, options, p.n, &e)) != NULL && add_all(L, &p, h->o, &e) == 0)
      break;
    cvl_optimizer_free(h->o);
    h->o = NULL;
    if (e.code != CVL_ENOMEM) break;
    cvl_collect_all(L);
  }
  if (h->o == NULL) return cvl_raise(L, type->name, &e);
  lua_settop(L, 2);
  cvl_collect_if_due(L);
  return 1;
}

/* --------------------------------------------------------------------------------------------------------- methods */

static int step(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  cvl_err e = {0};
  if (cvl_optimizer_step(o, &e) == 0) return 0;
  if (e.code == CVL_ENOMEM) { /* nothing has changed yet */
    cvl_collect_all(L);
    e = (cvl_err){0};
    if (cvl_optimizer_step(o, &e) == 0) return 0;
  }
  return cvl_raise(L, o->type->name, &e);
}

static int zero_grad(lua_State *L) {
  cvl_optimizer_zero_grad(check_optimizer(L, 1));
  return 0;
}

static int gradient_norm(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  cvl_err e = {0};
  double norm;
  if (cvl_optimizer_inspect(o, &norm, NULL, &e) != 0) return cvl_raise(L, o->type->name, &e);
  lua_pushnumber(L, norm);
  return 1;
}

static int first_non_finite(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  cvl_err e = {0};
  int bad;
  if (cvl_optimizer_inspect(o, NULL, &bad, &e) != 0) return cvl_raise(L, o->type->name, &e);
  if (bad < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, bad + 1);
  return 1;
}

/* o:state() -> table of tensors: the states themselves, not copies, and the number of steps done */
static int state(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  cvl_shape none = {0};
  cvl_tensor **box;
  cvl_err e = {0};
  lua_newtable(L);
  box = cvl_box(L);
  if ((*box = cvl_tensor_new(&none, CVL_I64, NULL, &e)) == NULL) return cvl_raise(L, "state", &e);
  *(int64_t *)cvl_data(*box) = o->step;
  lua_setfield(L, -2, "step");
  for (int i = 0; i < o->n; i++)
    for (int k = 0; k < o->states; k++) {
      lua_pushfstring(L, "%s.%d", o->type->state[k], i + 1);
      box = cvl_box(L);
      *box = cvl_retain(o->slot[i].state[k]);
      lua_rawset(L, -3);
    }
  return 1;
}

/* One value of the table at index 2 fits its place in the state, or an error. */
static void check_state(lua_State *L, const cvl_optimizer *o, const char *name,
                        const cvl_tensor *want) {
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  const cvl_tensor *x;
  lua_pushstring(L, name);
  lua_rawget(L, 2);
  x = cvl_test_tensor(L, -1);
  if (x == NULL)
    luaL_error(L, "%s: the state has no tensor '%s', got %s", o->type->name, name,
               luaL_typename(L, -1));
  if (x->dtype != want->dtype || !cvl_shape_equal(&x->shape, &want->shape))
    luaL_error(L, "%s: state '%s' must be %s %s, got %s %s", o->type->name, name,
               cvl_dtype_name(want->dtype), cvl_shape_text(&want->shape, a),
               cvl_dtype_name(x->dtype), cvl_shape_text(&x->shape, b));
  lua_pop(L, 1);
}

/* o:load_state(table): everything is checked first, so that an error leaves the state as it was */
static int load_state(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  const cvl_tensor number = {.dtype = CVL_I64};
  cvl_tensor *count;
  int64_t step_count;
  int entries = 0;
  cvl_err e = {0};
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  check_state(L, o, "step", &number);
  lua_pushliteral(L, "step");
  lua_rawget(L, 2);
  count = cvl_tensor_on_host(cvl_test_tensor(L, -1), &e);
  if (count == NULL) return cvl_raise(L, o->type->name, &e);
  step_count = *(const int64_t *)cvl_data(count);
  cvl_release(count);
  if (step_count < 0) return luaL_error(L, "%s: the state's step is negative", o->type->name);
  lua_settop(L, 2);
  for (int i = 0; i < o->n; i++)
    for (int k = 0; k < o->states; k++) {
      check_state(L, o, lua_pushfstring(L, "%s.%d", o->type->state[k], i + 1), o->slot[i].state[k]);
      lua_settop(L, 2);
    }
  lua_pushnil(L);
  for (; lua_next(L, 2) != 0; entries++) lua_pop(L, 1);
  if (entries != o->n * o->states + 1)
    return luaL_error(L, "%s: the state has %d entries, %d are expected: it is another optimizer's",
                      o->type->name, entries, o->n * o->states + 1);
  for (int i = 0; i < o->n; i++)
    for (int k = 0; k < o->states; k++) {
      lua_pushfstring(L, "%s.%d", o->type->state[k], i + 1);
      lua_rawget(L, 2);
      if (cvl_tensor_copy(o->slot[i].state[k], cvl_test_tensor(L, -1), &e) != 0)
        return cvl_raise(L, o->type->name, &e);
      lua_settop(L, 2);
    }
  o->step = step_count;
  return 0;
}

/* ---------------------------------------------------------------------------------------------------------- fields */

static const cvl_option *option_named(const cvl_optimizer *o, const char *name) {
  for (const cvl_option *p = o->type->options; p->name != NULL; p++)
    if (strcmp(p->name, name) == 0) return p;
  return NULL;
}

/* upvalue 1: the methods */
static int get_field(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  const cvl_option *option;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL || name == NULL) return 1;
  if (strcmp(name, "kind") == 0)
    lua_pushstring(L, o->type->name);
  else if (strcmp(name, "step_count") == 0)
    lua_pushinteger(L, o->step);
  else if (strcmp(name, "parameter_count") == 0)
    lua_pushinteger(L, o->n);
  else if ((option = option_named(o, name)) != NULL)
    cvl_push_option(L, option, o->options);
  return 1;
}

/* The value is read as in the constructor; when it does not fit the other options, they stay as they were. */
static int set_field(lua_State *L) {
  cvl_optimizer *o = check_optimizer(L, 1);
  _Alignas(16) unsigned char changed[CVL_OPTION_BYTES], former[CVL_OPTION_BYTES];
  cvl_err e = {0};
  lua_settop(L, 3);
  luaL_checkstring(L, 2);
  luaL_checkany(L, 3);
  if (lua_isnil(L, 3))
    return luaL_error(L, "%s: %s cannot be nil", o->type->name, lua_tostring(L, 2));
  memcpy(changed, o->options, o->type->option_bytes);
  lua_newtable(L);
  lua_insert(L, 2);
  lua_rawset(L, 2);
  cvl_check_option_table(L, 2, o->type->name, o->type->options, changed, NULL);
  memcpy(former, o->options, o->type->option_bytes);
  memcpy(o->options, changed, o->type->option_bytes);
  if (cvl_optimizer_check(o, &e) == 0) return 0;
  memcpy(o->options, former, o->type->option_bytes);
  return cvl_raise(L, o->type->name, &e);
}

static int text(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CVL_OPTIMIZER);
  int64_t count = 0;
  if (h->o == NULL) {
    lua_pushliteral(L, "optimizer (freed)");
    return 1;
  }
  for (int i = 0; i < h->o->n; i++) count += cvl_count(h->o->slot[i].w);
  lua_pushstring(L, h->o->type->name);
  cvl_push_options_text(L, h->o->type->options, h->o->options, h->given);
  lua_pushfstring(L, "  step %I, ", (LUAI_UACINT)h->o->step);
  cvl_push_grouped(L, count);
  lua_pushfstring(L, " parameters in %d tensors", h->o->n);
  lua_concat(L, 5);
  return 1;
}

static int collect(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CVL_OPTIMIZER);
  cvl_optimizer *o = h->o;
  h->o = NULL;
  cvl_optimizer_free(o);
  return 0;
}

/* optimizers() -> list of descriptors {name, doc, options} */
static int optimizers(lua_State *L) {
  int n;
  const cvl_optim_type *const *list = cvl_optim_types(&n);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, list[i]->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, list[i]->doc);
    lua_setfield(L, -2, "doc");
    cvl_push_option_list(L, list[i]->options, list[i]->option_bytes);
    lua_setfield(L, -2, "options");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void cvl_open_optim(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", collect}, {"__tostring", text}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"step", step},
                                     {"zero_grad", zero_grad},
                                     {"gradient_norm", gradient_norm},
                                     {"first_non_finite", first_non_finite},
                                     {"state", state},
                                     {"load_state", load_state},
                                     {NULL, NULL}};
  if (luaL_newmetatable(L, CVL_OPTIMIZER)) {
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, get_field, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, set_field);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, CVL_OPTIMIZER);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  lua_pushcfunction(L, construct);
  lua_setfield(L, -2, "optimizer");
  lua_pushcfunction(L, optimizers);
  lua_setfield(L, -2, "optimizers");
}

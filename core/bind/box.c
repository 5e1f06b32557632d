#include "bind/box.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "device/cache.h"
#include "kernels/scratch.h"

typedef struct box box;
struct box {
  cvl_tensor *x;    /* NULL: empty or freed */
  const void *mark; /* &mark: tells a box from any other userdata without a look at its metatable */
  box *next, **link; /* in the list of the scope that will free it; link == NULL: in none */
  int depth;         /* of that scope, from 1 */
};

static const char mark; /* its address is nobody else's; also the metatable's key in the registry */

/* Scopes nest; the boxes born in one are freed when it ends. One list per Lua state, found through the registry. */
typedef struct scopes {
  int depth;
  box *list[64];
} scopes;

static atomic_llong collect_at; /* live bytes, of all states, at which the next collection is due */

static scopes *scopes_of(lua_State *L) {
  static const char key;
  scopes *s;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
    s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (scopes){.depth = 0};
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  } else {
    s = lua_touserdata(L, -1);
  }
  lua_pop(L, 1);
  return s;
}

static void unlink_box(box *b) {
  if (b->link == NULL) return;
  *b->link = b->next;
  if (b->next != NULL) b->next->link = b->link;
  b->link = NULL;
}

static void link_box(box *b, scopes *s, int depth) {
  box **list = &s->list[depth - 1];
  b->depth = depth;
  if ((b->next = *list) != NULL) b->next->link = &b->next;
  b->link = list;
  *list = b;
}

static void empty(box *b) {
  cvl_tensor *x = b->x;
  b->x = NULL;
  unlink_box(b);
  cvl_release(x);
}

/* The box at `index`, or NULL. */
static box *test_box(lua_State *L, int index) {
  box *b = lua_touserdata(L, index); /* of a light userdata the length is 0 */
  return b != NULL && lua_rawlen(L, index) == sizeof *b && b->mark == &mark ? b : NULL;
}

cvl_tensor **cvl_box(lua_State *L) {
  scopes *s = scopes_of(L);
  box *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (box){.mark = &mark};
  lua_rawgetp(L, LUA_REGISTRYINDEX, &mark);
  lua_setmetatable(L, -2);
  if (s->depth > 0) link_box(b, s, s->depth);
  return &b->x;
}

static int push_boxed(lua_State *L) {
  cvl_tensor *x = lua_touserdata(L, 1);
  *cvl_box(L) = x;
  return 1;
}

void cvl_push_tensor(lua_State *L, cvl_tensor *x) {
  lua_pushcfunction(L, push_boxed); /* a light C function: pushing it allocates nothing */
  lua_pushlightuserdata(L, x);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    cvl_release(x);
    lua_error(L);
  }
}

cvl_tensor *cvl_test_tensor(lua_State *L, int index) {
  box *b = test_box(L, index);
  return b != NULL ? b->x : NULL;
}

cvl_tensor *cvl_check_tensor(lua_State *L, int index) {
  box *b = test_box(L, index);
  if (b == NULL) luaL_typeerror(L, index, CVL_TENSOR);
  if (b->x == NULL)
    luaL_argerror(
        L, index,
        "the tensor has been freed, by free() or at the end of its scope; convlua.keep(t) keeps one");
  return b->x;
}

int cvl_raise(lua_State *L, const char *who, const cvl_err *e) {
  if (e->code == CVL_EHOOK) return lua_error(L); /* the Lua error object is on top already */
  if (e->arg > 0) return luaL_error(L, "bad argument #%d to '%s' (%s)", e->arg, who, e->msg);
  return luaL_error(L, "%s: %s", who, e->msg);
}

void cvl_collect_if_due(lua_State *L) {
  enum { FLOOR = 64 << 20 };
  int64_t live = cvl_mem_live(), due = atomic_load_explicit(&collect_at, memory_order_relaxed);
  if (live < (due > FLOOR ? due : FLOOR)) return;
  lua_gc(L, LUA_GCCOLLECT);
  atomic_store(&collect_at, cvl_mem_live() * 2);
}

void cvl_collect_all(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT); /* what finalizers let go */
  cvl_scratch_trim();
  cvl_caches_empty();
}

/* t:free(), __gc and __close. A second call is harmless. */
static int free_box(lua_State *L) {
  box *b = test_box(L, 1);
  if (b != NULL) empty(b);
  return 0;
}

static void end_scope(scopes *s) {
  box **list = &s->list[s->depth - 1];
  while (*list != NULL) empty(*list);
  s->depth--;
}

/* Tensors that leave a scope, directly or in a table, belong to the scope around it. */
static void promote(lua_State *L, int index, scopes *s, int depth) {
  enum { DEEPEST = 8 };
  box *b = test_box(L, index);
  if (b != NULL && b->link != NULL && b->depth == s->depth) { /* not one that belongs further out */
    unlink_box(b);
    if (s->depth > 1) link_box(b, s, s->depth - 1);
  }
  if (!lua_istable(L, index) || depth == DEEPEST) return;
  luaL_checkstack(L, 4, "scope");
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    promote(L, lua_gettop(L), s, depth + 1);
    lua_pop(L, 1);
  }
}

static int scope(lua_State *L) {
  scopes *s = scopes_of(L);
  int status;
  luaL_checkany(L, 1);
  if (s->depth == (int)(sizeof s->list / sizeof s->list[0]))
    return luaL_error(L, "scope: nested too deeply");
  s->list[s->depth++] = NULL;
  status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  for (int i = 1; status == LUA_OK && i <= lua_gettop(L); i++) promote(L, i, s, 0);
  end_scope(s);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* keep(t, ...) -> t, ...: takes tensors out of every scope. */
static int keep(lua_State *L) {
  for (int i = 1; i <= lua_gettop(L); i++) {
    cvl_check_tensor(L, i);
    unlink_box(lua_touserdata(L, i));
  }
  return lua_gettop(L);
}

void cvl_open_box(lua_State *L) {
  static const luaL_Reg functions[] = {{"scope", scope}, {"keep", keep}, {NULL, NULL}};
  static const luaL_Reg life[] = {{"__gc", free_box}, {"__close", free_box}, {NULL, NULL}};
  scopes_of(L);
  luaL_newmetatable(L, CVL_TENSOR);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &mark);
  luaL_setfuncs(L, life, 0);
  lua_getfield(L, -1, "__gc");
  lua_setfield(L, -2, "free");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}

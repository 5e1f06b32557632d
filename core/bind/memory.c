/*
** convlua.core.memory: the counters of base/mem.h, and a way to let any allocation fail.
*/
#include "bind/memory.h"

#include <lauxlib.h>

#include "base/mem.h"

static int push_bytes(lua_State *L, int64_t bytes) {
  lua_pushinteger(L, (lua_Integer)bytes);
  return 1;
}

static int live(lua_State *L) { return push_bytes(L, cvl_mem_live()); }
static int cached(lua_State *L) { return push_bytes(L, cvl_mem_cached()); }
static int peak(lua_State *L) { return push_bytes(L, cvl_mem_peak()); }
static int allocations(lua_State *L) { return push_bytes(L, cvl_mem_allocations()); }

static int reset_peak(lua_State *L) {
  (void)L;
  cvl_mem_reset_peak();
  return 0;
}

/* limit(bytes): above it allocations fail; 0 for none. */
static int limit(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes >= 0, 1, "bytes expected, 0 for no limit");
  cvl_mem_set_limit((int64_t)bytes);
  return 0;
}

/* Lua's own allocator, asked for leave first whenever a block appears or grows. */
typedef struct {
  lua_Alloc alloc;
  void *ud;
} inner;

static void *permitted(void *ud, void *p, size_t old, size_t bytes) {
  const inner *in = ud;
  bool grows = bytes > (p != NULL ? old : 0);
  if (grows && !cvl_mem_permit((int64_t)bytes)) return NULL;
  return in->alloc(in->ud, p, old, bytes);
}

/*
** failing(n, f, ...) -> ok, results or error of f(...)
** While f runs, n allocations succeed, Lua's and the core's together, and every further one fails.
*/
static int failing(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  inner in;
  int status;
  luaL_argcheck(L, n >= 0, 1, "a number of allocations expected");
  luaL_checkany(L, 2);
  luaL_checkstack(L, 4, NULL);
  in.alloc = lua_getallocf(L, &in.ud);
  lua_setallocf(L, permitted, &in);
  cvl_mem_fail_after((int64_t)n);
  status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  cvl_mem_fail_after(-1);
  lua_setallocf(L, in.alloc, in.ud);
  lua_pushboolean(L, status == LUA_OK);
  lua_replace(L, 1);
  return lua_gettop(L);
}

int cvl_open_memory(lua_State *L) {
  static const luaL_Reg functions[] = {{"live", live},
                                       {"cached", cached},
                                       {"peak", peak},
                                       {"reset_peak", reset_peak},
                                       {"limit", limit},
                                       {"failing", failing},
                                       {"allocations", allocations},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

/*
** The simulator's controls for scripts: require "cudasim" with build/cudasim/?.so in package.cpath. It links
** the same libcudart.so.13 as the plugin.
**   fail(call, n)   the n-th call of that function from now on fails; fail() lets all succeed
**   count()         starts counting calls anew
**   calls()         how often each function was called since: { cudaMalloc = 3, ... }
**   live(kind)      what is alive: bytes of "device" and "pinned" memory, how many of "stream", "event",
**                   "graph", "cublas", "cudnn", "descriptor"
*/
#include <lua.hpp>

#include "sim.h"

namespace {

int fail(lua_State *L) {
  cvsim_fail(luaL_optstring(L, 1, nullptr), long(luaL_optinteger(L, 2, 0)));
  return 0;
}

int count(lua_State *) {
  cvsim_calls(nullptr);
  return 0;
}

int calls(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; cvsim_call_name(i) != nullptr; i++) {
    lua_pushinteger(L, cvsim_calls(cvsim_call_name(i)));
    lua_setfield(L, -2, cvsim_call_name(i));
  }
  return 1;
}

int live(lua_State *L) {
  long n = cvsim_live(luaL_checkstring(L, 1));
  if (n < 0) return luaL_argerror(L, 1, "no such kind");
  lua_pushinteger(L, n);
  return 1;
}

} // namespace

CUDASIM_EXPORT int luaopen_cudasim(lua_State *L) {
  const luaL_Reg functions[] = {
      {"fail", fail}, {"count", count}, {"calls", calls}, {"live", live}, {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

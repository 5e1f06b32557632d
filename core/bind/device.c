/* core.device, core.threads, core.isa: what this run computes on. */
#include <stdio.h>

#include "base/pool.h"
#include "bind/check.h"
#include "bind/open.h"
#include "kernels/isa.h"

/* device.get(name) -> its full name, "cpu" or "cuda:N"; an error that says what is missing */
static int get(lua_State *L) {
  lua_pushstring(L, cvl_check_device(L, 1)->name);
  return 1;
}

/* device.list() -> {"cpu", "cuda:0", ...}: those that work */
static int list(lua_State *L) {
  char name[16];
  cvl_err e = {0};
  lua_newtable(L);
  lua_pushstring(L, cvl_cpu()->name);
  lua_rawseti(L, -2, 1);
  for (int i = 0;; i++) {
    snprintf(name, sizeof name, "cuda:%d", i);
    if (cvl_device_get(name, &e) == NULL) return 1;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, i + 2);
  }
}

/* device.sync(): waits until every device has done what it was asked for */
static int sync(lua_State *L) {
  cvl_err e = {0};
  return cvl_devices_sync(&e) == 0 ? 0 : cvl_raise(L, "device.sync", &e);
}

static int default_device(lua_State *L) {
  lua_pushstring(L, cvl_device_default()->name);
  return 1;
}

/* threads() -> n; threads(n) sets it */
static int threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= CVL_MAX_THREADS, 1, "1 to 256 threads expected");
    cvl_set_threads((int)n);
  }
  lua_pushinteger(L, cvl_threads());
  return 1;
}

static int isa(lua_State *L) {
  lua_pushstring(L, cvl_isa_name());
  return 1;
}

void cvl_open_device(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"get", get}, {"list", list}, {"default", default_device}, {"sync", sync}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "device");
  lua_pushcfunction(L, threads);
  lua_setfield(L, -2, "threads");
  lua_pushcfunction(L, isa);
  lua_setfield(L, -2, "isa");
}

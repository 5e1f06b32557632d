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

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

/* A version as NVIDIA's libraries give it, major * unit + minor * 100 (or 10 for CUDA) + patch. */
static void set_version(lua_State *L, const char *name, int version, int unit, int part) {
  lua_pushfstring(L, "%d.%d", version / unit, version % unit / part);
  if (part == 100) {
    lua_pushfstring(L, ".%d", version % part);
    lua_concat(L, 2);
  }
  lua_setfield(L, -2, name);
}

static void set_library(lua_State *L, const char *name, int version, int unit, const cvl_err *why) {
  if (version != 0) {
    set_version(L, name, version, unit, 100);
    return;
  }
  lua_pushfstring(L, "no: %s", why->msg);
  lua_setfield(L, -2, name);
}

/* device.info(name) -> what is known of it, by name */
static int info(lua_State *L) {
  cvl_device *d = cvl_check_device(L, 1);
  cvl_device_info known = {0};
  cvl_err e = {0};
  lua_newtable(L);
  set_text(L, "device", d->name);
  if (d->info == NULL) return 1;
  if (d->info(d, &known, &e) != 0) return cvl_raise(L, "device.info", &e);
  set_text(L, "gpu", known.gpu);
  lua_pushfstring(L, "%d.%d", known.major, known.minor);
  lua_setfield(L, -2, "compute_capability");
  set_integer(L, "multiprocessors", known.multiprocessors);
  set_integer(L, "memory", known.memory);
  set_integer(L, "free_memory", known.free_memory);
  set_version(L, "driver", known.driver, 1000, 10);
  set_version(L, "runtime", known.runtime, 1000, 10);
  set_library(L, "cublas", known.cublas, 10000, &known.cublas_why);
  set_library(L, "cudnn", known.cudnn, 10000, &known.cudnn_why);
  return 1;
}

/* device.tf32(name) -> how it is; device.tf32(name, on) sets it and gives how it was */
static int tf32(lua_State *L) {
  cvl_device *d = cvl_check_device(L, 1);
  int on = lua_isnoneornil(L, 2) ? -1 : lua_toboolean(L, 2);
  if (on >= 0) luaL_checktype(L, 2, LUA_TBOOLEAN);
  if (d->tf32 == NULL) return luaL_error(L, "device '%s' has no TF32", d->name);
  lua_pushboolean(L, d->tf32(d, on));
  return 1;
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
  static const luaL_Reg functions[] = {{"get", get},   {"list", list}, {"default", default_device},
                                       {"sync", sync}, {"info", info}, {"tf32", tf32},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "device");
  lua_pushcfunction(L, threads);
  lua_setfield(L, -2, "threads");
  lua_pushcfunction(L, isa);
  lua_setfield(L, -2, "isa");
}

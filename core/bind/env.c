#include "bind/env.h"

#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"
#include "bind/embed.h"
#include "device/device.h"
#include "kernels/blas.h"
#include "kernels/conv.h"
#include "kernels/isa.h"

static const char *setting(const char *name) {
  const char *value = getenv(name);
  return value != NULL && value[0] != '\0' ? value : NULL;
}

static int apply_threads(const char *value, cvl_err *e) {
  char *end;
  long n;
  errno = 0;
  n = strtol(value, &end, 10);
  if (errno != 0 || *end != '\0' || n < 1 || n > CVL_MAX_THREADS)
    return cvl_fail(e, CVL_EARG, 0, "CONVLUA_THREADS must be a whole number from 1 to %d, got '%s'",
                    CVL_MAX_THREADS, value);
  cvl_set_threads((int)n);
  return 0;
}

int cvl_env_apply(cvl_err *e) {
  const char *threads = setting("CONVLUA_THREADS");
  const char *isa = setting("CONVLUA_ISA");
  const char *conv = setting("CONVLUA_CONV");
  if (threads != NULL && apply_threads(threads, e) != 0) return -1;
  if (isa != NULL && cvl_isa_force(isa, e) != 0) return cvl_err_prefix(e, "CONVLUA_ISA");
  if (conv != NULL && cvl_conv_force(conv, e) != 0) return cvl_err_prefix(e, "CONVLUA_CONV");
  return 0;
}

/* apply() -> true | nil, message       cvl_env_apply */
static int apply(lua_State *L) {
  cvl_err e = {0};
  if (cvl_env_apply(&e) != 0) {
    lua_pushnil(L);
    lua_pushstring(L, e.msg);
    return 2;
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* program() -> path of the running program, or nil where the system does not tell */
static int program(lua_State *L) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == sizeof path) return 0;
  lua_pushlstring(L, path, (size_t)n);
  return 1;
}

/* source(file) -> text of an embedded Lua source, or nil: help() reads the comments in it */
static int source(lua_State *L) {
  const char *file = luaL_checkstring(L, 1);
  for (const cvl_source *s = cvl_embedded; s->name != NULL; s++) {
    if (strcmp(s->file, file) != 0) continue;
    lua_pushlstring(L, (const char *)s->data, s->size);
    return 1;
  }
  return 0;
}

/* sources() -> {module name = file, ...} of all that is embedded */
static int sources(lua_State *L) {
  lua_newtable(L);
  for (const cvl_source *s = cvl_embedded; s->name != NULL; s++) {
    lua_pushstring(L, s->file);
    lua_setfield(L, -2, s->name);
  }
  return 1;
}

/* find_library(name) -> path of a shared library, or nil, message */
static int find_library(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  void *handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  struct link_map *map = NULL;
  if (handle == NULL) {
    lua_pushnil(L);
    lua_pushstring(L, dlerror());
    return 2;
  }
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == NULL) map = NULL;
  lua_pushstring(L, map != NULL ? map->l_name
                                : name); /* may raise: a handle more or less is harmless */
  dlclose(handle);
  return 1;
}

/* blas() -> what is known of the BLAS library in use */
static int blas(lua_State *L) {
  char text[500];
  cvl_blas_description(text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

/* device_problem(name) -> why a device cannot be used, or nil when it can */
static int device_problem(lua_State *L) {
  cvl_err e = {0};
  if (cvl_device_get(luaL_checkstring(L, 1), &e) != NULL) return 0;
  lua_pushstring(L, e.msg);
  return 1;
}

int cvl_open_env(lua_State *L) {
  static const luaL_Reg functions[] = {{"apply", apply},
                                       {"program", program},
                                       {"find_library", find_library},
                                       {"blas", blas},
                                       {"device_problem", device_problem},
                                       {"source", source},
                                       {"sources", sources},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushinteger(L, CVL_MAX_THREADS);
  lua_setfield(L, -2, "max_threads");
  lua_pushliteral(L, CVL_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}

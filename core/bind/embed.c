#include "bind/embed.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "bind/bench.h"
#include "bind/data.h"
#include "bind/env.h"
#include "bind/io.h"
#include "bind/memory.h"
#include "bind/signal.h"
#include "bind/system.h"

static const char installed = 0; /* its address is a key of the registry */

static const cvl_source *find(const char *name) {
  for (const cvl_source *s = cvl_embedded; s->name != NULL; s++)
    if (strcmp(s->name, name) == 0) return s;
  return NULL;
}

static int load(lua_State *L, const cvl_source *s) {
  int status;
  lua_pushfstring(L, "@%s", s->file);
  status = luaL_loadbufferx(L, (const char *)s->data, s->size, lua_tostring(L, -1), "t");
  lua_remove(L, -2);
  return status;
}

/*
** ./models/x.lua wins over the embedded models.x, so that a model can be changed without building
** anything. The library itself is never taken from elsewhere: its two halves must be of the same
** version.
*/
static bool push_own_model(lua_State *L, const char *name) {
  FILE *file;
  if (strncmp(name, "models.", 7) != 0) return false;
  lua_pushfstring(L, "./%s.lua", luaL_gsub(L, name, ".", "/"));
  lua_remove(L, -2);
  if ((file = fopen(lua_tostring(L, -1), "r")) == NULL) {
    lua_pop(L, 1);
    return false;
  }
  fclose(file);
  return true;
}

/* An entry of package.searchers: name -> loader, file name; or a text that says what is not here. */
static int search(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const cvl_source *s = find(name);
  int status;
  if (push_own_model(L, name)) {
    status = luaL_loadfile(L, lua_tostring(L, -1));
    lua_insert(L, -2); /* loader or message, then the file name */
  } else if (s != NULL) {
    status = load(L, s);
    lua_pushstring(L, s->file);
  } else {
    lua_pushfstring(L, "no module '%s' inside convlua", name);
    return 1;
  }
  if (status != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name,
                      lua_tostring(L, -1), lua_tostring(L, -2));
  return 2;
}

/* What the core has beside what open.c knows of. */
static const luaL_Reg parts[] = {
    {"convlua.core.signal", cvl_open_signal}, {"convlua.core.env", cvl_open_env},
    {"convlua.core.memory", cvl_open_memory}, {"convlua.core.io", cvl_open_io},
    {"convlua.core.data", cvl_open_data},     {"convlua.core.system", cvl_open_system},
    {"convlua.core.bench", cvl_open_bench},   {NULL, NULL}};

static int open_core(lua_State *L) {
  lua_settop(L, 2);
  lua_pushcfunction(L, luaopen_convlua_core);
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  for (const luaL_Reg *part = parts; part->name != NULL; part++) {
    luaL_requiref(L, part->name, part->func, 0);
    lua_setfield(L, 1, part->name + strlen("convlua.core."));
  }
  return 1;
}

void cvl_embed_install(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &installed) != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_core);
  lua_setfield(L, -2, "convlua.core");
  luaL_setfuncs(L, parts, 0);
  lua_pop(L, 1);
  lua_getglobal(L, LUA_LOADLIBNAME);
  if (lua_istable(L, -1) && lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) { /* make room behind package.preload's */
      lua_geti(L, -1, i);
      lua_seti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search);
    lua_seti(L, -2, 2);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  lua_pushboolean(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &installed);
}

int luaopen_convlua(lua_State *L) {
  const cvl_source *s = find("convlua");
  cvl_err e = {0};
  if (s == NULL) return luaL_error(L, "convlua was built without its Lua sources");
  if (cvl_env_apply(&e) != 0) return luaL_error(L, "%s", e.msg);
  cvl_embed_install(L);
  if (load(L, s) != LUA_OK) return lua_error(L);
  lua_pushliteral(L, "convlua");
  lua_pushstring(L, s->file);
  lua_call(L, 2, 1);
  return 1;
}

/*
** The Lua half of convlua travels inside the binary and inside convlua.so, made into C by the
** build.
*/
#ifndef CVL_BIND_EMBED_H
#define CVL_BIND_EMBED_H

#include <lua.h>
#include <stddef.h>

typedef struct cvl_source {
  const char *name; /* as `require` is given it: "convlua.nn", "models.resnet" */
  const char *file; /* where it lies in the source tree: "lua/convlua/nn.lua" */
  const unsigned char *data;
  size_t size;
} cvl_source;

extern const cvl_source cvl_embedded[]; /* ended by a NULL name */

/* The C half, of open.c. */
int luaopen_convlua_core(lua_State *L);

/* Lets `require` find the C half and the embedded sources. A second call does nothing. */
void cvl_embed_install(lua_State *L);

/* What stock Lua calls for require "convlua" once it has loaded convlua.so. */
__attribute__((visibility("default"))) int luaopen_convlua(lua_State *L);

#endif

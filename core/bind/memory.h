#ifndef CVL_BIND_MEMORY_H
#define CVL_BIND_MEMORY_H

#include <lua.h>

/* Pushes the table convlua.core.memory. */
int cvl_open_memory(lua_State *L);

#endif

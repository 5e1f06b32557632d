#ifndef CVL_BIND_SYSTEM_H
#define CVL_BIND_SYSTEM_H

#include <lua.h>

/* Pushes the table convlua.core.system. */
int cvl_open_system(lua_State *L);

#endif

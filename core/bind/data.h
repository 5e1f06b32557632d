#ifndef CVL_BIND_DATA_H
#define CVL_BIND_DATA_H

#include <lua.h>

/* Pushes the table convlua.core.data. */
int cvl_open_data(lua_State *L);

#endif

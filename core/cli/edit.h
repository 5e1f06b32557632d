/*
** The line editor of the prompt, on libedit: the module convlua.edit.
*/
#ifndef CVL_CLI_EDIT_H
#define CVL_CLI_EDIT_H

#include <lua.h>

int cvl_open_edit(lua_State *L);

#endif

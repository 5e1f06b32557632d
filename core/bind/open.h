/* Each file of this room adds its functions to the module's table, which is on top of the stack. */
#ifndef CVL_BIND_OPEN_H
#define CVL_BIND_OPEN_H

#include <lauxlib.h>
#include <lua.h>

void cvl_open_op(lua_State *L);        /* every op; ops() */
void cvl_open_tensor(lua_State *L);    /* methods and fields of tensors */
void cvl_open_create(lua_State *L);    /* zeros, ones, randn, tensor, ... */
void cvl_open_autograd(lua_State *L);  /* core.autograd */
void cvl_open_layer(lua_State *L);     /* every layer; layers() */
void cvl_open_optim(lua_State *L);     /* optimizer{kind = ...}; optimizers() */
void cvl_open_linalg(lua_State *L);    /* core.linalg */
void cvl_open_device(lua_State *L);    /* core.device; threads, isa, version */
void cvl_open_recording(lua_State *L); /* core.device.record */

/* The C half of the module, loaded as "convlua.core". Idempotent: test runners open it again for each file. */
int luaopen_convlua_core(lua_State *L);

#endif

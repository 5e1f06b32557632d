/*
** Settings that a program gets from outside: the environment, and the options of the command line.
*/
#ifndef CVL_BIND_ENV_H
#define CVL_BIND_ENV_H

#include <lua.h>

#include "base/err.h"

#define CVL_VERSION "0.1.0"

/* Checks CONVLUA_THREADS, CONVLUA_ISA and CONVLUA_CONV and applies them; CVL_EARG names
** what was wanted. An empty value counts as none. Before any kernel runs. */
int cvl_env_apply(cvl_err *e);

/* The module convlua.core.env: what the command line and `doctor` ask of the core. */
int cvl_open_env(lua_State *L);

#endif

/* Options of ops, layers and optimizers on their way back to Lua: what check.c reads, written. */
#ifndef CVL_BIND_OPTIONS_H
#define CVL_BIND_OPTIONS_H

#include <lauxlib.h>
#include <lua.h>

#include "ops/op.h"

/* Pushes the value of one option as a user would write it; nil for one that was left out. */
void cvl_push_option(lua_State *L, const cvl_option *o, const void *options);
/* Pushes a table of all of them. */
void cvl_push_option_values(lua_State *L, const cvl_option *list, const void *options);
/* Pushes the list of descriptions: {name, kind, doc, required, default, choices}. */
void cvl_push_option_list(lua_State *L, const cvl_option *list, size_t bytes);
/* Pushes `{strides = 1, padding = "same"}`: the options whose bit in `given` is set, in the order of the list. */
void cvl_push_options_text(lua_State *L, const cvl_option *list, const void *options,
                           uint64_t given);
/* Which options the table at `index` names. */
uint64_t cvl_options_given(lua_State *L, int index, const cvl_option *list);
/* 9280 -> "9,280" */
void cvl_push_grouped(lua_State *L, int64_t n);

#endif

/*
** Readers of arguments: from Lua's values, counted from 1, to the core's. Only raw access is used, so that no Lua code
** runs in between. Errors name the function and the option, what was wanted and what was got.
*/
#ifndef CVL_BIND_CHECK_H
#define CVL_BIND_CHECK_H

#include "bind/box.h"
#include "ops/op.h"

/* Fills `options` (option_bytes, zeroed here) from arguments first..top: values by position in the order of `list`, then
** perhaps a table with names. A trailing run of integers goes to one option that takes several. */
void cvl_check_options(lua_State *L, int first, const char *who, const cvl_option *list,
                       size_t bytes, void *options);
/* The same from one table at `index` whose unknown keys are an error; used by layers and optimizers. Keys in `also`
** (NULL-terminated, or NULL) are the caller's own and are skipped. */
void cvl_check_option_table(lua_State *L, int index, const char *who, const cvl_option *list,
                            void *options, const char *const *also);

/* A shape from a table of sizes at `index`, or from the integers index..last. Sizes are checked by the core. */
void cvl_check_shape(lua_State *L, int index, int last, const char *who, cvl_shape *shape);
cvl_dtype cvl_check_dtype(lua_State *L, int index, cvl_dtype def); /* nil: def */
cvl_device *cvl_check_device(lua_State *L, int index);             /* a name; nil: the CPU */
/* A position or an axis as Lua counts: 1.., or negative from the end; returns 0.. or the negative as it is. */
int64_t cvl_from_one(int64_t i);

#endif

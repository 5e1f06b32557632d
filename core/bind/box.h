/*
** Tensors as userdata, errors as Lua errors. The order in every bound function: box, check, borrow, call, raise.
** No C frame owns anything across a Lua call that may raise: results are born inside an empty box.
*/
#ifndef CVL_BIND_BOX_H
#define CVL_BIND_BOX_H

#include <lauxlib.h>
#include <lua.h>

#include "base/err.h"
#include "tensor/tensor.h"

#define CVL_TENSOR "convlua.tensor"

/* Pushes an empty box; *slot is where a new tensor goes. May raise. The box belongs to the innermost scope. */
cvl_tensor **cvl_box(lua_State *L);
/* Pushes x in a box, taking over one reference; x may not be NULL. May raise, and then x is released. */
void cvl_push_tensor(lua_State *L, cvl_tensor *x);

/* The tensor at `index`; an argument error when it is no tensor or has been freed. Borrowed: valid until Lua runs. */
cvl_tensor *cvl_check_tensor(lua_State *L, int index);
/* The same, NULL when the value is no live tensor. */
cvl_tensor *cvl_test_tensor(lua_State *L, int index);

/* Raises e. "bad argument #n to 'who' (...)" when it knows an argument, else "who: ...". Never returns. */
int cvl_raise(lua_State *L, const char *who, const cvl_err *e);

/* Collects garbage when live bytes have doubled since the last collection: Lua sees handles, not the megabytes behind. */
void cvl_collect_if_due(lua_State *L);
/* After CVL_ENOMEM: collects everything, gives cached memory back. The caller borrows again and tries once more. */
void cvl_collect_all(lua_State *L);

/* Registers the tensor metatable and the functions scope, keep, live, ... in the table on top. */
void cvl_open_box(lua_State *L);

#endif

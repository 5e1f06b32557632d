/* core.linalg: what has several results, or no gradient yet, and so is no op. */
#include "bind/box.h"
#include "bind/open.h"
#include "kernels/lapack.h"

/* eigh(x {n, n}) -> values {n}, vectors {n, n}, both float64 */
static int eigh(lua_State *L) {
  cvl_tensor *x, **here = cvl_box(L), **rows = cvl_box(L), **values = cvl_box(L);
  char text[CVL_SHAPE_TEXT];
  cvl_err e = {0};
  x = cvl_check_tensor(L, 1);
  if (x->shape.ndim != 2 || x->shape.dim[0] != x->shape.dim[1])
    return luaL_error(L, "eigh: a square matrix expected, got %s", cvl_shape_text(&x->shape, text));
  if (!cvl_dtype_floating(x->dtype))
    return luaL_error(L, "eigh: float32 or float64 expected, got %s", cvl_dtype_name(x->dtype));
  cvl_shape n = {.ndim = 1, .dim = {x->shape.dim[0]}};
  if ((*here = cvl_tensor_clone(x, cvl_cpu(), &e)) == NULL ||
      (*rows = cvl_tensor_new(&x->shape, CVL_F64, NULL, &e)) == NULL ||
      (*values = cvl_tensor_new(&n, CVL_F64, NULL, &e)) == NULL)
    return cvl_raise(L, "eigh", &e);
  for (int64_t i = 0, count = cvl_count(*here); i < count; i++)
    ((double *)cvl_data(*rows))[i] = cvl_element(*here, i);
  if (cvl_eigh(n.dim[0], cvl_data(*rows), cvl_data(*values), &e) != 0)
    return cvl_raise(L, "eigh", &e);
  lua_insert(L, -2); /* values, rows */
  lua_getfield(L, -1, "transpose");
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1); /* columns, as everyone has it */
  lua_remove(L, -2);
  return 2;
}

void cvl_open_linalg(lua_State *L) {
  static const luaL_Reg functions[] = {{"eigh", eigh}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "linalg");
}

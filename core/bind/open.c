#include "bind/open.h"

#include "bind/box.h"

__attribute__((visibility("default"))) int luaopen_convlua_core(lua_State *L) {
  luaL_checkversion(L);
  lua_newtable(L);
  cvl_open_box(L);
  cvl_open_tensor(L);
  cvl_open_create(L);
  cvl_open_op(L);
  cvl_open_autograd(L);
  cvl_open_layer(L);
  cvl_open_optim(L);
  cvl_open_linalg(L);
  cvl_open_device(L);
  cvl_open_recording(L);
  luaL_getmetatable(L, CVL_TENSOR);
  lua_pushliteral(L, "convlua.tensor");
  lua_setfield(L, -2, "__metatable");    /* getmetatable() sees a name; the methods stay ours */
  lua_setfield(L, -2, "tensor_methods"); /* for the Lua half, which adds its own */
  return 1;
}

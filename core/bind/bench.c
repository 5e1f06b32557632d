/* convlua.core.bench: what scripts/bench.lua asks of the kernels. */
#include "bind/bench.h"

#include "bind/box.h"
#include "kernels/conv.h"
#include "kernels/peak.h"

/* multiply_add(rounds) -> floating-point operations done in registers, on all threads; a million rounds take some
** hundredths of a second */
static int multiply_add(lua_State *L) {
  lua_Integer rounds = luaL_checkinteger(L, 1);
  luaL_argcheck(L, rounds > 0 && rounds <= 1 << 24, 1, "1 to 2^24 rounds expected");
  lua_pushnumber(L, cvl_peak_multiply_add(rounds));
  return 1;
}

/* triad(n) -> bytes read and written by a = b + s c over n floats */
static int triad(lua_State *L) {
  cvl_err e = {0};
  lua_Integer n = luaL_checkinteger(L, 1);
  double bytes;
  luaL_argcheck(L, n > 0 && n < INT64_C(1) << 32, 1, "1 to 2^32 floats expected");
  if ((bytes = cvl_peak_triad(n, &e)) < 0) return cvl_raise(L, "triad", &e);
  lua_pushnumber(L, bytes);
  return 1;
}

/* conv_algorithm(name): takes direct, dots, grouped, lines, subpixel, winograd or gemm wherever it is possible; nil: the planner chooses */
static int conv_algorithm(lua_State *L) {
  cvl_err e = {0};
  if (cvl_conv_force(luaL_optstring(L, 1, ""), &e) != 0) return cvl_raise(L, "conv_algorithm", &e);
  return 0;
}

int cvl_open_bench(lua_State *L) {
  static const luaL_Reg functions[] = {{"multiply_add", multiply_add},
                                       {"triad", triad},
                                       {"conv_algorithm", conv_algorithm},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

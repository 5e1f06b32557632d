/* convlua.core.system: the clock and the terminal, for progress bars and measurements. */
#include "bind/system.h"

#include <lauxlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* clock() -> seconds of wall time since some moment; never goes back */
static int now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return 1;
}

/* is_terminal(fd) */
static int is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* columns(fd) -> width of the terminal, or nil where there is none */
static int columns(lua_State *L) {
  struct winsize w = {0};
  if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &w) != 0 || w.ws_col == 0) return 0;
  lua_pushinteger(L, w.ws_col);
  return 1;
}

/* usage() -> {peak_bytes, minor_faults, major_faults, cpu_seconds} of this process so far */
static int usage(lua_State *L) {
  struct rusage u = {0};
  getrusage(RUSAGE_SELF, &u);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)u.ru_maxrss * 1024);
  lua_setfield(L, -2, "peak_bytes");
  lua_pushinteger(L, u.ru_minflt);
  lua_setfield(L, -2, "minor_faults");
  lua_pushinteger(L, u.ru_majflt);
  lua_setfield(L, -2, "major_faults");
  lua_pushnumber(L, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                        1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
  lua_setfield(L, -2, "cpu_seconds");
  return 1;
}

int cvl_open_system(lua_State *L) {
  static const luaL_Reg functions[] = {{"clock", now},
                                       {"is_terminal", is_terminal},
                                       {"columns", columns},
                                       {"usage", usage},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

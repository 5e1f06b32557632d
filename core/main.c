/*
** The `convlua` command: a Lua state with the core and the embedded Lua sources in it. What is done
** with the arguments is lua/convlua/cli.lua's business.
*/
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind/embed.h"
#include "bind/signal.h"
#include "cli/edit.h"

/* run(argc, argv) -> exit status */
static int run(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  luaL_checkversion(L);
  luaL_openlibs(L);
  cvl_embed_install(L);
  cvl_signal_install(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, cvl_open_edit);
  lua_setfield(L, -2, "convlua.edit");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "convlua.cli");
  lua_call(L, 1, 1);
  lua_createtable(L, argc, 0);
  for (int i = 0; i < argc; i++) { /* argv[0], the program, at 0 */
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 1);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  int status = EXIT_FAILURE;
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write(), not the end */
  if (L == NULL) {
    fputs("convlua: not enough memory to start\n", stderr);
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK) {
    status = (int)lua_tointeger(L, -1);
  } else {
    const char *message = lua_tostring(L, -1);
    fprintf(stderr, "convlua: %s\n", message != NULL ? message : "error object is not a string");
  }
  lua_close(L);
  return status;
}

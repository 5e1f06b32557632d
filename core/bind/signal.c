#include "bind/signal.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef enum { RAISE, GUARD, PROMPT } way;

static volatile sig_atomic_t mode = RAISE;
static volatile sig_atomic_t arrived; /* the signal not yet dealt with, 0 for none */
static volatile sig_atomic_t due;     /* it has to become an error, and has not yet */
static volatile sig_atomic_t count;   /* signals since somebody last started afresh */
static lua_State
    *volatile running;  /* the coroutine whose code runs now; NULL when the process is not ours */
static pthread_t owner; /* the thread that runs Lua */
static struct sigaction outer[2]; /* what SIGINT and SIGTERM did before the guard */

/* Any event of the interpreter will do to stop it. */
enum { EVENTS = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT };

static void stop(lua_State *L, lua_Debug *event) {
  (void)event;
  lua_sethook(L, NULL, 0, 0);
  if (!due) return; /* raised elsewhere: this hook was left behind in a coroutine */
  due = arrived = 0;
  luaL_error(L, "interrupted!");
}

/* A handler may call lua_sethook, and nothing else of Lua. */
static void on_signal(int number) {
  int saved = errno;
  if (!pthread_equal(pthread_self(), owner)) {
    pthread_kill(owner, number);
  } else {
    if (mode != PROMPT && ++count > 1) _exit(128 + number);
    arrived = number;
    if (mode == RAISE && running != NULL) {
      due = 1;
      lua_sethook(running, stop, EVENTS, 1);
    }
  }
  errno = saved;
}

static void start_afresh(way w) {
  mode = w;
  arrived = due = count = 0;
}

static void take(int number, struct sigaction *old) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal; /* without SA_RESTART: a blocking read must end */
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, old);
}

void cvl_signal_prompt(bool reading) { start_afresh(reading ? PROMPT : RAISE); }

/*
** Coroutines. A signal handler cannot ask Lua which coroutine runs, and a hook set on another one
** never fires: in stock Lua Ctrl-C is lost inside a coroutine. So resume and wrap, the two ways in,
** note it. They do what lcorolib.c does.
*/
static int resume(lua_State *L, lua_State *co, int arguments) {
  lua_State *caller = running;
  int status, results;
  if (!lua_checkstack(co, arguments)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, arguments);
  running = co;
  status = lua_resume(co, L, arguments, &results);
  running = caller;
  if (due && caller != NULL) /* the signal came too late to stop `co` */
    lua_sethook(caller, stop, EVENTS, 1);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1); /* the error object */
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

static int coroutine_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  int results;
  luaL_argexpected(L, co != NULL, 1, "thread");
  results = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  lua_insert(L, results >= 0 ? -(results + 1) : -2);
  return results >= 0 ? results + 1 : 2;
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume(L, co, lua_gettop(L)), status;
  if (results >= 0) return results;
  status = lua_status(co);
  if (status != LUA_OK &&
      status != LUA_YIELD) { /* it failed: close its variables, which may fail too */
    status = lua_resetthread(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int coroutine_wrap(lua_State *L) {
  lua_State *co;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

void cvl_signal_install(lua_State *L) {
  static const luaL_Reg replaced[] = {
      {"resume", coroutine_resume}, {"wrap", coroutine_wrap}, {NULL, NULL}};
  lua_getglobal(L, LUA_COLIBNAME);
  luaL_setfuncs(L, replaced, 0);
  lua_pop(L, 1);
  owner = pthread_self();
  running = L;
  start_afresh(RAISE);
  take(SIGINT, NULL);
}

/* guard(on) -> was       Between guard(true) and guard(false) signals are noted only. A guard
** starts with none noted; what was noted in it can still be asked for after it. `was` is what to
** put back: guards may nest. */
static int guard(lua_State *L) {
  bool was = mode == GUARD;
  bool on;
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  on = lua_toboolean(L, 1);
  if (on && !was) {
    owner = pthread_self();
    start_afresh(GUARD);
    take(SIGINT, &outer[0]);
    take(SIGTERM, &outer[1]);
  } else if (!on && was) {
    sigaction(SIGINT, &outer[0], NULL);
    sigaction(SIGTERM, &outer[1], NULL);
    mode = RAISE;
  }
  lua_pushboolean(L, was);
  return 1;
}

/* interrupted() -> number of the signal noted, or nil */
static int interrupted(lua_State *L) {
  if (arrived != 0)
    lua_pushinteger(L, arrived);
  else
    lua_pushnil(L);
  return 1;
}

/* clear(): the signal noted has been dealt with; the next one counts as the first again. */
static int clear(lua_State *L) {
  (void)L;
  arrived = due = count = 0;
  return 0;
}

int cvl_open_signal(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"guard", guard}, {"interrupted", interrupted}, {"clear", clear}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

/*
** Ctrl-C. Three ways to take a signal:
**   raise   SIGINT becomes the Lua error "interrupted!" in whatever Lua code runs, coroutines
**           included (the command)
**   guard   SIGINT and SIGTERM are only noted; who set the guard asks for them (a training loop)
**   prompt  SIGINT only ends the reading of a line (the prompt)
** In the first two a second signal ends the process at once, with status 128 + its number.
*/
#ifndef CVL_BIND_SIGNAL_H
#define CVL_BIND_SIGNAL_H

#include <lua.h>
#include <stdbool.h>

/* Takes SIGINT over for the state L, in the first way, and makes coroutines interruptible. For
** programs that own the process; a module in somebody else's interpreter leaves SIGINT alone
** outside a guard. From the thread that runs L. */
void cvl_signal_install(lua_State *L);

/* Between true and false: the third way. Forgets what was noted before. */
void cvl_signal_prompt(bool reading);

/* The module convlua.core.signal: guard, interrupted, clear. */
int cvl_open_signal(lua_State *L);

#endif

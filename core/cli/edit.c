#include "cli/edit.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <lauxlib.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <editline/readline.h>

#include "bind/signal.h"

enum { HISTORY = 1000 }; /* entries that the arrow keys reach */

static lua_State *asking;        /* whose readline() is at work: the completer runs in it */
static const char completer = 0; /* its address is the completer's key in the registry */
static char *line;               /* the last line, freed by the next call: pushing it may raise */
static size_t line_size;

/* terminal() -> boolean: can lines be edited here? */
static int terminal(lua_State *L) {
  const char *term = getenv("TERM");
  lua_pushboolean(L, isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL &&
                         term[0] != '\0' && strcmp(term, "dumb") != 0);
  return 1;
}

/* interactive() -> boolean: is somebody typing? */
static int interactive(lua_State *L) {
  lua_pushboolean(L, isatty(STDIN_FILENO));
  return 1;
}

/* columns() -> integer, 80 when it cannot be known */
static int columns(lua_State *L) {
  struct winsize size;
  bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  lua_pushinteger(L, known ? size.ws_col : 80);
  return 1;
}

/* What readline wants: the common beginning, the matches, NULL; all from malloc. The list is on top
** of the stack. */
static char **copy_matches(lua_State *L) {
  size_t n = lua_rawlen(L, -1), count = 0, common = 0;
  char **matches = calloc(n + 2, sizeof *matches);
  if (matches == NULL || n == 0) {
    free(matches);
    return NULL;
  }
  for (size_t i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i) == LUA_TSTRING)
      if ((matches[count + 1] = strdup(lua_tostring(L, -1))) != NULL) count++;
    lua_pop(L, 1);
  }
  if (count > 0) common = strlen(matches[1]);
  for (size_t i = 2; i <= count; i++) {
    size_t same = 0;
    while (same < common && matches[i][same] == matches[1][same]) same++;
    common = same;
  }
  if (count == 0 || (matches[0] = strndup(matches[1], common)) == NULL) {
    for (size_t i = 1; i <= count; i++) free(matches[i]);
    free(matches);
    return NULL;
  }
  return matches;
}

/* Asks completer(line, first, last) -> list of words. Positions count from 1. */
static char **complete(const char *text, int start, int end) {
  lua_State *L = asking;
  char **matches = NULL;
  int top = lua_gettop(L);
  (void)text;
  rl_attempted_completion_over = 1; /* no file names instead */
  if (!lua_checkstack(L, 8) || lua_rawgetp(L, LUA_REGISTRYINDEX, &completer) != LUA_TFUNCTION) {
    lua_settop(L, top);
    return NULL;
  }
  lua_pushstring(L, rl_line_buffer);
  lua_pushinteger(L, start + 1);
  lua_pushinteger(L, end);
  if (lua_pcall(L, 3, 1, 0) == LUA_OK && lua_istable(L, -1)) matches = copy_matches(L);
  lua_settop(L, top);
  return matches;
}

/* Text is UTF-8, also where the locale was left at "C", as in most containers. Numbers keep their
** point. */
static void choose_locale(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static void start(void) {
  static bool started;
  if (started) return;
  started = true;
  choose_locale();
  rl_readline_name = "convlua";
  rl_attempted_completion_function = complete;
  rl_completer_word_break_characters = " \t\n\"\\'><=;+-*/%^~#&|{}()[],";
  rl_completion_append_character = '\0';
  using_history();
  stifle_history(HISTORY);
}

static char *edited_line(lua_State *L, const char *prompt) {
  char *s;
  start();
  asking = L;
  s = readline(prompt);
  asking = NULL;
  return s;
}

static char *plain_line(const char *prompt) {
  ssize_t n;
  fputs(prompt, stdout);
  fflush(stdout);
  if ((n = getline(&line, &line_size, stdin)) < 0) return NULL;
  if (n > 0 && line[n - 1] == '\n') line[n - 1] = '\0';
  return line;
}

/* read(prompt, edited) -> line without its end | nil, "interrupted" | nil, "end" */
static int read_line(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  bool edited = lua_toboolean(L, 2);
  char *s;
  errno = 0;
  if (edited) {
    free(line);
    line = NULL;
    line_size = 0;
    s = line = edited_line(L, prompt);
  } else {
    s = plain_line(prompt);
  }
  bool interrupted = s == NULL && errno == EINTR;
  if (s != NULL) {
    lua_pushstring(L, s);
    return 1;
  }
  clearerr(stdin);
  lua_pushnil(L);
  lua_pushstring(L, interrupted ? "interrupted" : "end");
  return 2;
}

/* running(boolean): whether a chunk runs, which Ctrl-C stops, or the prompt waits, whose line it ends */
static int running(lua_State *L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  cvl_signal_prompt(!lua_toboolean(L, 1));
  return 0;
}

/* set_completer(function(line, first, last) -> list) */
static int set_completer(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &completer);
  return 0;
}

/* remember(entry): for the arrow keys */
static int remember(lua_State *L) {
  const char *entry = luaL_checkstring(L, 1);
  start();
  add_history(entry);
  return 0;
}

/* Makes the folders above `path`, for the user's eyes only. */
static bool make_folders(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    bool there = mkdir(path, 0700) == 0 || errno == EEXIST;
    *slash = '/';
    if (!there) return false;
  }
  return true;
}

/* create_private(path) -> true | nil, message       An empty file with mode 0600 and its folders,
** unless it is there. */
static int create_private(lua_State *L) {
  size_t n;
  const char *path = luaL_checklstring(L, 1, &n);
  char *copy = lua_newuserdatauv(L, n + 1, 0);
  int fd = -1;
  memcpy(copy, path, n + 1);
  if (make_folders(copy)) fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return luaL_fileresult(L, 0, path);
  close(fd);
  lua_pushboolean(L, 1);
  return 1;
}

int cvl_open_edit(lua_State *L) {
  static const luaL_Reg functions[] = {{"terminal", terminal},
                                       {"interactive", interactive},
                                       {"columns", columns},
                                       {"read", read_line},
                                       {"running", running},
                                       {"set_completer", set_completer},
                                       {"remember", remember},
                                       {"create_private", create_private},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

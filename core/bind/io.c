/*
** convlua.core.io: files, folders, sums and downloads. Arrays are in io_npz.c, images in
** io_image.c.
*/
#include "bind/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "bind/box.h"
#include "data/sha1.h"
#include "io/atomic.h"
#include "io/fetch.h"
#include "io/file.h"
#include "io/tar.h"

static const char BYTES[] = "convlua.bytes", FOLDER[] = "convlua.folder";

static int free_bytes(lua_State *L) {
  unsigned char **p = luaL_checkudata(L, 1, BYTES);
  cvl_free(*p);
  *p = NULL;
  return 0;
}

unsigned char **cvl_new_bytes(lua_State *L) {
  unsigned char **p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = NULL;
  luaL_setmetatable(L, BYTES);
  return p;
}

/* read_file(path [, most]) -> string; `most` in bytes, 1 GiB when left out */
static int read_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer most = luaL_optinteger(L, 2, 1 << 30);
  unsigned char **bytes = cvl_new_bytes(L);
  size_t size;
  cvl_err e = {0};
  luaL_argcheck(L, most >= 0, 2, "a number of bytes expected");
  if (cvl_read_file(path, (size_t)most, bytes, &size, &e) != 0)
    return cvl_raise(L, "read_file", &e);
  lua_pushlstring(L, (const char *)*bytes, size);
  cvl_free(*bytes);
  *bytes = NULL;
  return 1;
}

/* write_file(path, string); the file appears whole or not at all, and survives a loss of power */
static int write_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  cvl_err e = {0};
  return cvl_atomic_write(path, data, size, &e) == 0 ? 0 : cvl_raise(L, "write_file", &e);
}

/* keep(path, as): `as` becomes one more name of the file */
static int keep(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *as = luaL_checkstring(L, 2);
  cvl_err e = {0};
  return cvl_atomic_keep(path, as, &e) == 0 ? 0 : cvl_raise(L, "keep", &e);
}

/* sweep(folder) -> how many temporary files of dead writers it removed */
static int sweep(lua_State *L) {
  const char *folder = luaL_checkstring(L, 1);
  cvl_err e = {0};
  int n = cvl_atomic_sweep(folder, &e);
  if (n < 0) return cvl_raise(L, "sweep", &e);
  lua_pushinteger(L, n);
  return 1;
}

/* make_folder(path): with those above it; no error when it is there */
static int make_folder(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  cvl_err e = {0};
  return cvl_make_folders(path, &e) == 0 ? 0 : cvl_raise(L, "make_folder", &e);
}

/* A DIR in a box, because the names are made into Lua strings one by one. */
static int close_folder(lua_State *L) {
  DIR **d = luaL_checkudata(L, 1, FOLDER);
  if (*d != NULL) closedir(*d);
  *d = NULL;
  return 0;
}

/* list_folder(path) -> names in it, sorted by bytes, without . and .. */
static int list_folder(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  const struct dirent *entry;
  cvl_err e = {0};
  lua_Integer n = 0;
  DIR **d = lua_newuserdatauv(L, sizeof *d, 0);
  *d = NULL;
  luaL_setmetatable(L, FOLDER);
  if ((*d = opendir(path)) == NULL) {
    cvl_fail_errno(&e, errno, "open folder", path);
    return cvl_raise(L, "list_folder", &e);
  }
  lua_newtable(L);
  while ((entry = readdir(*d)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, -2, ++n);
  }
  closedir(*d);
  *d = NULL;
  lua_getfield(L, lua_upvalueindex(1), "sort");
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
  return 1;
}

/* stat(path) -> {kind = "file" | "folder" | "other", size = bytes, modified = seconds since 1970},
** or nil */
static int stat_path(lua_State *L) {
  struct stat s;
  if (stat(luaL_checkstring(L, 1), &s) != 0) return 0;
  lua_createtable(L, 0, 3);
  lua_pushstring(L, S_ISREG(s.st_mode) ? "file" : S_ISDIR(s.st_mode) ? "folder" : "other");
  lua_setfield(L, -2, "kind");
  lua_pushinteger(L, (lua_Integer)s.st_size);
  lua_setfield(L, -2, "size");
  lua_pushinteger(L, (lua_Integer)s.st_mtime);
  lua_setfield(L, -2, "modified");
  return 1;
}

/* sha1(string) -> 40 hexadecimal digits */
static int sha1(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 1, &size);
  char text[CVL_SHA1_TEXT];
  cvl_sha1_of(data, size, text);
  lua_pushstring(L, text);
  return 1;
}

/* check_sha1(path, sum [, size]): an error with both sums when the file has another one */
static int check_sha1(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *sum = luaL_checkstring(L, 2);
  cvl_err e = {0};
  if (cvl_check_sha1(path, luaL_optinteger(L, 3, 0), sum, &e) != 0)
    return cvl_raise(L, "check_sha1", &e);
  return 0;
}

/* ---- downloads */

enum { PROGRESS = 6 }; /* stack index of the function */

typedef struct {
  lua_State *L;
  bool raised; /* its error object is on top of the stack */
} listener;

/* libcurl's frames lie below this call: what Lua raises is caught here and raised again once they
** are gone. */
static int tell_progress(void *context, int64_t done, int64_t total) {
  listener *l = context;
  bool go_on;
  if (l->raised) return 1;
  lua_pushvalue(l->L, PROGRESS);
  lua_pushinteger(l->L, (lua_Integer)done);
  lua_pushinteger(l->L, (lua_Integer)total);
  if (lua_pcall(l->L, 2, 1, 0) != LUA_OK) {
    l->raised = true;
    return 1;
  }
  go_on = lua_isnil(l->L, -1) || lua_toboolean(l->L, -1);
  lua_pop(l->L, 1);
  return !go_on;
}

/*
** fetch{url, path, size, sha1, progress}: downloads, going on from an earlier try, and checks
** before it renames. progress(done, total) is called several times a second; when it returns false
** the download stops, with an error.
*/
static int fetch(lua_State *L) {
  cvl_fetch_request r = {0};
  listener l = {.L = L};
  cvl_err e = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "url");
  lua_getfield(L, 1, "path");
  lua_getfield(L, 1, "size");
  lua_getfield(L, 1, "sha1");
  lua_getfield(L, 1, "progress");
  luaL_argcheck(L, lua_type(L, 2) == LUA_TSTRING, 1, "url: string expected");
  luaL_argcheck(L, lua_type(L, 3) == LUA_TSTRING, 1, "path: string expected");
  luaL_argcheck(L, lua_isnil(L, 4) || lua_isinteger(L, 4), 1, "size: integer expected");
  luaL_argcheck(L, lua_isnil(L, 5) || lua_type(L, 5) == LUA_TSTRING, 1, "sha1: string expected");
  luaL_argcheck(L, lua_isnil(L, 6) || lua_isfunction(L, 6), 1, "progress: function expected");
  luaL_checkstack(L, 8, "fetch");
  r.url = lua_tostring(L, 2);
  r.path = lua_tostring(L, 3);
  r.size = lua_tointeger(L, 4);
  r.sha1 = lua_tostring(L, 5);
  r.context = &l;
  if (!lua_isnil(L, PROGRESS)) r.progress = tell_progress;
  if (cvl_fetch(&r, &e) == 0 && !l.raised) return 0;
  if (l.raised) return lua_error(L); /* also from the last call, when the file is there already */
  return cvl_raise(L, "fetch", &e);
}

/* extract(archive, folder [, most]) -> how many files; .tar or .tar.gz; `most` in bytes, 4 GiB when
** left out */
static int extract(lua_State *L) {
  const char *archive = luaL_checkstring(L, 1), *folder = luaL_checkstring(L, 2);
  lua_Integer most = luaL_optinteger(L, 3, (lua_Integer)1 << 32);
  cvl_err e = {0};
  int n = cvl_tar_extract(archive, folder, most, &e);
  if (n < 0) return cvl_raise(L, "extract", &e);
  lua_pushinteger(L, n);
  return 1;
}

static void new_kind(lua_State *L, const char *name, lua_CFunction finalizer) {
  if (luaL_newmetatable(L, name)) {
    lua_pushcfunction(L, finalizer);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
}

int cvl_open_io(lua_State *L) {
  static const luaL_Reg functions[] = {{"read_file", read_file},
                                       {"write_file", write_file},
                                       {"keep", keep},
                                       {"sweep", sweep},
                                       {"make_folder", make_folder},
                                       {"stat", stat_path},
                                       {"sha1", sha1},
                                       {"check_sha1", check_sha1},
                                       {"fetch", fetch},
                                       {"extract", extract},
                                       {NULL, NULL}};
  static const luaL_Reg listing[] = {{"list_folder", list_folder}, {NULL, NULL}};
  new_kind(L, BYTES, free_bytes);
  new_kind(L, FOLDER, close_folder);
  luaL_newlib(L, functions);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "table"); /* for sort */
  lua_remove(L, -2);
  luaL_setfuncs(L, listing, 1);
  cvl_open_npz(L);
  cvl_open_image(L);
  return 1;
}

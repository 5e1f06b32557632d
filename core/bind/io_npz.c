/*
** convlua.core.io: tables of tensors to and from .npz files.
*/
#include <string.h>

#include "bind/box.h"
#include "bind/io.h"
#include "io/snapshot.h"

static const char SNAPSHOT[] = "convlua.snapshot", READER[] = "convlua.npz_reader";
static const char WRITER[] = "convlua.npz_writer";

/* ---- writing */

static int free_snapshot(lua_State *L) {
  cvl_snapshot_free(luaL_checkudata(L, 1, SNAPSHOT));
  return 0;
}

static cvl_snapshot *new_snapshot(lua_State *L) {
  cvl_snapshot *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  luaL_setmetatable(L, SNAPSHOT);
  return s;
}

/* Argument `index`, {name = tensor}, is checked whole before anything is held. */
static void check_tensors(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    size_t length = 0;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
    if (name == NULL || length == 0 || strlen(name) != length)
      luaL_argerror(L, index, "keys must be names: strings that are not empty, without zero bytes");
    if (cvl_test_tensor(L, -1) == NULL) {
      bool freed = luaL_testudata(L, -1, CVL_TENSOR) != NULL;
      const char *what = freed ? "freed tensor" : luaL_typename(L, -1);
      luaL_argerror(L, index, lua_pushfstring(L, "'%s': tensor expected, got %s", name, what));
    }
    lua_pop(L, 1);
  }
}

/* lua_next on a table that nobody changes raises nothing, so the snapshot may grow in between. */
static int gather(lua_State *L, int index, cvl_snapshot *s, bool copy, cvl_err *e) {
  int rc = 0;
  lua_pushnil(L);
  while (rc == 0 && lua_next(L, index) != 0) {
    rc = cvl_snapshot_add(s, lua_tostring(L, -2), cvl_test_tensor(L, -1), copy, e);
    lua_pop(L, 1);
  }
  if (rc != 0) {
    lua_pop(L, 1); /* the key */
    cvl_snapshot_free(s);
  }
  return rc;
}

static cvl_snapshot *take_snapshot(lua_State *L, int index, bool copy, const char *who) {
  cvl_err e = {0};
  cvl_snapshot *s = new_snapshot(L);
  check_tensors(L, index);
  if (gather(L, index, s, copy, &e) != 0 && e.code == CVL_ENOMEM) {
    e = (cvl_err){0};
    cvl_collect_all(L);
    check_tensors(L, index); /* a finalizer may have freed one */
    gather(L, index, s, copy, &e);
  }
  if (e.code != CVL_OK) cvl_raise(L, who, &e);
  return s;
}

/* save_npz(path, {name = tensor}) */
static int save_npz(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  cvl_err e = {0};
  cvl_snapshot *s = take_snapshot(L, 2, false, "save_npz");
  int rc = cvl_snapshot_save(s, path, &e);
  cvl_snapshot_free(s);
  return rc == 0 ? 0 : cvl_raise(L, "save_npz", &e);
}

static int free_writer(lua_State *L) {
  cvl_writer **w = luaL_checkudata(L, 1, WRITER);
  cvl_writer_free(*w);
  *w = NULL;
  return 0;
}

/* The state's one writer; the program's end waits for it. */
static cvl_writer *writer(lua_State *L) {
  cvl_writer **w = lua_touserdata(L, lua_upvalueindex(1));
  cvl_err e = {0};
  if (*w == NULL && (*w = cvl_writer_new(&e)) == NULL) cvl_raise(L, "save_npz_async", &e);
  return *w;
}

/* save_npz_async(path, {name = tensor}): takes a copy and writes it while the program goes on.
** Waits for the write before; when that one failed raises its error instead of starting. */
static int save_npz_async(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  cvl_writer *w = writer(L);
  cvl_err e = {0};
  if (cvl_writer_wait(w, &e) != 0)
    return cvl_raise(L, "save_npz_async", &e); /* two copies never live */
  if (cvl_writer_start(w, take_snapshot(L, 2, true, "save_npz_async"), path, &e) != 0)
    return cvl_raise(L, "save_npz_async", &e);
  return 0;
}

/* wait(): until nothing is being written; raises the error of the last save_npz_async. */
static int wait(lua_State *L) {
  cvl_err e = {0};
  return cvl_writer_wait(writer(L), &e) == 0 ? 0 : cvl_raise(L, "save_npz_async", &e);
}

/* busy() -> whether save_npz_async still writes */
static int busy(lua_State *L) {
  lua_pushboolean(L, cvl_writer_busy(writer(L)));
  return 1;
}

/* ---- reading */

static int close_reader(lua_State *L) {
  cvl_npz **z = luaL_checkudata(L, 1, READER);
  cvl_npz_close(*z);
  *z = NULL;
  return 0;
}

static cvl_npz **open_reader(lua_State *L, const char *path, const char *who) {
  cvl_err e = {0};
  cvl_npz **z = lua_newuserdatauv(L, sizeof *z, 0);
  *z = NULL;
  luaL_setmetatable(L, READER);
  if ((*z = cvl_npz_open(path, &e)) == NULL) cvl_raise(L, who, &e);
  return z;
}

static int read_entry(cvl_npz *z, int i, cvl_tensor **slot, cvl_err *e) {
  const cvl_npy *h = &cvl_npz_at(z, i)->header;
  if ((*slot = cvl_tensor_new(&h->shape, h->dtype, cvl_cpu(), e)) == NULL) return -1;
  return cvl_npz_read(z, i, cvl_data(*slot), e);
}

/* load_npz(path) -> {name = tensor}. Nothing in the file is executed. */
static int load_npz(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  cvl_npz **z = open_reader(L, path, "load_npz");
  lua_createtable(L, 0, cvl_npz_count(*z));
  for (int i = 0; i < cvl_npz_count(*z); i++) {
    cvl_err e = {0};
    cvl_tensor **slot = cvl_box(L);
    if (read_entry(*z, i, slot, &e) != 0 && e.code == CVL_ENOMEM) {
      e = (cvl_err){0};
      cvl_collect_all(L);
      read_entry(*z, i, slot, &e);
    }
    if (e.code != CVL_OK) {
      cvl_npz_close(*z);
      *z = NULL;
      return cvl_raise(L, "load_npz", &e);
    }
    lua_pushstring(L, cvl_npz_at(*z, i)->name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
  }
  cvl_npz_close(*z);
  *z = NULL;
  cvl_collect_if_due(L);
  return 1;
}

/* npz_info(path) -> {name = {shape = {...}, dtype = "float32"}}, without reading the data */
static int npz_info(lua_State *L) {
  cvl_npz **z = open_reader(L, luaL_checkstring(L, 1), "npz_info");
  lua_createtable(L, 0, cvl_npz_count(*z));
  for (int i = 0; i < cvl_npz_count(*z); i++) {
    const cvl_npz_entry *entry = cvl_npz_at(*z, i);
    lua_pushstring(L, entry->name);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, cvl_dtype_name(entry->header.dtype));
    lua_setfield(L, -2, "dtype");
    lua_createtable(L, entry->header.shape.ndim, 0);
    for (int k = 0; k < entry->header.shape.ndim; k++) {
      lua_pushinteger(L, entry->header.shape.dim[k]);
      lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "shape");
    lua_rawset(L, -3);
  }
  return 1;
}

static void new_kind(lua_State *L, const char *name, lua_CFunction finalizer) {
  if (luaL_newmetatable(L, name)) {
    lua_pushcfunction(L, finalizer);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
}

void cvl_open_npz(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"save_npz", save_npz}, {"load_npz", load_npz}, {"npz_info", npz_info}, {NULL, NULL}};
  static const luaL_Reg writing[] = {
      {"save_npz_async", save_npz_async}, {"wait", wait}, {"busy", busy}, {NULL, NULL}};
  new_kind(L, SNAPSHOT, free_snapshot);
  new_kind(L, READER, close_reader);
  new_kind(L, WRITER, free_writer);
  luaL_setfuncs(L, functions, 0);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "convlua.writer") ==
      LUA_TNIL) { /* one for every opening */
    lua_pop(L, 1);
    cvl_writer **w = lua_newuserdatauv(L, sizeof *w, 0);
    *w = NULL;
    luaL_setmetatable(L, WRITER);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "convlua.writer");
  }
  luaL_setfuncs(L, writing, 1);
}

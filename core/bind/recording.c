/* core.device.record: work of a device that is written down and done again; see device/recording.h. */
#include "device/recording.h"

#include "bind/check.h"
#include "bind/open.h"

#define RECORDING "convlua.recording"

typedef struct {
  cvl_recording *r; /* NULL: freed, or not begun */
} handle;

static cvl_recording *check_recording(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, RECORDING);
  if (h->r == NULL) luaL_argerror(L, 1, "the recording has been freed");
  return h->r;
}

/* r:free(), __gc and __close. A second call is harmless. */
static int free_recording(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, RECORDING);
  cvl_recording *r = h->r;
  h->r = NULL;
  cvl_recording_free(r);
  return 0;
}

/* r:replay() -> r */
static int replay(lua_State *L) {
  cvl_err e = {0};
  if (cvl_recording_replay(check_recording(L), &e) != 0) return cvl_raise(L, "replay", &e);
  lua_settop(L, 1);
  return 1;
}

static int text(lua_State *L) {
  const handle *h = luaL_checkudata(L, 1, RECORDING);
  if (h->r == NULL)
    lua_pushliteral(L, "recording (freed)");
  else
    lua_pushfstring(L, "recording on %s", h->r->device->name);
  return 1;
}

/* record(device, f, ...) -> recording, what f returns */
static int record(lua_State *L) {
  cvl_device *d = cvl_check_device(L, 1);
  cvl_err e = {0};
  handle *h;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  h = lua_newuserdatauv(L, sizeof *h, 0);
  h->r = NULL;
  luaL_setmetatable(L, RECORDING);
  lua_replace(L, 1);
  if ((h->r = cvl_recording_begin(d, &e)) == NULL) return cvl_raise(L, "record", &e);
  if (lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0) != LUA_OK) {
    cvl_recording_free(h->r);
    h->r = NULL;
    return lua_error(L);
  }
  if (cvl_recording_end(h->r, &e) == 0) return lua_gettop(L);
  cvl_recording_free(h->r);
  h->r = NULL;
  return cvl_raise(L, "record", &e);
}

void cvl_open_recording(lua_State *L) {
  static const luaL_Reg methods[] = {{"replay", replay}, {"free", free_recording}, {NULL, NULL}};
  static const luaL_Reg life[] = {
      {"__gc", free_recording}, {"__close", free_recording}, {"__tostring", text}, {NULL, NULL}};
  if (luaL_newmetatable(L, RECORDING)) {
    luaL_setfuncs(L, life, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, RECORDING);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  lua_getfield(L, -1, "device");
  lua_pushcfunction(L, record);
  lua_setfield(L, -2, "record");
  lua_pop(L, 1);
}

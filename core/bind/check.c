#include "bind/check.h"

#include <math.h>
#include <string.h>

int64_t cvl_from_one(int64_t i) { return i > 0 ? i - 1 : i; }

static int bad(lua_State *L, const char *who, const cvl_option *o, const char *wanted, int index) {
  const char *got = lua_type(L, index) == LUA_TNUMBER ? luaL_tolstring(L, index, NULL)
                    : lua_type(L, index) == LUA_TSTRING
                        ? lua_pushfstring(L, "'%s'", lua_tostring(L, index))
                        : luaL_typename(L, index);
  return luaL_error(L, "%s: option '%s': %s expected, got %s", who, o->name, wanted, got);
}

static int64_t whole(lua_State *L, const char *who, const cvl_option *o, int index,
                     const char *wanted) {
  int ok = 0;
  int64_t v = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &ok) : 0;
  if (!ok) bad(L, who, o, wanted, index);
  return v;
}

static void check_range(lua_State *L, const char *who, const cvl_option *o, int index, double v) {
  const char *wanted = o->range == CVL_POSITIVE && !(v > 0)        ? "positive"
                       : o->range == CVL_NOT_NEGATIVE && !(v >= 0) ? "0 or more"
                       : o->range == CVL_PROBABILITY && !(v >= 0 && v < 1)
                           ? "at least 0 and below 1"
                           : NULL;
  if (wanted != NULL)
    luaL_error(L, "%s: %s must be %s, got %s", who, o->name, wanted,
               luaL_tolstring(L, index, NULL));
}

/* One integer, or a table of them, each from `lowest` on. */
static void read_ints(lua_State *L, const char *who, const cvl_option *o, int index, int64_t lowest,
                      cvl_ints *out) {
  int n = 1;
  bool table = lua_istable(L, index);
  if (table && lua_rawlen(L, index) > CVL_MAX_DIM)
    luaL_error(L, "%s: option '%s': at most %d integers expected, got %d", who, o->name,
               CVL_MAX_DIM, (int)lua_rawlen(L, index));
  if (table) n = (int)lua_rawlen(L, index);
  for (int i = 0; i < n; i++) {
    if (table) lua_rawgeti(L, index, i + 1);
    int at = table ? lua_gettop(L) : index;
    int64_t v = whole(L, who, o, at, "integer or table of integers");
    if (v < lowest)
      luaL_error(L, "%s: %s must be %s, got %I", who, o->name,
                 lowest > 0 ? "positive" : "0 or more", (LUAI_UACINT)v);
    out->v[i] = v;
    if (table) lua_pop(L, 1);
  }
  out->n = n;
}

static void read_axes(lua_State *L, const char *who, const cvl_option *o, int index,
                      cvl_ints *out) {
  read_ints(L, who, o, index, INT64_MIN, out);
  for (int i = 0; i < out->n; i++) {
    if (out->v[i] == 0)
      luaL_error(L, "%s: %s counts from 1 (or from the end, -1), got 0", who, o->name);
    out->v[i] = cvl_from_one(out->v[i]);
  }
}

/* {{before, after}, ...} or {both, ...} */
static void read_pairs(lua_State *L, const char *who, const cvl_option *o, int index,
                       cvl_padding *out) {
  static const char wanted[] =
      "\"valid\", \"same\", an integer, {h, w} or {{top, bottom}, {left, right}}";
  int n = (int)lua_rawlen(L, index);
  if (n < 1 || n > CVL_MAX_DIM) bad(L, who, o, wanted, index);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, index, i + 1);
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
      if (lua_rawlen(L, at) != 2) bad(L, who, o, wanted, at);
      lua_rawgeti(L, at, 1);
      lua_rawgeti(L, at, 2);
      out->before[i] = whole(L, who, o, at + 1, wanted);
      out->after[i] = whole(L, who, o, at + 2, wanted);
    } else {
      out->before[i] = out->after[i] = whole(L, who, o, at, wanted);
    }
    lua_settop(L, at - 1);
    if (out->before[i] < 0 || out->after[i] < 0)
      luaL_error(L, "%s: %s must be 0 or more, got {%I, %I}", who, o->name,
                 (LUAI_UACINT)out->before[i], (LUAI_UACINT)out->after[i]);
  }
  out->kind = CVL_PAD_EXPLICIT;
  out->n = n;
}

static void read_padding(lua_State *L, const char *who, const cvl_option *o, int index,
                         cvl_padding *out) {
  const char *word = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
  *out = (cvl_padding){.kind = CVL_PAD_VALID};
  if (lua_istable(L, index)) {
    read_pairs(L, who, o, index, out);
  } else if (word != NULL && strcmp(word, "same") == 0) {
    out->kind = CVL_PAD_SAME;
  } else if (word == NULL || strcmp(word, "valid") != 0) {
    out->before[0] = out->after[0] =
        whole(L, who, o, index,
              "\"valid\", \"same\", an integer, {h, w} or {{top, bottom}, {left, right}}");
    if (out->before[0] < 0)
      luaL_error(L, "%s: %s must be 0 or more, got %I", who, o->name, (LUAI_UACINT)out->before[0]);
    out->kind = CVL_PAD_EXPLICIT;
    out->n = 1;
  }
}

static void read_choice(lua_State *L, const char *who, const cvl_option *o, int index, int *out) {
  const char *word = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
  for (int i = 0; o->choices[i] != NULL; i++)
    if (word != NULL && strcmp(word, o->choices[i]) == 0) {
      *out = i;
      return;
    }
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; o->choices[i] != NULL; i++) {
    if (i > 0) luaL_addstring(&b, ", ");
    luaL_addstring(&b, o->choices[i]);
  }
  luaL_pushresult(&b);
  bad(L, who, o, lua_pushfstring(L, "one of %s", lua_tostring(L, -1)), index);
}

static void read_value(lua_State *L, const char *who, const cvl_option *o, int index,
                       void *options) {
  void *p = (char *)options + o->offset;
  switch (o->kind) {
  case CVL_OPT_NUMBER:
    if (lua_type(L, index) != LUA_TNUMBER) bad(L, who, o, "number", index);
    *(double *)p = lua_tonumber(L, index);
    check_range(L, who, o, index, *(double *)p);
    break;
  case CVL_OPT_INT:
    *(int64_t *)p = whole(L, who, o, index, "integer");
    check_range(L, who, o, index, (double)*(int64_t *)p);
    break;
  case CVL_OPT_BOOL:
    if (!lua_isboolean(L, index)) bad(L, who, o, "boolean", index);
    *(bool *)p = lua_toboolean(L, index);
    break;
  case CVL_OPT_CHOICE:
    read_choice(L, who, o, index, p);
    break;
  case CVL_OPT_AXIS: {
    int64_t axis = whole(L, who, o, index, "integer");
    if (axis == 0) luaL_error(L, "%s: %s counts from 1 (or from the end, -1), got 0", who, o->name);
    *(int64_t *)p = cvl_from_one(axis);
    break;
  }
  case CVL_OPT_AXES:
    read_axes(L, who, o, index, p);
    break;
  case CVL_OPT_SHAPE:
    read_ints(L, who, o, index, -1, p);
    break;
  case CVL_OPT_SIZES:
    read_ints(L, who, o, index, o->range == CVL_NOT_NEGATIVE ? 0 : 1, p);
    break;
  case CVL_OPT_PADDING:
    read_padding(L, who, o, index, p);
    break;
  case CVL_OPT_PAIRS:
    if (!lua_istable(L, index)) bad(L, who, o, "table of {before, after}, one per axis", index);
    read_pairs(L, who, o, index, p);
    break;
  case CVL_OPT_DTYPE: {
    cvl_dtype t;
    if (lua_type(L, index) != LUA_TSTRING) bad(L, who, o, "name of an element type", index);
    if (!cvl_dtype_parse(lua_tostring(L, index), &t))
      luaL_error(
          L, "%s: no element type '%s'; there are float32, float64, int32, int64, uint8 and bool",
          who, lua_tostring(L, index));
    *(int *)p = (int)t;
    break;
  }
  }
}

static bool takes_several(const cvl_option *o) {
  return o->kind == CVL_OPT_AXES || o->kind == CVL_OPT_SHAPE || o->kind == CVL_OPT_SIZES;
}

static bool takes_table(const cvl_option *o) {
  return takes_several(o) || o->kind == CVL_OPT_PADDING || o->kind == CVL_OPT_PAIRS;
}

/* A table of named options, as opposed to a list; an empty one is named options unless a list is due. */
static bool is_named(lua_State *L, int index, const cvl_option *next) {
  bool list_due = next != NULL && next->name != NULL && takes_table(next);
  if (!lua_istable(L, index)) return false;
  if (lua_rawlen(L, index) > 0) return false;
  lua_pushnil(L);
  if (lua_next(L, index) == 0) return !list_due || next->range != CVL_REQUIRED;
  lua_pop(L, 2);
  return true;
}

static const cvl_option *named(const cvl_option *list, const char *name) {
  for (; list != NULL && list->name != NULL; list++)
    if (strcmp(list->name, name) == 0) return list;
  return NULL;
}

static bool among(const char *const *names, const char *name) {
  for (; names != NULL && *names != NULL; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

static void unknown(lua_State *L, const char *who, const cvl_option *list, const char *name) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    if (o != list) luaL_addstring(&b, ", ");
    luaL_addstring(&b, o->name);
  }
  luaL_pushresult(&b);
  if (list == NULL || list->name == NULL)
    luaL_error(L, "%s: unknown option '%s': there are none", who, name);
  luaL_error(L, "%s: unknown option '%s'; there are %s", who, name, lua_tostring(L, -1));
}

void cvl_check_option_table(lua_State *L, int index, const char *who, const cvl_option *list,
                            void *options, const char *const *also) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 10, who);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    const cvl_option *o = name != NULL ? named(list, name) : NULL;
    if (o != NULL)
      read_value(L, who, o, lua_gettop(L), options);
    else if (name == NULL)
      luaL_error(L, "%s: options have names, got a %s as key", who, luaL_typename(L, -2));
    else if (!among(also, name))
      unknown(L, who, list, name);
    lua_pop(L, 1);
  }
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++)
    if (o->range == CVL_REQUIRED) {
      lua_pushstring(L, o->name);
      if (lua_rawget(L, index) == LUA_TNIL)
        luaL_error(L, "%s: option '%s' is missing", who, o->name);
      lua_pop(L, 1);
    }
}

void cvl_check_options(lua_State *L, int first, const char *who, const cvl_option *list,
                       size_t bytes, void *options) {
  int top = lua_gettop(L), at = first;
  const cvl_option *o = list;
  luaL_checkstack(L, 12, who);
  memset(options, 0, bytes);
  cvl_options_default(list, options);
  while (top >= first && lua_isnil(L, top)) top--;
  for (; at <= top && !is_named(L, at, o); at++, o++) {
    if (o == NULL || o->name == NULL)
      luaL_error(L, "%s: %d arguments at most expected, got %d", who, at - 1, top);
    if (takes_several(o) && lua_isinteger(L, at) && at < top && lua_isinteger(L, at + 1)) {
      lua_newtable(L); /* reshape(x, 2, 3): gather the run of integers */
      for (int i = 1; at <= top && lua_isinteger(L, at); at++, i++) {
        lua_pushvalue(L, at);
        lua_rawseti(L, -2, i);
      }
      at--;
      read_value(L, who, o, lua_gettop(L), options);
      lua_pop(L, 1);
    } else if (!lua_isnil(L, at)) {
      read_value(L, who, o, at, options);
    } else if (o->range == CVL_REQUIRED) {
      luaL_error(L, "%s: option '%s' is missing", who, o->name);
    }
  }
  if (at <= top) {
    if (at < top) luaL_error(L, "%s: the table of options must be the last argument", who);
    cvl_check_option_table(L, at, who, o, options, NULL);
  } else {
    for (; o != NULL && o->name != NULL; o++)
      if (o->range == CVL_REQUIRED) luaL_error(L, "%s: option '%s' is missing", who, o->name);
  }
}

void cvl_check_shape(lua_State *L, int index, int last, const char *who, cvl_shape *shape) {
  cvl_ints sizes = {0};
  static const cvl_option size = {.name = "shape"};
  if (lua_istable(L, index)) {
    read_ints(L, who, &size, index, 0, &sizes);
  } else {
    if (last - index + 1 > CVL_MAX_DIM)
      luaL_error(L, "%s: at most %d axes are possible", who, CVL_MAX_DIM);
    for (; index <= last; index++) {
      int64_t v = whole(L, who, &size, index, "integer or table of integers");
      if (v < 0) luaL_error(L, "%s: shape must be 0 or more, got %I", who, (LUAI_UACINT)v);
      sizes.v[sizes.n++] = v;
    }
  }
  shape->ndim = sizes.n;
  memcpy(shape->dim, sizes.v, sizeof shape->dim);
}

cvl_dtype cvl_check_dtype(lua_State *L, int index, cvl_dtype def) {
  cvl_dtype t = def;
  if (!lua_isnoneornil(L, index) && !cvl_dtype_parse(luaL_checkstring(L, index), &t))
    luaL_error(
        L,
        "no element type '%s'; there are float32, float64, bfloat16, float16, int32, int64, uint8 and bool",
        lua_tostring(L, index));
  return t;
}

cvl_device *cvl_check_device(lua_State *L, int index) {
  cvl_err e = {0};
  cvl_device *d;
  if (lua_isnoneornil(L, index)) return cvl_cpu();
  if ((d = cvl_device_get(luaL_checkstring(L, index), &e)) == NULL) cvl_raise(L, "device", &e);
  return d;
}

#include "bind/options.h"

#include <stdio.h>
#include <string.h>

static void push_ints(lua_State *L, const int64_t *v, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* Axes count from 1, or from the end. */
static lua_Integer to_one(int64_t axis) { return axis >= 0 ? axis + 1 : axis; }

static void push_pairs(lua_State *L, const cvl_padding *p) {
  lua_createtable(L, p->n, 0);
  for (int i = 0; i < p->n; i++) {
    push_ints(L, (const int64_t[]){p->before[i], p->after[i]}, 2);
    lua_rawseti(L, -2, i + 1);
  }
}

/* As short as it can be said: a word, a number, {h, w}, {{top, bottom}, {left, right}}. */
static void push_padding(lua_State *L, const cvl_padding *p) {
  bool symmetric = true;
  if (p->kind != CVL_PAD_EXPLICIT) {
    lua_pushstring(L, p->kind == CVL_PAD_SAME ? "same" : "valid");
    return;
  }
  for (int i = 0; i < p->n; i++) symmetric = symmetric && p->before[i] == p->after[i];
  if (symmetric && p->n == 1)
    lua_pushinteger(L, p->before[0]);
  else if (symmetric)
    push_ints(L, p->before, p->n);
  else
    push_pairs(L, p);
}

static void push_number(lua_State *L, double v) {
  lua_Integer i;
  if (lua_numbertointeger(v, &i) && (double)i == v)
    lua_pushinteger(L, i); /* 1, not 1.0 */
  else
    lua_pushnumber(L, v);
}

void cvl_push_option(lua_State *L, const cvl_option *o, const void *options) {
  const void *p = (const char *)options + o->offset;
  const cvl_ints *ints = p;
  luaL_checkstack(L, 4, "options");
  switch (o->kind) {
  case CVL_OPT_NUMBER:
    push_number(L, *(const double *)p);
    break;
  case CVL_OPT_INT:
    lua_pushinteger(L, *(const int64_t *)p);
    break;
  case CVL_OPT_BOOL:
    lua_pushboolean(L, *(const bool *)p);
    break;
  case CVL_OPT_CHOICE:
    lua_pushstring(L, o->choices[*(const int *)p]);
    break;
  case CVL_OPT_AXIS:
    if (*(const int64_t *)p == CVL_NO_AXIS)
      lua_pushnil(L);
    else
      lua_pushinteger(L, to_one(*(const int64_t *)p));
    break;
  case CVL_OPT_AXES:
    if (ints->n < 0) {
      lua_pushnil(L);
    } else {
      cvl_ints axes = *ints;
      for (int i = 0; i < axes.n; i++) axes.v[i] = to_one(axes.v[i]);
      push_ints(L, axes.v, axes.n);
    }
    break;
  case CVL_OPT_SHAPE:
    push_ints(L, ints->v, ints->n);
    break;
  case CVL_OPT_SIZES:
    if (ints->n == 1 && ints->v[0] == 0 && o->range == CVL_POSITIVE)
      lua_pushnil(L); /* follows another option */
    else if (ints->n == 1)
      lua_pushinteger(L, ints->v[0]);
    else
      push_ints(L, ints->v, ints->n);
    break;
  case CVL_OPT_PADDING:
    push_padding(L, p);
    break;
  case CVL_OPT_PAIRS:
    push_pairs(L, p);
    break;
  case CVL_OPT_DTYPE:
    if (*(const int *)p < 0)
      lua_pushnil(L);
    else
      lua_pushstring(L, cvl_dtype_name((cvl_dtype) * (const int *)p));
    break;
  }
}

void cvl_push_option_values(lua_State *L, const cvl_option *list, const void *options) {
  lua_newtable(L);
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    cvl_push_option(L, o, options);
    lua_setfield(L, -2, o->name);
  }
}

void cvl_push_option_list(lua_State *L, const cvl_option *list, size_t bytes) {
  static const char *const kinds[] = {"number", "integer", "boolean", "choice", "axis", "axes",
                                      "shape",  "sizes",   "padding", "pairs",  "dtype"};
  void *defaults = lua_newuserdatauv(L, bytes > 0 ? bytes : 1, 0);
  memset(defaults, 0, bytes);
  cvl_options_default(list, defaults);
  lua_newtable(L);
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    lua_createtable(L, 0, 6);
    lua_pushstring(L, o->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, kinds[o->kind]);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, o->doc);
    lua_setfield(L, -2, "doc");
    lua_pushboolean(L, o->range == CVL_REQUIRED);
    lua_setfield(L, -2, "required");
    if (o->range != CVL_REQUIRED) {
      cvl_push_option(L, o, defaults);
      lua_setfield(L, -2, "default");
    }
    if (o->kind == CVL_OPT_CHOICE) {
      lua_newtable(L);
      for (int i = 0; o->choices[i] != NULL; i++) {
        lua_pushstring(L, o->choices[i]);
        lua_rawseti(L, -2, i + 1);
      }
      lua_setfield(L, -2, "choices");
    }
    lua_rawseti(L, -2, (lua_Integer)(o - list) + 1);
  }
  lua_remove(L, -2); /* the defaults */
}

uint64_t cvl_options_given(lua_State *L, int index, const cvl_option *list) {
  uint64_t given = 0;
  index = lua_absindex(L, index);
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    lua_pushstring(L, o->name);
    if (lua_rawget(L, index) != LUA_TNIL) given |= (uint64_t)1 << (o - list);
    lua_pop(L, 1);
  }
  return given;
}

/* Replaces the value on top by its text: numbers and words as in Lua's source, lists in braces. */
static void to_text(lua_State *L) {
  int n;
  if (lua_type(L, -1) == LUA_TSTRING) {
    lua_pushfstring(L, "\"%s\"", lua_tostring(L, -1));
    lua_remove(L, -2);
    return;
  }
  if (!lua_istable(L, -1)) {
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    return;
  }
  luaL_checkstack(L, 8, "options");
  n = (int)lua_rawlen(L, -1);
  lua_pushliteral(L, "{");
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, -2, i);
    to_text(L);
    lua_pushstring(L, i < n ? ", " : "");
    lua_concat(L, 3);
  }
  lua_pushliteral(L, "}");
  lua_concat(L, 2);
  lua_remove(L, -2);
}

void cvl_push_options_text(lua_State *L, const cvl_option *list, const void *options,
                           uint64_t given) {
  const char *between = "";
  lua_pushliteral(L, "{");
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    if (!(given >> (o - list) & 1)) continue;
    lua_pushfstring(L, "%s%s = ", between, o->name);
    cvl_push_option(L, o, options);
    to_text(L);
    lua_concat(L, 3);
    between = ", ";
  }
  lua_pushliteral(L, "}");
  lua_concat(L, 2);
}

void cvl_push_grouped(lua_State *L, int64_t n) {
  char digits[32], text[48], *p = text;
  int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0) *p++ = ',';
    *p++ = digits[i];
  }
  lua_pushlstring(L, text, (size_t)(p - text));
}

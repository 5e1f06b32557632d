#ifndef CVL_BIND_IO_H
#define CVL_BIND_IO_H

#include <lua.h>

/* Pushes the table convlua.core.io. */
int cvl_open_io(lua_State *L);

/* Its parts: each adds its functions to the table on top. */
void cvl_open_npz(lua_State *L);   /* save_npz, load_npz, ... */
void cvl_open_image(lua_State *L); /* read_image, write_png, resize, ... */

/* Pushes an empty box for bytes of cvl_alloc's, which are freed with it. May raise. */
unsigned char **cvl_new_bytes(lua_State *L);

#endif

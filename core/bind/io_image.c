/*
** convlua.core.io: images. A picture is a uint8 tensor {height, width, 3}.
*/
#include <string.h>

#include "base/mem.h"
#include "bind/box.h"
#include "bind/io.h"
#include "io/atomic.h"
#include "io/file.h"
#include "io/image.h"

static int decode(const unsigned char *bytes, size_t size, const char *name, cvl_tensor **slot,
                  cvl_err *e) {
  cvl_image image;
  if (cvl_image_decode(bytes, size, name, &image, e) != 0) return -1;
  cvl_shape shape = {3, {image.height, image.width, 3}};
  if ((*slot = cvl_tensor_new(&shape, CVL_U8, cvl_cpu(), e)) != NULL)
    memcpy(cvl_data(*slot), image.rgb, (size_t)cvl_shape_count(&shape));
  cvl_image_free(&image);
  return *slot != NULL ? 0 : -1;
}

/* read_image(path) -> uint8 {height, width, 3}; JPEG or PNG */
static int read_image(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  cvl_tensor **slot = cvl_box(L);
  cvl_err e = {0};
  unsigned char *bytes = NULL;
  size_t size = 0;
  int rc = cvl_read_file(path, CVL_IMAGE_MOST_BYTES, &bytes, &size, &e);
  if (rc == 0) rc = decode(bytes, size, path, slot, &e);
  cvl_free(bytes);
  if (rc != 0) return cvl_raise(L, "read_image", &e);
  cvl_collect_if_due(L);
  return 1;
}

/* decode_image(bytes [, name]) -> uint8 {height, width, 3} */
static int decode_image(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size), *name = luaL_optstring(L, 2, "image");
  cvl_tensor **slot = cvl_box(L);
  cvl_err e = {0};
  if (decode((const unsigned char *)bytes, size, name, slot, &e) != 0)
    return cvl_raise(L, "decode_image", &e);
  return 1;
}

/* A dense uint8 {height, width, 3} in host memory; else an argument error. */
static cvl_tensor *check_picture(lua_State *L, int index) {
  cvl_tensor *x = cvl_check_tensor(L, index);
  char shape[CVL_SHAPE_TEXT];
  if (x->dtype != CVL_U8 || x->shape.ndim != 3 || x->shape.dim[2] != 3)
    luaL_argerror(L, index,
                  lua_pushfstring(L, "uint8 {height, width, 3} expected, got %s %s",
                                  cvl_dtype_name(x->dtype), cvl_shape_text(&x->shape, shape)));
  if (!cvl_device_of(x)->host_visible || !cvl_is_dense(x))
    luaL_argerror(L, index, "a dense tensor on the CPU expected: x:to(\"cpu\"):contiguous()");
  return x;
}

static void encode(lua_State *L, int index, const char *who, unsigned char **bytes, size_t *size) {
  cvl_tensor *x = check_picture(L, index);
  cvl_err e = {0};
  if (cvl_png_encode(cvl_data(x), x->shape.dim[0], x->shape.dim[1], bytes, size, &e) != 0)
    cvl_raise(L, who, &e);
}

/* encode_png(image) -> string */
static int encode_png(lua_State *L) {
  unsigned char **bytes = cvl_new_bytes(L);
  size_t size;
  encode(L, 1, "encode_png", bytes, &size);
  lua_pushlstring(L, (const char *)*bytes, size);
  cvl_free(*bytes);
  *bytes = NULL;
  return 1;
}

/* write_png(path, image); the file appears whole or not at all */
static int write_png(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  unsigned char **bytes = cvl_new_bytes(L);
  size_t size;
  cvl_err e = {0};
  int rc;
  encode(L, 2, "write_png", bytes, &size);
  rc = cvl_atomic_write(path, *bytes, size, &e);
  cvl_free(*bytes);
  *bytes = NULL;
  return rc == 0 ? 0 : cvl_raise(L, "write_png", &e);
}

/* resize(image, height, width) -> image; antialiased, as Pillow's BILINEAR */
static int resize(lua_State *L) {
  int64_t height = luaL_checkinteger(L, 2), width = luaL_checkinteger(L, 3);
  cvl_tensor **slot = cvl_box(L);
  cvl_tensor *x = check_picture(L, 1);
  cvl_shape shape = {3, {height, width, 3}};
  cvl_err e = {0};
  luaL_argcheck(L, height >= 1 && height <= CVL_IMAGE_MOST_PIXELS, 2,
                "a height of 1 or more expected");
  luaL_argcheck(L, width >= 1 && width <= CVL_IMAGE_MOST_PIXELS / height, 3,
                "a width of 1 or more, and not too large an image, expected");
  if ((*slot = cvl_tensor_new(&shape, CVL_U8, cvl_cpu(), &e)) == NULL ||
      cvl_image_resize(cvl_data(x), x->shape.dim[0], x->shape.dim[1], cvl_data(*slot), height,
                       width, &e) != 0)
    return cvl_raise(L, "resize", &e);
  cvl_collect_if_due(L);
  return 1;
}

void cvl_open_image(lua_State *L) {
  static const luaL_Reg functions[] = {{"read_image", read_image}, {"decode_image", decode_image},
                                       {"encode_png", encode_png}, {"write_png", write_png},
                                       {"resize", resize},         {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}

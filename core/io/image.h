/*
** Images in memory: 8-bit RGB, rows from the top, channels last. JPEG through libjpeg-turbo, PNG
** through libpng. A grey or palette image becomes RGB, 16 bits become 8, an alpha channel is
** dropped (not blended); the orientation note of a camera (EXIF) is not applied. These are Pillow's
** Image.open(...).convert("RGB").
*/
#ifndef CVL_IO_IMAGE_H
#define CVL_IO_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
  CVL_IMAGE_MOST_PIXELS = 1 << 26, /* height * width that is accepted: 192 MiB of RGB */
  CVL_IMAGE_MOST_BYTES = 1 << 28   /* of an image file */
};

typedef struct cvl_image {
  int64_t height, width;
  uint8_t *rgb; /* {height, width, 3}, from cvl_alloc, owned */
} cvl_image;

void cvl_image_free(cvl_image *image);

/*
** Decodes a JPEG or PNG file held in memory; `name` is the file's, for messages. The size is
** checked before anything is allocated. A damaged or cut file is refused, also where the decoder
** would have gone on with a half grey image. Errors: CVL_EFORMAT, CVL_ENOMEM.
*/
int cvl_image_decode(const unsigned char *bytes, size_t size, const char *name, cvl_image *image,
                     cvl_err *e);

/* Encodes `rgb` {height, width, 3} as PNG. *bytes is from cvl_alloc, owned by the caller. */
int cvl_png_encode(const uint8_t *rgb, int64_t height, int64_t width, unsigned char **bytes,
                   size_t *size, cvl_err *e);

/*
** y {height, width, 3} = `rgb` {from_height, from_width, 3} resized by a separable triangle filter,
** whose support grows with the reduction (antialiasing); without reduction this is bilinear
** interpolation with half-pixel centres. Same integer arithmetic, so same bytes, as Pillow's
** Image.resize(..., BILINEAR); where Pillow 13 finds it cheaper to reduce the height before it
** widens the rows, a byte may differ by one. `y` is the caller's memory.
*/
int cvl_image_resize(const uint8_t *rgb, int64_t from_height, int64_t from_width, uint8_t *y,
                     int64_t height, int64_t width, cvl_err *e);

#endif

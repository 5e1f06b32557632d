#include "io/image.h"

#include <png.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/mem.h"

void cvl_image_free(cvl_image *image) {
  cvl_free(image->rgb);
  *image = (cvl_image){0};
}

/* Makes room for the pixels once the file has told its size. */
static int make_room(cvl_image *image, int64_t height, int64_t width, const char *name,
                     cvl_err *e) {
  if (height < 1 || width < 1 || height > CVL_IMAGE_MOST_PIXELS / width)
    return cvl_fail(e, CVL_EFORMAT, 0,
                    "'%s' is an image of %lld x %lld pixels, at most %d are accepted", name,
                    (long long)width, (long long)height, CVL_IMAGE_MOST_PIXELS);
  if ((image->rgb = cvl_alloc((size_t)(height * width * 3))) == NULL)
    return cvl_fail_memory(e, (long long)(height * width * 3));
  image->height = height;
  image->width = width;
  return 0;
}

static int decode_jpeg(const unsigned char *bytes, size_t size, const char *name, cvl_image *image,
                       cvl_err *e) {
  int width, height, chroma, space, rc = -1;
  unsigned long n = (unsigned long)size;
  tjhandle jpeg = tjInitDecompress();
  if (jpeg == NULL) return cvl_fail_memory(e, 0);
  if (tjDecompressHeader3(jpeg, bytes, n, &width, &height, &chroma, &space) != 0) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' is not a readable JPEG: %s", name, tjGetErrorStr2(jpeg));
    goto done;
  }
  if (space == TJCS_CMYK || space == TJCS_YCCK) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' is a CMYK JPEG; RGB or grey is expected", name);
    goto done;
  }
  if (make_room(image, height, width, name, e) != 0) goto done;
  /* A warning also gives -1: libjpeg fills a cut file up with grey and only warns.
  ** TJFLAG_LIMITSCANS stops progressive files with an absurd number of scans, whose decoding takes
  ** for ever. */
  if (tjDecompress2(jpeg, bytes, n, image->rgb, width, 0, height, TJPF_RGB,
                    TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' is a damaged JPEG: %s", name, tjGetErrorStr2(jpeg));
    goto done;
  }
  rc = 0;
done:
  tjDestroy(jpeg);
  return rc;
}

/* RGBA to RGB: the alpha channel is left out, as Pillow does. */
static void drop_alpha(const uint8_t *rgba, uint8_t *rgb, int64_t pixels) {
  for (int64_t i = 0; i < pixels; i++) memcpy(rgb + 3 * i, rgba + 4 * i, 3);
}

static int decode_png(const unsigned char *bytes, size_t size, const char *name, cvl_image *image,
                      cvl_err *e) {
  png_image png = {.version = PNG_IMAGE_VERSION};
  uint8_t *pixels = NULL, *rgba = NULL;
  int rc = -1;
  if (!png_image_begin_read_from_memory(&png, bytes, size)) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' is not a readable PNG: %s", name, png.message);
    goto done;
  }
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* as 8 bits are, not linear, which libpng supposes */
  if (make_room(image, png.height, png.width, name, e) != 0) goto done;
  pixels = image->rgb;
  if ((png.format & PNG_FORMAT_FLAG_ALPHA) != 0) {
    png.format = PNG_FORMAT_RGBA;
    if ((pixels = rgba = cvl_alloc(PNG_IMAGE_SIZE(png))) == NULL) {
      cvl_fail_memory(e, (long long)PNG_IMAGE_SIZE(png));
      goto done;
    }
  } else {
    png.format = PNG_FORMAT_RGB;
  }
  if (!png_image_finish_read(&png, NULL, pixels, 0, NULL)) {
    cvl_fail(e, CVL_EFORMAT, 0, "'%s' is a damaged PNG: %s", name, png.message);
    goto done;
  }
  if (rgba != NULL) drop_alpha(rgba, image->rgb, image->height * image->width);
  rc = 0;
done:
  png_image_free(&png);
  cvl_free(rgba);
  return rc;
}

int cvl_image_decode(const unsigned char *bytes, size_t size, const char *name, cvl_image *image,
                     cvl_err *e) {
  static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  int rc;
  *image = (cvl_image){0};
  if (size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
    rc = decode_jpeg(bytes, size, name, image, e);
  else if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
    rc = decode_png(bytes, size, name, image, e);
  else
    rc = cvl_fail(e, CVL_EFORMAT, 0, "'%s' is neither a JPEG nor a PNG file", name);
  if (rc != 0) cvl_image_free(image);
  return rc;
}

int cvl_png_encode(const uint8_t *rgb, int64_t height, int64_t width, unsigned char **bytes,
                   size_t *size, cvl_err *e) {
  png_image png = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB};
  png_alloc_size_t room;
  unsigned char *out;
  int rc = -1;
  if (height < 1 || width < 1 || height > CVL_IMAGE_MOST_PIXELS / width)
    return cvl_fail(e, CVL_EARG, 0, "cannot encode an image of %lld x %lld pixels (expected 1..%d)",
                    (long long)width, (long long)height, CVL_IMAGE_MOST_PIXELS);
  png.height = (png_uint_32)height;
  png.width = (png_uint_32)width;
  room = PNG_IMAGE_PNG_SIZE_MAX(png); /* an upper bound, so that one pass is enough */
  if ((out = cvl_alloc(room)) == NULL) return cvl_fail_memory(e, (long long)room);
  if (!png_image_write_to_memory(&png, out, &room, 0, rgb, 0, NULL)) {
    cvl_fail(e, CVL_EIO, 0, "cannot encode the PNG: %s", png.message);
  } else {
    unsigned char *less = cvl_resize(out, room);
    *bytes = less != NULL ? less : out;
    *size = room;
    out = NULL; /* moved to the caller */
    rc = 0;
  }
  png_image_free(&png);
  cvl_free(out);
  return rc;
}

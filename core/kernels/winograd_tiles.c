/* Maps under a grid of tiles, which overlap where they are read and stick out of the map at its edges. */
#include "kernels/sizes.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

void cvl_tiled_set(cvl_tiled *g, const cvl_conv *p, int64_t step, int64_t size) {
  for (int d = 0; d < 2; d++) {
    g->step[d] = cvl_winograd_along(p, d + 1) ? step : 1;
    g->size[d] = cvl_winograd_along(p, d + 1) ? size : 1;
  }
}

/* The row and the column of a tile's first pixel, which the others follow or, mirrored, precede. */
static void find_tile(const cvl_tiled *g, int64_t tile, int64_t *h, int64_t *w) {
  *h = tile / g->wide % g->high * g->step[0] - g->top;
  *w = tile % g->wide * g->step[1] - g->left;
  if (g->mirrored[0]) *h = g->H - 1 - *h;
  if (g->mirrored[1]) *w = g->W - 1 - *w;
}

void cvl_tile_pixels(const cvl_tiled *g, int64_t tile, float *map, float *outside, float **pixel) {
  int64_t down = g->mirrored[0] ? -1 : 1, across = g->mirrored[1] ? -1 : 1, h, w;
  int64_t column[CVL_MOST_READS]; /* where a column starts in its row, negative outside the map */
  float *image = map + tile / g->wide / g->high * g->H * g->W * g->C;
  find_tile(g, tile, &h, &w);
  for (int64_t j = 0; j < g->size[1]; j++, w += across) column[j] = w < g->W ? w * g->C : -1;
  for (int64_t i = 0; i < g->size[0]; i++, h += down) {
    bool inside = h >= 0 && h < g->H;
    float *row = inside ? image + h * g->W * g->C : NULL;
    for (int64_t j = 0; j < g->size[1]; j++)
      *pixel++ = inside && column[j] >= 0 ? row + column[j] : outside;
  }
}

void cvl_tile_pixels_read(const cvl_tiled *g, int64_t tile, const float *map, const float *outside,
                          const float **pixel) {
  cvl_tile_pixels(g, tile, (float *)(uintptr_t)map, (float *)(uintptr_t)outside,
                  (float **)(uintptr_t)pixel);
}

void cvl_tile_prefetch(const cvl_tiled *g, int64_t tile, const float *map, int64_t c,
                       int64_t channels) {
  int64_t h, w;
  find_tile(g, tile, &h, &w);
  if (g->mirrored[0]) h -= g->size[0] - 1;
  if (g->mirrored[1]) w -= g->size[1] - 1;
  int64_t right = min(w + g->size[1], g->W), bottom = min(h + g->size[0], g->H), left = max(w, 0);
  int64_t pieces = channels == g->C ? 1 : right - left; /* of a row */
  int64_t length = channels == g->C ? (right - left) * g->C : channels;
  const float *image = map + tile / g->wide / g->high * g->H * g->W * g->C + c;
  for (int64_t r = max(h, 0); r < bottom; r++)
    for (int64_t p = 0; p < pieces; p++) {
      const float *from = image + (r * g->W + left + p) * g->C;
      for (int64_t i = 0; i < length; i += CVL_LINE) __builtin_prefetch(from + i, 0, 2);
    }
}

/* Maps under a grid of tiles, which overlap where they are read and stick out of the map at its edges. */
#include "kernels/sizes.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

void cvl_tiled_set(cvl_tiled *g, const cvl_conv *p, int64_t step, int64_t size) {
  int64_t down = g->mirrored[0] ? -g->W : g->W, across = g->mirrored[1] ? -1 : 1;
  for (int d = 0; d < 2; d++) {
    g->step[d] = cvl_winograd_along(p, d + 1) ? step : 1;
    g->size[d] = cvl_winograd_along(p, d + 1) ? size : 1;
  }
  for (int64_t i = 0; i < g->size[0] * g->size[1]; i++)
    g->offset[i] = (i / g->size[1] * down + i % g->size[1] * across) * g->C;
}

/* The row and the column of a tile's first pixel, which the others follow or, mirrored, precede; returns its image. */
static int64_t find_tile(const cvl_tiled *g, int64_t tile, int64_t *h, int64_t *w) {
  int64_t row = tile / g->wide;
  *h = row % g->high * g->step[0] - g->top;
  *w = tile % g->wide * g->step[1] - g->left;
  if (g->mirrored[0]) *h = g->H - 1 - *h;
  if (g->mirrored[1]) *w = g->W - 1 - *w;
  return row / g->high;
}

/* Of `size` places from `first` on, or back from there, those before the first and behind the last of 0 .. n - 1. */
static void find_missing(int64_t first, bool back, int64_t size, int64_t n, int64_t *before,
                         int64_t *behind) {
  if (back) first = n - 1 - first;
  *before = clamp(-first, 0, size);
  *behind = clamp(first + size - n, 0, size - *before);
}

/* All as if they were inside, which most are, then those that are not. */
void cvl_tile_pixels(const cvl_tiled *g, int64_t tile, float *map, float *outside, float **pixel) {
  const int64_t rows = g->size[0], columns = g->size[1];
  int64_t h, w, image = find_tile(g, tile, &h, &w), above, below, left, right;
  uintptr_t at = (uintptr_t)map + (uintptr_t)(((image * g->H + h) * g->W + w) * g->C) * sizeof *map;
  for (int64_t i = 0; i < rows * columns; i++)
    pixel[i] = (float *)(at + (uintptr_t)g->offset[i] * sizeof *map);
  find_missing(h, g->mirrored[0], rows, g->H, &above, &below);
  find_missing(w, g->mirrored[1], columns, g->W, &left, &right);
  for (int64_t i = 0; i < above * columns; i++) pixel[i] = outside;
  for (int64_t i = (rows - below) * columns; i < rows * columns; i++) pixel[i] = outside;
  for (int64_t r = 0; r < rows && left + right > 0; r++) {
    for (int64_t i = 0; i < left; i++) pixel[r * columns + i] = outside;
    for (int64_t i = columns - right; i < columns; i++) pixel[r * columns + i] = outside;
  }
}

void cvl_tile_pixels_read(const cvl_tiled *g, int64_t tile, const float *map, const float *outside,
                          const float **pixel) {
  cvl_tile_pixels(g, tile, (float *)(uintptr_t)map, (float *)(uintptr_t)outside,
                  (float **)(uintptr_t)pixel);
}

void cvl_tile_prefetch(const cvl_tiled *g, int64_t tile, const float *map, int64_t c,
                       int64_t channels) {
  int64_t h, w, image = find_tile(g, tile, &h, &w);
  if (g->mirrored[0]) h -= g->size[0] - 1;
  if (g->mirrored[1]) w -= g->size[1] - 1;
  int64_t right = min(w + g->size[1], g->W), bottom = min(h + g->size[0], g->H), left = max(w, 0);
  int64_t pieces = channels == g->C ? 1 : right - left; /* of a row */
  int64_t length = channels == g->C ? (right - left) * g->C : channels;
  map += image * g->H * g->W * g->C + c;
  for (int64_t r = max(h, 0); r < bottom; r++)
    for (int64_t p = 0; p < pieces; p++) {
      const float *from = map + (r * g->W + left + p) * g->C;
      for (int64_t i = 0; i < length; i += CVL_LINE) __builtin_prefetch(from + i, 0, 2);
    }
}

/* What tiles miss of their pixels, in the order of cvl_order. */
enum { MISSES_COLUMN, WHOLE, MISSES_ROW, MISSES_BOTH, KINDS };

static int kind_of(bool row, bool column) {
  return row ? (column ? MISSES_BOTH : MISSES_ROW) : column ? MISSES_COLUMN : WHOLE;
}

void cvl_order_set(cvl_order *o, const cvl_tiled *g, int64_t first, int64_t count) {
  const bool below = g->high * g->step[0] - g->top > g->H;
  const bool beside = g->wide * g->step[1] - g->left > g->W;
  int64_t n = 0, before[KINDS];
  for (int kind = 0; kind < KINDS; kind++) {
    int64_t p = first / g->wide % g->high, q = first % g->wide;
    before[kind] = n;
    for (int64_t t = first; t < first + count; t++) {
      if (kind_of(below && p == g->high - 1, beside && q == g->wide - 1) == kind) o->tile[n++] = t;
      if (++q < g->wide) continue;
      q = 0;
      if (++p == g->high) p = 0;
    }
  }
  o->count = count;
  for (int i = 0; i < 4; i++) {
    bool column = i % 2 == 1, row = i / 2 == 1;
    o->begin[i] = column ? before[WHOLE] : 0;
    o->end[i] = row ? before[MISSES_ROW] : column ? before[MISSES_BOTH] : count;
  }
}

int cvl_order_needed(const cvl_winograd *a, const cvl_tiled *g, int plane) {
  bool column = plane % a->targets == a->last;
  if (a->axes == 2) return (column ? 1 : 0) + (plane / a->targets == a->last ? 2 : 0);
  return !column ? 0 : g->size[1] > 1 ? 1 : 2;
}

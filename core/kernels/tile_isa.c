#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector.h"

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum { WIDE_ROWS = LANES == 16 ? 12 : 6, NARROW_ROWS = 12 };

/* {rows, vectors * LANES}. Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1. All
** four are constants where this is called. */
INLINE void tile(const cvl_stretch *s, int stretches, float *const *row, bool add,
                 const float *first, const int rows, const int vectors, const int across,
                 const int along) {
  vec c[12][2];
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++)
      c[i][v] = add ? load(row[i] + v * LANES) : first != NULL ? load(first + v * LANES) : (vec){0};
  for (int q = 0; q < stretches; q++) {
    const float *a = s[q].a, *b = s[q].b;
    for (int64_t k = s[q].count; k > 0; k--) {
      vec b0 = load(b), b1 = vectors > 1 ? load(b + LANES) : b0;
#pragma GCC unroll 12
      for (int i = 0; i < rows; i++) {
        vec x = splat(a[i * across]);
        c[i][0] += x * b0;
        if (vectors > 1) c[i][1] += x * b1;
      }
      b += vectors * LANES;
      a += along;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) store(row[i] + v * LANES, c[i][v]);
}

#define KERNEL(name, rows, vectors, across, along)                                   \
  static void name(const cvl_stretch *s, int stretches, float *const *row, bool add, \
                   const float *first) {                                             \
    if (add)                                                                         \
      tile(s, stretches, row, true, NULL, rows, vectors, across, along);             \
    else if (first != NULL)                                                          \
      tile(s, stretches, row, false, first, rows, vectors, across, along);           \
    else                                                                             \
      tile(s, stretches, row, false, NULL, rows, vectors, across, along);            \
  }

/* The four layouts for tiles of one size. */
#define KERNELS(name, rows, vectors)                         \
  KERNEL(name##_by_rows, rows, vectors, CVL_BLOCK_ROW, 1)    \
  KERNEL(name##_by_columns, rows, vectors, 1, CVL_BLOCK_ROW) \
  KERNEL(name##_chunk_by_rows, rows, vectors, CVL_CHUNK, 1)  \
  KERNEL(name##_chunk_by_columns, rows, vectors, 1, CVL_CHUNK)
#define NAMES(name) \
  { name##_by_rows, name##_by_columns, name##_chunk_by_rows, name##_chunk_by_columns }

KERNELS(wide, WIDE_ROWS, 2)
KERNELS(wide_low, CVL_TILE_LOW_ROWS, 2)
KERNELS(narrow, NARROW_ROWS, 1)
KERNELS(narrow_low, CVL_TILE_LOW_ROWS, 1)

const cvl_tile CVL_ISA_NAME(cvl_tile)[2] = {
    {WIDE_ROWS, 2 * LANES, 1, NAMES(wide), NAMES(wide_low)},
    {NARROW_ROWS, LANES, 1, NAMES(narrow), NAMES(narrow_low)},
};

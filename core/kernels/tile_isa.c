#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector.h"

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum { ROWS = LANES == 16 ? 12 : 6, COLUMNS = 2 * LANES };

/* Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1 and both are constants. */
INLINE void tile(const cvl_stretch *s, int stretches, float *const *row, bool add,
                 const float *first, const int across, const int along) {
  vec c[ROWS][2];
  if (add) {
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      c[i][0] = load(row[i]);
      c[i][1] = load(row[i] + LANES);
    }
  } else {
    vec first0 = first != NULL ? load(first) : (vec){0},
        first1 = first != NULL ? load(first + LANES) : (vec){0};
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      c[i][0] = first0;
      c[i][1] = first1;
    }
  }
  for (int q = 0; q < stretches; q++) {
    const float *a = s[q].a, *b = s[q].b;
    for (int64_t k = s[q].count; k > 0; k--) {
      vec b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; i++) {
        vec x = splat(a[i * across]);
        c[i][0] += x * b0;
        c[i][1] += x * b1;
      }
      b += COLUMNS;
      a += along;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    store(row[i], c[i][0]);
    store(row[i] + LANES, c[i][1]);
  }
}

#define KERNEL(name, across, along)                                                  \
  static void name(const cvl_stretch *s, int stretches, float *const *row, bool add, \
                   const float *first) {                                             \
    tile(s, stretches, row, add, first, across, along);                              \
  }

KERNEL(by_rows, CVL_BLOCK_ROW, 1)
KERNEL(by_columns, 1, CVL_BLOCK_ROW)
KERNEL(chunk_by_rows, CVL_CHUNK, 1)
KERNEL(chunk_by_columns, 1, CVL_CHUNK)

const cvl_tile CVL_ISA_NAME(cvl_tile) = {
    ROWS, COLUMNS, {by_rows, by_columns, chunk_by_rows, chunk_by_columns}};

/*
** The loops of tile.h for one kind of operands: included by tile_isa.c and tile_bf16_isa.c with
**   operand         the type of a vector of them         LOAD(p), SPLAT(p)   LANES of them from p; one, in every lane
**   ADD_PRODUCT(c, a, b)   c + a b                       CHUNK_ROW           from a row of a chunk to the next
**   SUMS, RUN(call)        attributes of the functions that make sums, and how these are called
*/

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum { WIDE_ROWS = LANES == 16 ? 12 : 6, NARROW_ROWS = 12 };

/* {rows, vectors * LANES} of C. Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1. All
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
      operand b0 = LOAD(b), b1 = vectors > 1 ? LOAD(b + LANES) : b0;
#pragma GCC unroll 12
      for (int i = 0; i < rows; i++) {
        operand x = SPLAT(a + i * across);
        c[i][0] = ADD_PRODUCT(c[i][0], x, b0);
        if (vectors > 1) c[i][1] = ADD_PRODUCT(c[i][1], x, b1);
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

#define KERNEL(name, rows, vectors, across, along)                                               \
  static SUMS void name##_sums(const cvl_stretch *s, int stretches, float *const *row, bool add, \
                               const float *first) {                                             \
    if (add)                                                                                     \
      tile(s, stretches, row, true, NULL, rows, vectors, across, along);                         \
    else if (first != NULL)                                                                      \
      tile(s, stretches, row, false, first, rows, vectors, across, along);                       \
    else                                                                                         \
      tile(s, stretches, row, false, NULL, rows, vectors, across, along);                        \
  }                                                                                              \
  static void name(const cvl_stretch *s, int stretches, float *const *row, bool add,             \
                   const float *first) {                                                         \
    RUN(name##_sums(s, stretches, row, add, first));                                             \
  }

/* The four layouts for tiles of one size. */
#define KERNELS(name, rows, vectors)                         \
  KERNEL(name##_by_rows, rows, vectors, CVL_BLOCK_ROW, 1)    \
  KERNEL(name##_by_columns, rows, vectors, 1, CVL_BLOCK_ROW) \
  KERNEL(name##_chunk_by_rows, rows, vectors, CHUNK_ROW, 1)  \
  KERNEL(name##_chunk_by_columns, rows, vectors, 1, CVL_CHUNK)
#define NAMES(name) \
  { name##_by_rows, name##_by_columns, name##_chunk_by_rows, name##_chunk_by_columns }

KERNELS(wide, WIDE_ROWS, 2)
KERNELS(wide_low, CVL_TILE_LOW_ROWS, 2)
KERNELS(narrow, NARROW_ROWS, 1)
KERNELS(narrow_low, CVL_TILE_LOW_ROWS, 1)

/* The two entries of a table of tiles. */
#define TILES(pack)                                               \
  {                                                               \
    {WIDE_ROWS, 2 * LANES, pack, NAMES(wide), NAMES(wide_low)}, { \
      NARROW_ROWS, LANES, pack, NAMES(narrow), NAMES(narrow_low)  \
    }                                                             \
  }

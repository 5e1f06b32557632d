/*
** The loops of tile.h for one kind of operands: included by tile_isa.c and tile_bf16_isa.c with
**   operand         the type of a vector of them         LOAD(p), SPLAT(p)   LANES of them from p; one, in every lane
**   ADD_PRODUCT(c, a, b)   c + a b                       CHUNK_ROW           from a row of a chunk to the next
**   SUMS, RUN(call)        attributes of the functions that make sums, and how these are called
*/

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum {
  BROAD_ROWS = 6,
  WIDE_ROWS = LANES == 16 ? 12 : 6,
  NARROW_ROWS = 12,
  THIN_VECTORS = 8,
  AHEAD = 64
};

/* {rows, vectors * LANES} of C. Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1.
** `ahead`: rows of B to come are asked for. These five are constants where this is called, as is
** `mode` where it matters. What else is asked for: `next`, or lines from `soon` on, or NULL. */
INLINE void tile(const cvl_stretch *s, int stretches, int64_t b_row, float *const *row,
                 cvl_tile_mode mode, const float *first, const int rows, const int vectors,
                 const int across, const int along, const bool ahead, const cvl_ahead *next,
                 const float *soon) {
  int64_t step = CVL_LINE;
  vec c[12][THIN_VECTORS];
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) c[i][v] = first != NULL ? load(first + v * LANES) : (vec){0};
  if (next != NULL) {
    soon = next->line;
    step = next->step;
  }
  for (int q = 0; q < stretches; q++) {
    const float *a = s[q].a, *b = s[q].b;
    for (int64_t k = s[q].count; k > 0; k--) {
      operand bv[THIN_VECTORS];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) bv[v] = LOAD(b + v * LANES);
#pragma GCC unroll 12
      for (int i = 0; i < rows; i++) {
        operand x = SPLAT(a + i * across);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) c[i][v] = ADD_PRODUCT(c[i][v], x, bv[v]);
      }
      if (ahead)
        for (int v = 0; v < vectors; v++) __builtin_prefetch(b + AHEAD * b_row + v * LANES, 0, 2);
      if (next != NULL) {
        /* 16 sums take a line of each row: one at a time */
        int64_t i = along == 1 ? -k & (CVL_LINE - 1) : 0;
        __builtin_prefetch(a - i + i * across + next->a, 0, 2);
      }
      if (soon != NULL) {
        __builtin_prefetch(soon, 0, 2);
        soon += step;
      }
      b += b_row;
      a += along;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
      if (mode == CVL_TILE_PAST)
        stream(row[i] + v * LANES, c[i][v]);
      else if (mode == CVL_TILE_ADD)
        store(row[i] + v * LANES, load(row[i] + v * LANES) + c[i][v]);
      else
        store(row[i] + v * LANES, c[i][v]);
}

/* Where B was not packed, a panel is spread over so many pages that no CPU foresees what is read next. Into the second-level
** cache, which can wait for twice as many lines as the first. */
#define KERNEL(name, rows, vectors, across, along)                                                 \
  static SUMS void name##_sums(const cvl_stretch *s, int stretches, int64_t b_row,                 \
                               float *const *row, cvl_tile_mode mode, const float *first,          \
                               const float *soon) {                                                \
    if (along == 1 && rows > 1 && b_row > vectors * LANES)                                         \
      tile(s, stretches, b_row, row, mode, first, rows, vectors, across, along, true, NULL, NULL); \
    else if (mode == CVL_TILE_ADD)                                                                 \
      tile(s, stretches, b_row, row, CVL_TILE_ADD, NULL, rows, vectors, across, along, false,      \
           NULL, soon);                                                                            \
    else if (mode == CVL_TILE_PAST)                                                                \
      tile(s, stretches, b_row, row, CVL_TILE_PAST, first, rows, vectors, across, along, false,    \
           NULL, soon);                                                                            \
    else if (first != NULL)                                                                        \
      tile(s, stretches, b_row, row, CVL_TILE_SET, first, rows, vectors, across, along, false,     \
           NULL, soon);                                                                            \
    else                                                                                           \
      tile(s, stretches, b_row, row, CVL_TILE_SET, NULL, rows, vectors, across, along, false,      \
           NULL, soon);                                                                            \
  }                                                                                                \
  static void name(const cvl_stretch *s, int stretches, int64_t b_row, float *const *row,          \
                   cvl_tile_mode mode, const float *first, const float *soon) {                    \
    RUN(name##_sums(s, stretches, b_row, row, mode, first, soon));                                 \
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
KERNEL(thin, 1, THIN_VECTORS, CVL_BLOCK_ROW, 1)

/* An entry of a table of tiles; `lying` may be NULL. */
#define TILE(name, rows, vectors, pack, lying) \
  { rows, (vectors)*LANES, THIN_VECTORS *LANES, pack, NAMES(name), NAMES(name##_low), thin, lying }

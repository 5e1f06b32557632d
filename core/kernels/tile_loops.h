/*
** The loops of tile.h for one kind of operands: included by tile_isa.c and tile_bf16_isa.c with
**   operand         the type of a vector of them         LOAD(p), SPLAT(p)   LANES of them from p; one, in every lane
**   ADD_PRODUCT(c, a, b)   c + a b                       CHUNK_ROW           from a row of a chunk to the next
**   SUMS, RUN(call)        attributes of the functions that make sums, and how these are called
**   TOGETHER               sums between two tests: where hardware threads share a core, what it does beside products counts
*/

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum {
  BROAD_ROWS = 6,
  WIDE_ROWS = LANES == 16 ? 12 : 6,
  NARROW_ROWS = 12,
  THIN_VECTORS = 8,
  AHEAD = 64,
  REACH = 3
};

/* A kernel's form, constants all. */
typedef struct {
  int rows, vectors; /* of C */
  bool by_rows;      /* consecutive sums of A lie side by side, else its rows do */
  bool dense_a;      /* rows, or sums, lie at a constant distance */
  bool ahead;        /* rows of B to come are asked for */
} form;

/* A step of constant length is left to the addresses. */
#define STEP(p, by)                           \
  do {                                        \
    (p) += (by);                              \
    if (!__builtin_constant_p(by)) FORGET(p); \
  } while (0)

/* Rows of A that are reached from one pointer: an address has room for a distance and its double. */
INLINE int reach(form f) { return f.by_rows && !f.dense_a ? REACH : CVL_TILE_MAX_ROWS; }

/* One sum for each element of a tile. */
INLINE void add_products(vec c[][THIN_VECTORS], const float *const *a, const float *b, const form f,
                         const int64_t across) {
  operand bv[THIN_VECTORS];
#pragma GCC unroll 8
  for (int v = 0; v < f.vectors; v++) bv[v] = LOAD(b + v * LANES);
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++) {
    operand x = SPLAT(a[i / reach(f)] + i % reach(f) * across);
#pragma GCC unroll 8
    for (int v = 0; v < f.vectors; v++) c[i][v] = ADD_PRODUCT(c[i][v], x, bv[v]);
  }
}

INLINE void store_tile(vec c[][THIN_VECTORS], const form f, float *const *row, int64_t column,
                       cvl_tile_mode mode) {
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++) {
    float *to = row[i] + column;
#pragma GCC unroll 8
    for (int v = 0; v < f.vectors; v++)
      if (mode == CVL_TILE_PAST)
        stream(to + v * LANES, c[i][v]);
      else if (mode == CVL_TILE_ADD)
        store(to + v * LANES, load(to + v * LANES) + c[i][v]);
      else
        store(to + v * LANES, c[i][v]);
  }
}

/* {rows, vectors * LANES} of C. Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1. What
** is asked for meanwhile: `next`, or lines from `soon` on, or nothing where both are NULL. */
INLINE void tile(const form f, const cvl_stretch *s, int stretches, const int64_t across,
                 const int64_t along, const int64_t b_row, float *const *row, int64_t column,
                 cvl_tile_mode mode, const float *first, const cvl_ahead *next, const float *soon) {
  const int bases = (f.rows + reach(f) - 1) / reach(f);
  const int asked = (f.rows + TOGETHER - 1) / TOGETHER; /* rows of A, with TOGETHER sums */
  int64_t step = next != NULL ? next->step : CVL_LINE, behind = next != NULL ? next->a : 0;
  const float *later = NULL;
  vec c[CVL_TILE_MAX_ROWS][THIN_VECTORS];
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++)
#pragma GCC unroll 8
    for (int v = 0; v < f.vectors; v++)
      c[i][v] = first != NULL ? load(first + v * LANES) : (vec){0};
  if (next != NULL) soon = next->line;
  for (int q = 0; q < stretches; q++) {
    const float *a[CVL_TILE_MAX_ROWS / REACH], *b = s[q].b;
    int64_t k = s[q].count;
#pragma GCC unroll 4
    for (int g = 0; g < bases; g++) a[g] = s[q].a + g * reach(f) * across;
    for (; k >= TOGETHER; k -= TOGETHER) {
      if (behind != 0 && f.by_rows) { /* 16 sums take a line of each row */
        if ((-k & (CVL_LINE - 1)) < TOGETHER) later = a[0] + behind;
#pragma GCC unroll 12
        for (int i = 0; i < asked; i++) {
          __builtin_prefetch(later, 0, 2);
          STEP(later, across);
        }
      }
#pragma GCC unroll 4
      for (int u = 0; u < TOGETHER; u++) {
        add_products(c, a, b, f, across);
        if (behind != 0 && !f.by_rows) __builtin_prefetch(a[0] + behind, 0, 2);
        if (f.ahead)
          for (int v = 0; v < f.vectors; v++)
            __builtin_prefetch(b + AHEAD * b_row + v * LANES, 0, 2);
#pragma GCC unroll 4
        for (int g = 0; g < bases; g++) STEP(a[g], along);
        STEP(b, b_row);
      }
      if (soon != NULL)
#pragma GCC unroll 4
        for (int u = 0; u < TOGETHER; u++) {
          __builtin_prefetch(soon, 0, 2);
          STEP(soon, step);
        }
    }
#pragma GCC unroll 1
    for (; k > 0; k--) {
      add_products(c, a, b, f, across);
#pragma GCC unroll 4
      for (int g = 0; g < bases; g++) a[g] += along;
      b += b_row;
    }
  }
  store_tile(c, f, row, column, mode);
}

/* Where B was not packed, a panel is spread over so many pages that no CPU foresees what is read next. Into the second-level
** cache, which can wait for twice as many lines as the first. */
#define KERNEL(name, rows, vectors, across, along)                                                 \
  static SUMS void name##_sums(const cvl_stretch *s, int stretches, int64_t b_row,                 \
                               float *const *row, int64_t column, cvl_tile_mode mode,              \
                               const float *first, const float *soon) {                            \
    const bool by_rows = along == 1;                                                               \
    if (b_row != vectors * LANES)                                                                  \
      tile((form){rows, vectors, by_rows, true, by_rows && rows > 1}, s, stretches, across, along, \
           b_row, row, column, mode, first, NULL, NULL);                                           \
    else                                                                                           \
      tile((form){rows, vectors, by_rows, true, false}, s, stretches, across, along,               \
           vectors *LANES, row, column, mode, first, NULL, soon);                                  \
  }                                                                                                \
  static void name(const cvl_stretch *s, int stretches, int64_t b_row, float *const *row,          \
                   int64_t column, cvl_tile_mode mode, const float *first, const float *soon) {    \
    RUN(name##_sums(s, stretches, b_row, row, column, mode, first, soon));                         \
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

/*
** The loops of tile.h for one kind of operands: included by tile_isa.c and tile_bf16_isa.c with
**   operand         the type of a vector of them         LOAD(p), SPLAT(p)   LANES of them from p; one, in every lane
**   ADD_PRODUCT(c, a, b)   c + a b                       CHUNK_ROW           from a row of a chunk to the next
**   ADD_PRODUCT_OF(c, p, b)   c + SPLAT(p) b, if an instruction does both
**   HALF_LANES             if a tile's last vector may be half as wide, and then the same for it: the type half_operand,
**                          LOAD_HALF(p), ADD_HALF(c, a, b), and LOW(x), the lower half of an operand
**   SUMS, RUN(call)        attributes of the functions that make sums, and how these are called
**   TOGETHER               sums between two tests: where hardware threads share a core, what it does beside products counts
*/

/* Accumulators, one row of B and one broadcast must fit the registers: 16 of them, 32 with AVX-512. */
enum {
  BROAD_ROWS = 6,
  WIDE_ROWS = LANES == 16 ? 12 : 6,
  MIDDLE_ROWS = LANES == 16 ? 8 : 6,
  NARROW_ROWS = 12,
  THIN_VECTORS = 8,
  AHEAD = 64,
  REACH = 3
};

#ifndef ADD_PRODUCT_OF
#define ADD_PRODUCT_OF(c, p, b) ADD_PRODUCT(c, SPLAT(p), b)
#endif
#ifndef HALF_LANES
enum { HALF_LANES = 0 };
typedef operand half_operand;
#define LOAD_HALF(p) LOAD(p)
#define LOW(x) (x)
#define ADD_HALF(c, a, b) ((void)(b), (c))
#endif

/* A kernel's form, constants all. */
typedef struct {
  int rows, columns; /* of C */
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

INLINE int vectors(form f) { return f.columns / LANES; }
INLINE bool has_half(form f) { return HALF_LANES > 0 && f.columns % LANES != 0; }

/* The sums of a tile; `low` those of its last columns, half a vector. */
typedef struct {
  vec c[CVL_TILE_MAX_ROWS][THIN_VECTORS];
  half_vec low[CVL_TILE_MAX_ROWS];
} sums;

/* Rows of A that are reached from one pointer: an address has room for a distance and its double. */
INLINE int reach(form f) { return f.by_rows && !f.dense_a ? REACH : CVL_TILE_MAX_ROWS; }

/* One sum for each element of a tile. */
INLINE void add_products(sums *s, const float *const *a, const float *b, const form f,
                         const int64_t across) {
  operand bv[THIN_VECTORS];
  half_operand low = {0};
#pragma GCC unroll 8
  for (int v = 0; v < vectors(f); v++) bv[v] = LOAD(b + v * LANES);
  if (has_half(f)) low = LOAD_HALF(b + vectors(f) * LANES);
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++) {
    const float *at = a[i / reach(f)] + i % reach(f) * across;
    if (f.columns == LANES) {
      s->c[i][0] = ADD_PRODUCT_OF(s->c[i][0], at, bv[0]);
      continue;
    }
    operand x = SPLAT(at);
#pragma GCC unroll 8
    for (int v = 0; v < vectors(f); v++) s->c[i][v] = ADD_PRODUCT(s->c[i][v], x, bv[v]);
    if (has_half(f)) s->low[i] = ADD_HALF(s->low[i], LOW(x), low);
  }
}

INLINE void start_tile(sums *s, const form f, const float *first) {
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors(f); v++)
      s->c[i][v] = first != NULL ? load(first + v * LANES) : (vec){0};
    if (has_half(f))
      s->low[i] = first != NULL ? load_half(first + vectors(f) * LANES) : (half_vec){0};
  }
}

/* Past the caches go whole lines only: not the rows of a tile with half a vector. */
INLINE void store_tile(const sums *s, const form f, float *const *row, int64_t column,
                       cvl_tile_mode mode) {
#pragma GCC unroll 12
  for (int i = 0; i < f.rows; i++) {
    float *to = row[i] + column, *low = to + vectors(f) * LANES;
#pragma GCC unroll 8
    for (int v = 0; v < vectors(f); v++)
      if (mode == CVL_TILE_PAST && !has_half(f))
        stream(to + v * LANES, s->c[i][v]);
      else if (mode == CVL_TILE_ADD)
        store(to + v * LANES, load(to + v * LANES) + s->c[i][v]);
      else
        store(to + v * LANES, s->c[i][v]);
    if (has_half(f)) store_half(low, mode == CVL_TILE_ADD ? load_half(low) + s->low[i] : s->low[i]);
  }
}

/* {rows, columns} of C. Rows of A lie `across` floats apart and consecutive sums `along`; one of the two is 1. What
** is asked for meanwhile: `next`, or lines from `soon` on, or nothing where both are NULL. */
INLINE void tile(const form f, const cvl_stretch *s, int stretches, const int64_t across,
                 const int64_t along, const int64_t b_row, float *const *row, int64_t column,
                 cvl_tile_mode mode, const float *first, const cvl_ahead *next, const float *soon) {
  const int bases = (f.rows + reach(f) - 1) / reach(f);
  const int asked = (f.rows + TOGETHER - 1) / TOGETHER; /* rows of A, with TOGETHER sums */
  int64_t step = next != NULL ? next->step : CVL_LINE, behind = next != NULL ? next->a : 0;
  const float *later = NULL;
  sums sum;
  start_tile(&sum, f, first);
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
        add_products(&sum, a, b, f, across);
        if (behind != 0 && !f.by_rows) __builtin_prefetch(a[0] + behind, 0, 2);
        if (f.ahead)
          for (int v = 0; v < f.columns; v += LANES)
            __builtin_prefetch(b + AHEAD * b_row + v, 0, 2);
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
      add_products(&sum, a, b, f, across);
#pragma GCC unroll 4
      for (int g = 0; g < bases; g++) a[g] += along;
      b += b_row;
    }
  }
  store_tile(&sum, f, row, column, mode);
}

/* Where B was not packed, a panel is spread over so many pages that no CPU foresees what is read next. Into the second-level
** cache, which can wait for twice as many lines as the first. */
#define KERNEL(name, rows, columns, across, along)                                                 \
  static SUMS void name##_sums(const cvl_stretch *s, int stretches, int64_t b_row,                 \
                               float *const *row, int64_t column, cvl_tile_mode mode,              \
                               const float *first, const float *soon) {                            \
    const bool by_rows = along == 1;                                                               \
    if (b_row != (columns))                                                                        \
      tile((form){rows, columns, by_rows, true, by_rows && rows > 1}, s, stretches, across, along, \
           b_row, row, column, mode, first, NULL, NULL);                                           \
    else                                                                                           \
      tile((form){rows, columns, by_rows, true, false}, s, stretches, across, along, columns, row, \
           column, mode, first, NULL, soon);                                                       \
  }                                                                                                \
  static void name(const cvl_stretch *s, int stretches, int64_t b_row, float *const *row,          \
                   int64_t column, cvl_tile_mode mode, const float *first, const float *soon) {    \
    RUN(name##_sums(s, stretches, b_row, row, column, mode, first, soon));                         \
  }

/* The four layouts for tiles of one size. */
#define KERNELS(name, rows, columns)                         \
  KERNEL(name##_by_rows, rows, columns, CVL_BLOCK_ROW, 1)    \
  KERNEL(name##_by_columns, rows, columns, 1, CVL_BLOCK_ROW) \
  KERNEL(name##_chunk_by_rows, rows, columns, CHUNK_ROW, 1)  \
  KERNEL(name##_chunk_by_columns, rows, columns, 1, CVL_CHUNK)
#define NAMES(name) \
  { name##_by_rows, name##_by_columns, name##_chunk_by_rows, name##_chunk_by_columns }

KERNELS(wide, WIDE_ROWS, 2 * LANES)
KERNELS(wide_low, CVL_TILE_LOW_ROWS, 2 * LANES)
KERNELS(narrow, NARROW_ROWS, LANES)
KERNELS(narrow_low, CVL_TILE_LOW_ROWS, LANES)
KERNEL(thin, 1, THIN_VECTORS *LANES, CVL_BLOCK_ROW, 1)

/* An entry of a table of tiles; `lying` may be NULL. */
#define TILE(name, rows, columns, pack, lying) \
  { rows, columns, THIN_VECTORS *LANES, pack, NAMES(name), NAMES(name##_low), thin, lying }

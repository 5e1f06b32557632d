/*
** The micro-kernels under every matrix product: a tile of C, `mr` rows by `nr` columns, held in registers while its sums
** are made. Blocks of A have their rows or columns at a constant distance, so that every address is one register and a
** constant; B is packed in panels of `nr` columns, {K, nr} dense, or lies as it is, its rows `b_row` floats apart.
*/
#ifndef CVL_KERNELS_TILE_H
#define CVL_KERNELS_TILE_H

#include <stdbool.h>
#include <stdint.h>

/* A row of a block of A is CVL_BLOCK_ROW floats from the next: not a multiple of 1 KiB, where rows would compete for the
** same sets of the cache, and at least CVL_BLOCK_K and CVL_BLOCK_M_COLUMNS with a whole tile more. */
enum {
  CVL_BLOCK_K =
      256, /* sums at a time: a panel of B of this length stays in the first-level cache */
  CVL_BLOCK_ROW = 280,       /* floats */
  CVL_BLOCK_M = 96,          /* rows of a block stored by rows, */
  CVL_BLOCK_M_COLUMNS = 264, /* and by columns; multiples of every `mr` */
  CVL_LINE = 16,             /* floats in a line of the cache */
  CVL_CHUNK = 64,            /* columns of a block stored in chunks */
  CVL_SAME_SET = 1024,       /* rows so many floats apart compete for one set of the cache */
  CVL_TILE_MAX_ROWS = 12,
  CVL_TILE_LOW_ROWS = 4,
  CVL_TILE_MAX_COLUMNS = 64,
  CVL_BLOCK_FLOATS = CVL_BLOCK_ROW * CVL_BLOCK_ROW /* room for a block of A by rows or by columns */
};

/*
** With bfloat16 operands everything is counted in words of two neighbours in the sum, the first in the low half: A and B are
** as below with words for floats and half as many sums, a row of a block being half as long. C is always float32.
** One sum: c = c + a1 b1 rounded, then c + a0 b0 rounded, to nearest even; subnormal operands and results count as 0. That
** is what VDPBF16PS does, and where there is none other instructions do the same.
*/

/* Where element (i, k) of A lies, i counting rows of C and k sums. In chunks, {chunk, rows, CVL_CHUNK}, a stretch of
** sums stays within one chunk. */
typedef enum cvl_layout {
  CVL_BY_ROWS,          /* a[i * CVL_BLOCK_ROW + k] */
  CVL_BY_COLUMNS,       /* a[k * CVL_BLOCK_ROW + i] */
  CVL_CHUNK_BY_ROWS,    /* a[i * CVL_CHUNK + k] */
  CVL_CHUNK_BY_COLUMNS, /* a[k * CVL_CHUNK + i] */
  CVL_LAYOUTS
} cvl_layout;

/* Consecutive sums: the columns of A from `a` on with the rows of a panel of B from `b` on. */
typedef struct cvl_stretch {
  const float *a, *b;
  int64_t count;
} cvl_stretch;

/* What becomes of the rows: set, added to, or set past the caches, for which they lie on lines of the cache. */
typedef enum cvl_tile_mode { CVL_TILE_SET, CVL_TILE_ADD, CVL_TILE_PAST } cvl_tile_mode;

/* row[i][column + j] = (adding ? what is there : first[j]) + the sum over the stretches of a(i, k) b(k, j), for i < mr,
** j < nr. What is added to is so last: of a long sum made in blocks each starts at zero, which keeps the rounding error
** small. b(k, j) = b[k * b_row + j]. first == NULL stands for zeros, as it must be when adding. From `soon` on, if that is not
** NULL, four lines are asked for with four sums, into the second-level cache, unless B was not packed. */
typedef void cvl_tile_kernel(const cvl_stretch *s, int stretches, int64_t b_row, float *const *row,
                             int64_t column, cvl_tile_mode mode, const float *first,
                             const float *soon);

/* What a tile asks for, into the second-level cache, with each sum: what lies `a` floats behind what it reads of A, and a
** line from `line` on, each `step` floats from the one before. 0 and NULL for nothing. */
typedef struct cvl_ahead {
  int64_t a;
  const float *line;
  int64_t step;
} cvl_ahead;

/* The same of an A that lies as it is: a(i, k) = a[i * a_step + k], or a[k * a_step + i]. */
typedef void cvl_lying_kernel(const cvl_stretch *s, int stretches, int64_t a_step, int64_t b_row,
                              float *const *row, int64_t column, cvl_tile_mode mode,
                              const float *first, const cvl_ahead *next);

/* By the number of rows made, 1 to mr of a tile. */
typedef struct cvl_lying {
  cvl_lying_kernel *by_rows[CVL_TILE_MAX_ROWS + 1], *by_columns[CVL_TILE_MAX_ROWS + 1];
} cvl_lying;

/* `kernel` makes mr rows, `low` makes CVL_TILE_LOW_ROWS of them, for what is left of a block; `thin` makes a single row of
** `width` columns, where B was not packed and A is stored by rows. */
typedef struct cvl_tile {
  int mr, nr, width;
  int pack; /* operands in the room of a float: 1, or 2 of bfloat16 */
  cvl_tile_kernel *kernel[CVL_LAYOUTS], *low[CVL_LAYOUTS], *thin;
  const cvl_lying *lying; /* of floats only */
} cvl_tile;

/* For each ISA, from the broadest on: the fewer rows and the more columns a tile has, the less it loads for each product, and
** the more of B a panel is. Where registers are few the first two are the same. The third has one and a half vectors in a
** row, where the CPU has such vectors, or is the second. */
enum { CVL_TILES = 4 };
extern const cvl_tile cvl_tile_baseline[CVL_TILES], cvl_tile_avx2[CVL_TILES],
    cvl_tile_avx512[CVL_TILES];
/* The one for a C of this size; among those whose panels are whole vectors. */
const cvl_tile *cvl_tile_used(int64_t rows, int64_t columns);
const cvl_tile *cvl_tile_whole(int64_t rows, int64_t columns);

/* The same with bfloat16 operands, and the making of these: values that are subnormal become 0, others are rounded to
** nearest even. */
typedef struct cvl_bf16 {
  cvl_tile tile[CVL_TILES];
  void (*round)(const float *x, int64_t n, float *y); /* y: n halves */
  /* y[i]: low[i], and above it high[i], or 0 when high is NULL */
  void (*pair)(const float *low, const float *high, int64_t n, float *y);
} cvl_bf16;

extern const cvl_bf16 cvl_bf16_baseline, cvl_bf16_avx2, cvl_bf16_avx512, cvl_bf16_avx512_bf16;
const cvl_bf16 *cvl_bf16_used(void);
const cvl_tile *cvl_bf16_tile(int64_t rows, int64_t columns);

/* Floats side by side that will be read soon. What comes from the last cache or from memory comes late, unless it is asked
** for while something else is multiplied. */
typedef struct cvl_soon {
  const float *at;
  int64_t count;
} cvl_soon;

/*
** A block of C, {rows, columns}, row i at row[i], from one block of A and panels of B.
** The block of A is read in whole tiles: what lies beyond `rows` must be numbers, their sums are dropped.
** Panel p of B lies p * panel_size floats after the stretches, which are in panel 0. A B that was not packed has panels nr
** floats apart, and its columns must be a multiple of nr.
** While the block is made its packed panels are asked for from the second on, then `soon`, a line with each sum of a tile.
*/
typedef struct cvl_block {
  cvl_layout layout;
  int64_t rows, columns;
  float *const *row;
  int64_t panel_size, b_row;  /* b_row: more than nr if B was not packed, else nr or 0 */
  const cvl_stretch *stretch; /* CVL_BLOCK_K at most */
  int stretches;
  bool add;             /* to what the rows hold */
  bool past;            /* the caches, when not adding; see cvl_is_past */
  const float *bias;    /* {columns}, where the sums start when not adding, or NULL */
  const cvl_soon *soon; /* what follows the block */
  int soons;
} cvl_block;

void cvl_block_run(const cvl_tile *tile, const cvl_block *b);

/* `rows` rows of C by the first `columns` of one panel, from row[i] + column on, out of an A that lies as it is, its rows
** `across` floats apart, in CVL_BLOCK_K stretches at most, by kernels of lying->by_rows, for which B is packed, or
** by_columns, whose a_step it takes: in tiles of nearly the same height. Of the rows that `next` says each tile asks for a
** line, the first tile for the first. Past the caches go whole panels only. */
void cvl_lying_run(const cvl_tile *tile, cvl_lying_kernel *const *kernel, const cvl_stretch *s,
                   int stretches, int64_t a_step, int64_t across, int64_t b_row, int64_t rows,
                   float *const *row, int64_t column, int64_t columns, cvl_tile_mode mode,
                   const float *first, cvl_ahead next);

/* Whether results y, so many floats in rows `pitch` apart, had better be written past the caches: they do not stay in the
** last one anyway, and so their lines need not be read before; or other threads will read them, see cvl_cpu_shares_past(). */
bool cvl_is_past(const float *y, int64_t floats, int64_t pitch);
/* Before other threads read what kernels have written past the caches; cvl_block_run has done it. */
void cvl_past_end(void);

/* B {K, N} with any strides into panels [first, last): panel p, element (k, j) at out[p * K * nr + k * nr + j], zeros
** where p * nr + j >= N. */
void cvl_pack_panels(const float *b, int64_t row, int64_t column, int64_t K, int64_t N, int nr,
                     int64_t first, int64_t last, float *out);
/* The same as words, {ceil(K / 2), nr} a panel; zeros where there is no second of a pair. */
void cvl_pack_pairs(const float *b, int64_t row, int64_t column, int64_t K, int64_t N, int nr,
                    int64_t first, int64_t last, float *out);

#endif

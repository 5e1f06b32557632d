#include "kernels/tile.h"

#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "kernels/cpu.h"
#include "kernels/isa.h"
#include "kernels/sizes.h"
#include "kernels/transpose.h"

enum { BROAD, WIDE, MIDDLE, NARROW };

/* The broadest whose panels are not emptier than those of the next, a narrow one for few columns; the one with half a vector
** where it saves an eighth of them, unless panels must be whole vectors. With few rows panels had better be many: each is a
** task. */
static const cvl_tile *choose(const cvl_tile *tile, int64_t rows, int64_t columns, bool whole) {
  enum { MANY_ROWS = 64 };
  int64_t filled = round_up(columns, tile[WIDE].nr);
  if (columns <= tile[NARROW].nr) return &tile[NARROW];
  if (!whole && 8 * round_up(columns, tile[MIDDLE].nr) <= 7 * filled) return &tile[MIDDLE];
  return &tile[rows >= MANY_ROWS && round_up(columns, tile[BROAD].nr) == filled ? BROAD : WIDE];
}

static const cvl_tile *tiles_used(void) { return CVL_OF_ISA(cvl_tile); }

const cvl_tile *cvl_tile_used(int64_t rows, int64_t columns) {
  return choose(tiles_used(), rows, columns, false);
}

const cvl_tile *cvl_tile_whole(int64_t rows, int64_t columns) {
  return choose(tiles_used(), rows, columns, true);
}

const cvl_bf16 *cvl_bf16_used(void) {
#if defined(__x86_64__)
  if (cvl_isa_has_bf16()) return &cvl_bf16_avx512_bf16;
#endif
  return CVL_OF_ISA(&cvl_bf16);
}

const cvl_tile *cvl_bf16_tile(int64_t rows, int64_t columns) {
  return choose(cvl_bf16_used()->tile, rows, columns, true);
}

/* A tile that sticks out of C is made aside, so that every element is summed in the same order in any tile. */
typedef struct {
  float c[CVL_TILE_MAX_ROWS][CVL_TILE_MAX_COLUMNS], *row[CVL_TILE_MAX_ROWS];
} aside;

/* Room for a tile of `height` rows, with what it is added to: the first rows and columns of C's from `column` on. */
static void begin_aside(aside *a, int64_t height, float *const *row, int64_t rows, int64_t column,
                        int64_t columns, bool add) {
  for (int64_t i = 0; i < height; i++) {
    a->row[i] = a->c[i];
    if (!add) continue;
    memset(a->c[i], 0, sizeof a->c[i]);
    if (i < rows) memcpy(a->c[i], row[i] + column, (size_t)columns * sizeof(float));
  }
}

static void end_aside(const aside *a, float *const *row, int64_t rows, int64_t column,
                      int64_t columns) {
  for (int64_t i = 0; i < rows; i++)
    memcpy(row[i] + column, a->c[i], (size_t)columns * sizeof(float));
}

/* Where the sums of so many columns start, with zeros behind; or NULL. */
static const float *pad(float padded[CVL_TILE_MAX_COLUMNS], const float *first, int64_t columns) {
  if (first == NULL) return NULL;
  memset(padded, 0, CVL_TILE_MAX_COLUMNS * sizeof *padded);
  return memcpy(padded, first, (size_t)columns * sizeof *padded);
}

static void run_edge(cvl_tile_kernel *kernel, int mr, const cvl_block *b,
                     const cvl_stretch *stretch, int64_t b_row, float *const *row, int64_t rows,
                     int64_t j, int64_t columns, const float *first) {
  aside a;
  begin_aside(&a, mr, row, rows, j, columns, b->add);
  kernel(stretch, b->stretches, b_row, a.row, 0, b->add ? CVL_TILE_ADD : CVL_TILE_SET, first, NULL);
  end_aside(&a, row, rows, j, columns);
}

/* A single row of A: as many columns of B as fit the registers, if these are whole panels. Returns how many have been made. */
static int64_t run_thin(const cvl_tile *tile, const cvl_block *b) {
  cvl_stretch at[CVL_BLOCK_K];
  int64_t j = 0;
  if (b->rows != 1 || b->b_row <= tile->nr || b->layout != CVL_BY_ROWS ||
      tile->width % tile->nr != 0)
    return 0;
  for (; j + tile->width <= b->columns; j += tile->width) {
    for (int s = 0; s < b->stretches; s++) {
      at[s] = b->stretch[s];
      at[s].b += j;
    }
    tile->thin(at, b->stretches, b->b_row, b->row, j, b->add ? CVL_TILE_ADD : CVL_TILE_SET,
               b->add || b->bias == NULL ? NULL : b->bias + j, NULL);
  }
  return j;
}

/* What is left to be asked for: the block's panels from the second on, as far as they are packed, then what follows the
** block. A tile takes a line for each of its sums. */
typedef struct {
  const cvl_block *block;
  int64_t nr, sums;
  cvl_soon now;
  int64_t column, panel; /* to come: stretches of the panel of this column, so many floats on, */
  int next;              /* from `next` on, or, behind the last panel, of what follows the block */
} asking;

static asking start_asking(const cvl_tile *tile, const cvl_block *b) {
  asking a = {.block = b, .nr = tile->nr, .panel = b->panel_size};
  for (int s = 0; s < b->stretches; s++) a.sums += b->stretch[s].count;
  a.column = b->b_row > tile->nr ? b->columns : tile->nr;
  return a;
}

/* The stretches of a panel that lie one behind the other. */
static cvl_soon take_stretches(asking *a) {
  const cvl_block *b = a->block;
  const cvl_stretch *s = b->stretch + a->next, *end = b->stretch + b->stretches;
  cvl_soon all = {s->b + a->panel, 0};
  do all.count += s->count * a->nr;
  while (++s < end && s->b == s[-1].b + s[-1].count * a->nr);
  a->next = (int)(s - b->stretch);
  if (s == end) {
    a->next = 0;
    a->column += a->nr;
    a->panel += b->panel_size;
  }
  return all;
}

static const float *ask(asking *a) {
  if (a->now.count <= 0) {
    if (a->column < a->block->columns)
      a->now = take_stretches(a);
    else if (a->next < a->block->soons)
      a->now = a->block->soon[a->next++];
    else
      return NULL;
  }
  const float *at = a->now.at;
  a->now.at += a->sums * CVL_LINE;
  a->now.count -= a->sums * CVL_LINE;
  return at;
}

/* Floats from a row of A to the next. */
static int64_t across_rows(const cvl_tile *tile, cvl_layout layout) {
  if (layout == CVL_BY_ROWS) return CVL_BLOCK_ROW;
  if (layout == CVL_CHUNK_BY_ROWS) return tile->pack == 1 ? CVL_CHUNK : CVL_CHUNK / 2;
  return 1;
}

void cvl_block_run(const cvl_tile *tile, const cvl_block *b) {
  const int64_t across = across_rows(tile, b->layout);
  const int64_t b_row = b->b_row > 0 ? b->b_row : tile->nr;
  cvl_stretch at[CVL_BLOCK_K];
  float padded[CVL_TILE_MAX_COLUMNS];
  const cvl_tile_mode mode = b->add ? CVL_TILE_ADD : b->past ? CVL_TILE_PAST : CVL_TILE_SET;
  int64_t done = run_thin(tile, b), panel = done > 0 ? done / tile->nr * b->panel_size : 0;
  asking next = start_asking(tile, b);
  for (int64_t j = done; j < b->columns; j += tile->nr, panel += b->panel_size) {
    int64_t columns = b->columns - j < tile->nr ? b->columns - j : tile->nr;
    const float *first = b->add || b->bias == NULL ? NULL : b->bias + j;
    for (int s = 0; s < b->stretches; s++) {
      at[s] = b->stretch[s];
      at[s].b += panel;
    }
    if (columns < tile->nr) first = pad(padded, first, columns);
    for (int64_t i = 0, mr; i < b->rows; i += mr) {
      int64_t rows = b->rows - i;
      bool high = rows >= tile->mr;
      cvl_tile_kernel *kernel = high ? tile->kernel[b->layout] : tile->low[b->layout];
      mr = high ? tile->mr : CVL_TILE_LOW_ROWS;
      if (rows >= mr && columns == tile->nr) {
        kernel(at, b->stretches, b_row, b->row + i, j, mode, first, ask(&next));
      } else {
        run_edge(kernel, (int)mr, b, at, b_row, b->row + i, rows < mr ? rows : mr, j, columns,
                 first);
      }
      for (int s = 0; s < b->stretches; s++) at[s].a += mr * across;
    }
  }
  if (mode == CVL_TILE_PAST) cvl_past_end();
}

void cvl_lying_run(const cvl_tile *tile, cvl_lying_kernel *const *kernel, const cvl_stretch *s,
                   int stretches, int64_t a_step, int64_t across, int64_t b_row, int64_t rows,
                   float *const *row, int64_t column, int64_t columns, cvl_tile_mode mode,
                   const float *first, cvl_ahead next) {
  int64_t tiles = (rows + tile->mr - 1) / tile->mr;
  cvl_stretch at[CVL_BLOCK_K];
  float padded[CVL_TILE_MAX_COLUMNS];
  bool whole = columns >= tile->nr;
  if (!whole) first = pad(padded, first, columns);
  memcpy(at, s, (size_t)stretches * sizeof *at);
  for (int64_t t = 0, i = 0, height; t < tiles; t++, i += height) {
    height = (rows - i) / (tiles - t);
    aside edge;
    if (!whole) begin_aside(&edge, height, row + i, height, column, columns, mode == CVL_TILE_ADD);
    kernel[height](at, stretches, a_step, b_row, whole ? row + i : edge.row, whole ? column : 0,
                   mode, first, &next);
    if (!whole) end_aside(&edge, row + i, height, column, columns);
    for (int q = 0; q < stretches; q++) at[q].a += height * across;
    if (next.line != NULL) next.line = (t + 1) * CVL_LINE < tile->nr ? next.line + CVL_LINE : NULL;
  }
}

void cvl_past_end(void) {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

bool cvl_is_past(const float *y, int64_t floats, int64_t pitch) {
  enum { LARGE = 12 << 20, SHARED = 1 << 20 }; /* bytes */
  int64_t least = cvl_cpu_shares_past() ? SHARED : LARGE;
  return floats >= least / (int64_t)sizeof *y && pitch % CVL_LINE == 0 &&
         (uintptr_t)y % (CVL_LINE * sizeof *y) == 0;
}

/* Panel of n columns whose elements lie `row` apart: by fours when row is 1 (the transpose of a dense matrix). */
static void pack_strided(const float *from, int64_t row, int64_t column, int64_t K, int64_t n,
                         int64_t nr, float *to) {
  int64_t whole = row == 1 ? K / 4 * 4 : 0, j = 0;
  for (; j + 4 <= n; j += 4) {
    for (int64_t k = 0; k < whole; k += 4)
      cvl_transpose_4x4(from + k + j * column, column, to + k * nr + j, nr);
    for (int64_t k = whole; k < K; k++)
      for (int64_t i = j; i < j + 4; i++) to[k * nr + i] = from[k * row + i * column];
  }
  for (; j < n; j++)
    for (int64_t k = 0; k < K; k++) to[k * nr + j] = from[k * row + j * column];
}

/* `panels` whole ones side by side, whose rows lie dense. A copy of known size is a few moves, any other a call. */
static void pack_dense(const float *from, int64_t row, int64_t K, int64_t nr, int64_t panels,
                       float *to) {
  for (int64_t k = 0; k < K; k++, from += row, to += nr)
    for (int64_t p = 0; p < panels; p++)
      if (nr == 16)
        memcpy(to + p * K * nr, from + p * nr, 16 * sizeof *to);
      else
        memcpy(to + p * K * nr, from + p * nr, (size_t)nr * sizeof *to);
}

void cvl_pack_panels(const float *b, int64_t row, int64_t column, int64_t K, int64_t N, int nr,
                     int64_t first, int64_t last, float *out) {
  enum { ABREAST = 64 }; /* columns of a row of B, which lie in one page */
  for (int64_t p = first, side; p < last; p += side) {
    const float *from = b + p * nr * column;
    float *to = out + p * K * nr;
    int64_t n = N - p * nr < nr ? N - p * nr : nr;
    side = 1;
    if (n < nr) memset(to, 0, (size_t)(K * nr) * sizeof *to);
    if (column == 1 && n == nr) {
      side = clamp(min(last - p, N / nr - p), 1, max(ABREAST / nr, 1));
      pack_dense(from, row, K, nr, side, to);
    } else if (column == 1) {
      for (int64_t k = 0; k < K; k++) memcpy(to + k * nr, from + k * row, (size_t)n * sizeof *to);
    } else { /* in pieces, so that the lines written stay in the first-level cache until they are full */
      for (int64_t k = 0; k < K; k += 128)
        pack_strided(from + k * row, row, column, K - k < 128 ? K - k : 128, n, nr, to + k * nr);
    }
  }
}

void cvl_pack_pairs(const float *b, int64_t row, int64_t column, int64_t K, int64_t N, int nr,
                    int64_t first, int64_t last, float *out) {
  enum { SUMS = 64 };
  float some[SUMS * CVL_TILE_MAX_COLUMNS];
  const cvl_bf16 *bf16 = cvl_bf16_used();
  for (int64_t p = first; p < last; p++) {
    float *to = out + p * ((K + 1) / 2) * nr;
    for (int64_t k = 0; k < K; k += SUMS) {
      int64_t count = K - k < SUMS ? K - k : SUMS;
      cvl_pack_panels(b + k * row + p * nr * column, row, column, count, N - p * nr, nr, 0, 1,
                      some);
      for (int64_t i = 0; i < count; i += 2, to += nr)
        bf16->pair(some + i * nr, i + 1 < count ? some + (i + 1) * nr : NULL, nr, to);
    }
  }
}

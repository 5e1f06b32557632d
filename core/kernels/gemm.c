/*
** What gemv.h and gemm_lying.h do not take: with many rows, long sums and many columns, an A with any strides, or bfloat16
** operands.
** B is packed once for everybody, in pieces of at most PIECE by PIECE, or read as it lies when there are too few rows of A
** to multiply it with; then the blocks of C are shared out. A block of A is copied by the thread that needs it: by rows, or
** by columns when A is stored transposed, so that both are plain copies. A product with a long sum and a small C is cut
** along the sum into parts that are added in order.
*/
#include "kernels/gemm.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/gemm_lying.h"
#include "kernels/gemv.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  PIECE = 2048, /* of B, both ways */
  TASKS = 32,   /* wanted at least, for balance */
  GROUP = 4,    /* panels that a task should have at least, to be worth its copy of A */
  PART = 2048,  /* sums in a part at least, when cut along the sum */
  MOST_PARTS = 32,
  FEW_ROWS = 64 /* up to so many, packing B costs more than it saves */
};

typedef struct {
  const cvl_gemm *g;
  const cvl_tile *tile;
  bool by_columns, in_place; /* B is read as it lies */
  int64_t block_m, row_blocks;
  int64_t k0, k1, n0, n1; /* the piece of B */
  int64_t panels, group;  /* panels of the piece, panels of a task */
  int64_t words;          /* sums of the piece, in pairs when there are such in a word */
  float *packed, *blocks;
} job;

static void pack(void *context, int64_t panel, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  (void)worker;
  (g->bf16 ? cvl_pack_pairs : cvl_pack_panels)(g->b + j->k0 * g->b_row + j->n0 * g->b_col, g->b_row,
                                               g->b_col, j->k1 - j->k0, j->n1 - j->n0, j->tile->nr,
                                               panel, panel + 1, j->packed);
}

/* Rows [i0, i0 + m) and sums [k0, k0 + k) of A, and zeros up to a whole tile. */
static void copy_a(const job *j, int64_t i0, int64_t m, int64_t k0, int64_t k, float *block) {
  const cvl_gemm *g = j->g;
  const float *a = g->a + i0 * g->a_row + k0 * g->a_col;
  int64_t whole = round_up(m, j->tile->mr);
  if (j->by_columns) {
    for (int64_t q = 0; q < k; q++, block += CVL_BLOCK_ROW) {
      memcpy(block, a + q * g->a_col, (size_t)m * sizeof *block);
      memset(block + m, 0, (size_t)(whole - m) * sizeof *block);
    }
    return;
  }
  for (int64_t i = 0; i < m; i++, block += CVL_BLOCK_ROW)
    if (g->a_col == 1)
      memcpy(block, a + i * g->a_row, (size_t)k * sizeof *block);
    else
      for (int64_t q = 0; q < k; q++) block[q] = a[i * g->a_row + q * g->a_col];
  for (int64_t i = m; i < whole; i++, block += CVL_BLOCK_ROW)
    memset(block, 0, (size_t)k * sizeof *block);
}

/* The same as words of two neighbours in the sum. */
static void copy_a_bf16(const job *j, int64_t i0, int64_t m, int64_t k0, int64_t k, float *block) {
  const cvl_gemm *g = j->g;
  const cvl_bf16 *bf16 = cvl_bf16_used();
  const float *a = g->a + i0 * g->a_row + k0 * g->a_col;
  int64_t whole = round_up(m, j->tile->mr), words = ceil_div(k, 2);
  float row[2 * CVL_BLOCK_K];
  if (j->by_columns) {
    for (int64_t q = 0; q < k; q += 2, block += CVL_BLOCK_ROW) {
      bf16->pair(a + q * g->a_col, q + 1 < k ? a + (q + 1) * g->a_col : NULL, m, block);
      memset(block + m, 0, (size_t)(whole - m) * sizeof *block);
    }
    return;
  }
  for (int64_t i = 0; i < m; i++, block += CVL_BLOCK_ROW) {
    for (int64_t q = 0; q < k; q++) row[q] = a[i * g->a_row + q * g->a_col];
    if (k % 2 != 0) row[k] = 0;
    bf16->round(row, 2 * words, block);
  }
  for (int64_t i = m; i < whole; i++, block += CVL_BLOCK_ROW)
    memset(block, 0, (size_t)words * sizeof *block);
}

static void run_block(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t i0 = chunk % j->row_blocks * j->block_m, m = min(j->block_m, g->M - i0);
  int64_t panel = chunk / j->row_blocks * j->group, n = j->n0 + panel * j->tile->nr;
  int64_t nr = j->tile->nr, b_row = j->in_place ? g->b_row : nr, pack = j->tile->pack;
  int64_t panel_size = j->in_place ? nr : j->words * nr;
  const float *b = j->in_place ? g->b + j->k0 * b_row + n : j->packed + panel * panel_size;
  float *a = j->blocks + (int64_t)worker * CVL_BLOCK_FLOATS, *row[CVL_BLOCK_ROW];
  for (int64_t i = 0; i < m; i++) row[i] = g->c + (i0 + i) * g->c_row + n;
  for (int64_t w = 0; w < j->words; w += CVL_BLOCK_K) {
    int64_t k = j->k0 + w * pack, count = min(CVL_BLOCK_K, j->words - w);
    int64_t left = min(CVL_BLOCK_K, j->words - w - count); /* for the next block of the sum */
    cvl_stretch stretch = {a, b + w * b_row, count};
    cvl_soon soon = {b + (w + count) * nr, left * nr};
    (g->bf16 ? copy_a_bf16 : copy_a)(j, i0, m, k, min(count * pack, j->k1 - k), a);
    cvl_block_run(j->tile, &(cvl_block){.layout = j->by_columns ? CVL_BY_COLUMNS : CVL_BY_ROWS,
                                        .rows = m,
                                        .columns = min(j->n1 - n, j->group * j->tile->nr),
                                        .row = row,
                                        .panel_size = panel_size,
                                        .b_row = b_row,
                                        .stretch = &stretch,
                                        .stretches = 1,
                                        .add = g->accumulate || k > 0,
                                        .bias = g->bias != NULL ? g->bias + n : NULL,
                                        .soon = &soon,
                                        .soons = left > 0 && !j->in_place ? 1 : 0});
  }
}

/* K == 0: an empty sum. */
static void clear(const cvl_gemm *g) {
  if (g->accumulate) return;
  for (int64_t i = 0; i < g->M; i++)
    for (int64_t j = 0; j < g->N; j++) g->c[i * g->c_row + j] = g->bias != NULL ? g->bias[j] : 0;
}

/* The job without its piece of B. */
static job plan(const cvl_gemm *g) {
  job j = {.g = g,
           .tile = g->bf16 ? cvl_bf16_tile(g->M, g->N) : cvl_tile_used(g->M, g->N),
           .by_columns = g->a_row == 1 && g->a_col != 1};
  j.in_place =
      !g->bf16 && !j.by_columns && g->M <= FEW_ROWS && g->b_col == 1 && g->N % j.tile->nr == 0;
  j.block_m = j.by_columns ? CVL_BLOCK_M_COLUMNS : CVL_BLOCK_M;
  j.row_blocks = ceil_div(g->M, j.block_m);
  if (g->M > 0)
    j.block_m = round_up(ceil_div(g->M, j.row_blocks), j.tile->mr); /* of equal height */
  j.row_blocks = ceil_div(g->M, j.block_m);
  return j;
}

static int64_t tasks_of(const job *j, int64_t panels, int64_t *group) {
  int64_t groups = min(ceil_div(TASKS, j->row_blocks), max(panels / GROUP, 1));
  *group = ceil_div(panels, groups);
  return j->row_blocks * ceil_div(panels, *group);
}

/* Lower blocks where tasks are few. Rows are summed alike in blocks of any height. */
static void share_rows(job *j, int64_t panels, int threads) {
  int64_t group, tasks = tasks_of(j, panels, &group), across = tasks / j->row_blocks;
  int64_t M = j->g->M, most = 4 * threads / across;
  if (tasks >= 4 * threads) return;
  j->block_m = best_height(M, j->tile->mr, j->row_blocks, most, across, threads, 0);
  j->row_blocks = ceil_div(M, j->block_m);
}

/* The whole product with room for `workers` blocks of A: cvl_threads(), or 1 from within a parallel body. */
static int product(const cvl_gemm *g, int workers, cvl_err *e) {
  job j = plan(g);
  int64_t k_piece = min(g->K, PIECE), n_piece = round_up(min(g->N, PIECE), j.tile->nr);
  bool worth = cvl_gemm_is_worth_sharing(g);
  int rc = -1;
  if (g->M == 0 || g->N == 0) return 0;
  if (g->K == 0) {
    clear(g);
    return 0;
  }
  if (!j.in_place && cvl_gemm_suits_lying(g)) return cvl_gemm_lying(g, workers, e);
  if (worth && workers > 1) share_rows(&j, ceil_div(min(g->N, PIECE), j.tile->nr), workers);
  if (!j.in_place && (j.packed = cvl_scratch_take(k_piece * n_piece, e)) == NULL) goto done;
  if ((j.blocks = cvl_scratch_take((int64_t)workers * CVL_BLOCK_FLOATS, e)) == NULL) goto done;
  for (j.n0 = 0; j.n0 < g->N; j.n0 = j.n1) {
    j.n1 = min(j.n0 + PIECE, g->N);
    j.panels = ceil_div(j.n1 - j.n0, j.tile->nr);
    for (j.k0 = 0; j.k0 < g->K; j.k0 = j.k1) {
      j.k1 = min(j.k0 + PIECE, g->K);
      j.words = ceil_div(j.k1 - j.k0, j.tile->pack);
      if (!j.in_place) cvl_parallel_if(worth, j.panels, pack, &j);
      cvl_parallel_if(worth, tasks_of(&j, j.panels, &j.group), run_block, &j);
    }
  }
  rc = 0;
done:
  cvl_scratch_give(j.packed);
  cvl_scratch_give(j.blocks);
  return rc;
}

/* Cut along the sum: part p goes to its own {M, N}, except part 0, which goes to C itself. */
typedef struct {
  const cvl_gemm *g;
  int64_t parts;
  float *sums; /* {parts - 1, M, N} */
  cvl_err *errors;
} cut;

static void run_part(void *context, int64_t part, int worker) {
  const cut *c = context;
  cvl_gemm g = *c->g;
  int64_t size = round_up(ceil_div(g.K, c->parts), CVL_BLOCK_K), first = min(part * size, g.K);
  (void)worker;
  g.a += first * g.a_col;
  g.b += first * g.b_row;
  g.K = min(size, g.K - first);
  if (part > 0) {
    g.c = c->sums + (part - 1) * g.M * g.N;
    g.c_row = g.N;
    g.accumulate = false;
    g.bias = NULL;
  }
  product(&g, 1, &c->errors[part]);
}

static void add_parts(void *context, int64_t first, int64_t last) {
  const cut *c = context;
  const cvl_gemm *g = c->g;
  for (int64_t i = first; i < last; i++)
    for (int64_t part = 1; part < c->parts; part++) {
      const float *from = c->sums + ((part - 1) * g->M + i) * g->N;
      float *to = g->c + i * g->c_row;
      for (int64_t k = 0; k < g->N; k++) to[k] += from[k];
    }
}

static int product_in_parts(const cvl_gemm *g, int64_t parts, cvl_err *e) {
  cvl_err errors[MOST_PARTS];
  cut c = {g, parts, cvl_scratch_take((parts - 1) * g->M * g->N, e), errors};
  if (c.sums == NULL) return -1;
  for (int64_t i = 0; i < parts; i++) errors[i].code = CVL_OK;
  cvl_parallel(parts, run_part, &c);
  for (int64_t i = 0; i < parts; i++)
    if (errors[i].code != CVL_OK) {
      cvl_scratch_give(c.sums);
      return cvl_fail(e, errors[i].code, errors[i].arg, "%s", errors[i].msg);
    }
  cvl_parallel_range(g->M, 1 + (1 << 14) / (g->N * parts), add_parts, &c);
  cvl_scratch_give(c.sums);
  return 0;
}

int cvl_sgemm(const cvl_gemm *g, cvl_err *e) {
  job j = plan(g);
  int64_t group, panels = ceil_div(min(g->N, PIECE), j.tile->nr);
  if (cvl_gemv(g)) return 0;
  if (g->M > 0 && g->N > 0 && g->K >= 2 * PART && tasks_of(&j, panels, &group) < TASKS / 4)
    return product_in_parts(g, min(g->K / PART, MOST_PARTS), e);
  return product(g, cvl_threads(), e);
}

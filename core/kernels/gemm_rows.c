/*
** C is cut into tasks, some panels wide and some blocks of rows high. A task packs its panels of B, CVL_BLOCK_K sums at a
** time, which stay in a core's own cache, and takes block after block of A where it lies through them: A is never copied,
** B never goes through memory twice, and nobody waits for anybody. While a block is multiplied, the next is asked for.
*/
#include "kernels/gemm_rows.h"

#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  BLOCK = 192,      /* rows of A at a time; a multiple of every `mr` */
  MOST_PANELS = 4,  /* of a task */
  TASKS = 8,        /* for each thread, for balance */
  LEAST_ROWS = 256, /* that a task had better have, to be worth its copy of B */
  MANY_ROWS = 512,  /* so many of C stay in a core's cache from sums to sums */
  WORTH = 1 << 20   /* products from which on other threads are woken */
};

typedef struct {
  const cvl_gemm *g;
  const cvl_tile *tile;
  int64_t panels, group;   /* of C, of a task */
  int64_t rows, row_tasks; /* of a task, tasks one below the other */
  bool past;               /* results go past the caches */
  float *packed;           /* {workers, group, CVL_BLOCK_K, nr} */
} job;

/* Rows [i, i + rows) by `panels` panels from column n on; sums [k, k + count) of these, packed. The task's first block asks
** for B's next sums, every block but its last for the rows below. */
static void run_block(const job *j, int64_t i, int64_t rows, bool first, bool last, int64_t n,
                      int64_t panels, int64_t k, int64_t count, const float *packed) {
  const cvl_gemm *g = j->g;
  int64_t nr = j->tile->nr;
  cvl_tile_mode mode = g->accumulate || k > 0 ? CVL_TILE_ADD
                       : j->past              ? CVL_TILE_PAST
                                              : CVL_TILE_SET;
  float *row[BLOCK];
  for (int64_t r = 0; r < rows; r++) row[r] = g->c + (i + r) * g->c_row + n;
  for (int64_t p = 0; p < panels; p++) {
    const cvl_stretch stretch = {g->a + i * g->a_row + k, packed + p * count * nr, count};
    const float *bias = mode != CVL_TILE_ADD && g->bias != NULL ? g->bias + n + p * nr : NULL;
    cvl_ahead next = {.a = p == 0 && !last ? BLOCK * g->a_row : 0};
    if (first && g->b_col == 1 && k + count < g->K) {
      next.line = g->b + (k + count) * g->b_row + n + p * nr;
      next.step = g->b_row;
    }
    cvl_lying_run(j->tile, j->tile->lying->by_rows, &stretch, 1, g->a_row, g->a_row, nr, rows, row,
                  p * nr, min(nr, g->N - n - p * nr), mode, bias, next);
  }
}

static void run_task(void *context, int64_t task, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t nr = j->tile->nr, panel = task / j->row_tasks * j->group, n = panel * nr;
  int64_t panels = min(j->group, j->panels - panel);
  int64_t begin = task % j->row_tasks * j->rows, end = min(begin + j->rows, g->M);
  float *packed = j->packed + worker * j->group * CVL_BLOCK_K * nr;
  for (int64_t k = 0, count; k < g->K; k += count) {
    count = min(CVL_BLOCK_K, g->K - k);
    cvl_pack_panels(g->b + k * g->b_row + n * g->b_col, g->b_row, g->b_col, count, g->N - n,
                    (int)nr, 0, panels, packed);
    for (int64_t i = begin; i < end; i += BLOCK)
      run_block(j, i, min(BLOCK, end - i), i == begin, i + BLOCK >= end, n, panels, k, count,
                packed);
  }
  if (j->past) cvl_past_end();
}

bool cvl_gemm_is_by_rows(const cvl_gemm *g) {
  return g->a_col == 1 && !g->bf16 && (g->M <= MANY_ROWS || g->K <= CVL_BLOCK_K);
}

int cvl_gemm_by_rows(const cvl_gemm *g, int workers, cvl_err *e) {
  job j = {.g = g, .tile = cvl_tile_used(g->M, g->N)};
  int64_t nr = j.tile->nr, wanted = TASKS * (int64_t)workers, high = max(g->M / LEAST_ROWS, 1);
  j.panels = ceil_div(g->N, nr);
  j.group = clamp(j.panels * high / wanted, 1, MOST_PANELS);
  j.row_tasks = clamp(ceil_div(wanted, ceil_div(j.panels, j.group)), 1, high);
  j.rows = round_up(ceil_div(g->M, j.row_tasks), j.tile->mr);
  j.row_tasks = ceil_div(g->M, j.rows);
  j.past = !g->accumulate && g->K <= CVL_BLOCK_K && g->N % nr == 0 &&
           cvl_is_past(g->c, g->M * g->N, g->c_row);
  j.packed = cvl_scratch_take(workers * j.group * CVL_BLOCK_K * nr, e);
  if (j.packed == NULL) return -1;
  cvl_parallel_if((double)g->M * (double)g->N * (double)g->K >= WORTH,
                  j.row_tasks * ceil_div(j.panels, j.group), run_task, &j);
  cvl_scratch_give(j.packed);
  return 0;
}

/*
** C is cut into tasks, some panels wide and some blocks of rows high. A task packs its panels of B, some sums at a time,
** which stay in a core's own cache, and takes block after block of A where it lies through them: A is never copied, B never
** goes through memory twice, and nobody waits for anybody. While a block is multiplied, the next is asked for. Where A has
** few rows, side by side, B is read where it lies too.
*/
#include "kernels/gemm_lying.h"

#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  BLOCK = 192,        /* rows of A at a time; a multiple of every `mr` */
  LEAST_COLUMNS = 64, /* of a task, */
  MOST_COLUMNS = 256, /* whose B stays in a core's cache */
  TASKS = 8,          /* for each thread, for balance */
  LEAST_ROWS = 256,   /* that a task had better have, to be worth its copy of B, */
  FEWEST_ROWS = 96,   /* and these where threads would not end together, */
  COPY = 8,           /* rows whose products take as long as that copy */
  MANY_ROWS = 512,    /* so many of C stay in a core's cache from sums to sums */
  FEW_ROWS = 96,      /* with fewer, a copy of B costs more than it saves */
  FEW_SUMS = 128 /* at a time where A is stored by columns: a line holds rows of several tiles */
};

typedef struct {
  const cvl_gemm *g;
  const cvl_tile *tile;
  bool by_columns;         /* A's rows lie side by side, else its sums do */
  bool in_place;           /* B is read where it lies */
  int64_t sums;            /* at a time */
  int64_t panels, group;   /* of C, of a task */
  int64_t rows, row_tasks; /* of a task, tasks one below the other */
  bool past;               /* results go past the caches */
  float *packed;           /* {workers, group, CVL_BLOCK_K, nr} */
} job;

/* Part of a task: `panels` panels from column n on, and sums [k, k + count), whose B is at b. */
typedef struct {
  int64_t n, panels, k, count;
  const float *b;
} part;

/* Rows [i, i + rows) of a part; `next` is where A goes on, in floats from here. A task's first block asks for B's next sums. */
static void run_block(const job *j, const part *t, int64_t i, int64_t rows, int64_t next,
                      bool first) {
  const cvl_gemm *g = j->g;
  const cvl_lying *lying = j->tile->lying;
  int64_t nr = j->tile->nr, panel_size = j->in_place ? nr : t->count * nr;
  cvl_tile_mode mode = g->accumulate || t->k > 0 ? CVL_TILE_ADD
                       : j->past                 ? CVL_TILE_PAST
                                                 : CVL_TILE_SET;
  float *row[BLOCK];
  for (int64_t r = 0; r < rows; r++) row[r] = g->c + (i + r) * g->c_row + t->n;
  for (int64_t p = 0; p < t->panels; p++) {
    const cvl_stretch stretch = {g->a + i * g->a_row + t->k * g->a_col, t->b + p * panel_size,
                                 t->count};
    const float *bias = mode != CVL_TILE_ADD && g->bias != NULL ? g->bias + t->n + p * nr : NULL;
    cvl_ahead ahead = {.a = p == 0 ? next : 0};
    if (first && g->b_col == 1 && t->k + t->count < g->K) {
      ahead.line = g->b + (t->k + t->count) * g->b_row + t->n + p * nr;
      ahead.step = g->b_row;
    }
    cvl_lying_run(j->tile, j->by_columns ? lying->by_columns : lying->by_rows, &stretch, 1,
                  j->by_columns ? g->a_col : g->a_row, g->a_row, j->in_place ? g->b_row : nr, rows,
                  row, p * nr, min(nr, g->N - t->n - p * nr), mode, bias, ahead);
  }
}

static void run_task(void *context, int64_t task, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t nr = j->tile->nr, panel = task / j->row_tasks * j->group;
  int64_t begin = task % j->row_tasks * j->rows, end = min(begin + j->rows, g->M);
  float *packed = j->packed + worker * j->group * CVL_BLOCK_K * nr;
  part t = {.n = panel * nr, .panels = min(j->group, j->panels - panel)};
  for (; t.k < g->K; t.k += t.count) {
    t.count = min(j->sums, g->K - t.k);
    t.b = g->b + t.k * g->b_row + t.n * g->b_col;
    if (!j->in_place) {
      cvl_pack_panels(t.b, g->b_row, g->b_col, t.count, g->N - t.n, (int)nr, 0, t.panels, packed);
      t.b = packed;
    }
    int64_t sums = t.k + t.count < g->K ? t.count * g->a_col : 0; /* to A's next ones */
    for (int64_t i = begin; i < end; i += BLOCK) {
      bool last = i + BLOCK >= end;
      int64_t next = !last ? BLOCK * g->a_row : sums == 0 ? 0 : sums - (i - begin) * g->a_row;
      run_block(j, &t, i, min(BLOCK, end - i), next, i == begin);
    }
  }
  if (j->past) cvl_past_end();
}

bool cvl_gemm_suits_lying(const cvl_gemm *g) {
  bool lies = g->a_col == 1 || (g->a_row == 1 && g->a_col % CVL_SAME_SET != 0);
  bool small = g->M <= MANY_ROWS || g->K <= CVL_BLOCK_K || g->N <= MOST_COLUMNS;
  return lies && !g->bf16 && (small || cvl_cpu_waits_for_many());
}

/* Lower tasks where there are few. */
static void share_rows(job *j, int workers) {
  int64_t M = j->g->M, across = ceil_div(j->panels, j->group);
  int64_t most = min(M / FEWEST_ROWS, (TASKS * workers - 1) / across);
  j->rows = best_height(M, j->tile->mr, j->row_tasks, most, across, workers, COPY);
  j->row_tasks = ceil_div(M, j->rows);
}

int cvl_gemm_lying(const cvl_gemm *g, int workers, cvl_err *e) {
  job j = {.g = g, .tile = cvl_tile_used(g->M, g->N), .by_columns = g->a_col != 1};
  int64_t nr = j.tile->nr, wanted = TASKS * (int64_t)workers, high = max(g->M / LEAST_ROWS, 1);
  j.in_place = j.by_columns && g->M < FEW_ROWS && g->b_col == 1 && g->N % nr == 0;
  j.sums = j.by_columns ? FEW_SUMS : CVL_BLOCK_K;
  j.panels = ceil_div(g->N, nr);
  j.group = clamp(j.panels * high / wanted, ceil_div(LEAST_COLUMNS, nr), MOST_COLUMNS / nr);
  j.row_tasks = clamp(ceil_div(wanted, ceil_div(j.panels, j.group)), 1, high);
  if (g->K > j.sums) j.row_tasks = max(j.row_tasks, ceil_div(g->M, MANY_ROWS));
  share_rows(&j, workers);
  j.past = !g->accumulate && g->K <= j.sums && g->N % nr == 0 &&
           cvl_is_past(g->c, g->M * g->N, g->c_row);
  j.packed = cvl_scratch_take(workers * j.group * CVL_BLOCK_K * nr, e);
  if (j.packed == NULL) return -1;
  cvl_parallel_if(cvl_gemm_is_worth_sharing(g), j.row_tasks * ceil_div(j.panels, j.group), run_task,
                  &j);
  cvl_scratch_give(j.packed);
  return 0;
}

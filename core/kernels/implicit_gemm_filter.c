/*
** The gradient of the filter: gw {taps * C, K} = patches of x, transposed, times gy {positions, K}, a sum over all images
** and positions. Rows of gw are cut into pieces, a piece being some taps or some channels of one tap, its columns into
** shares, and the sum into parts; parts beyond the first have a buffer of their own and are added in order. A piece visits
** only the positions where its taps hit x.
*/
#include <string.h>

#include "base/pool.h"
#include "kernels/implicit_gemm.h"
#include "kernels/patches.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  TASKS = 48,        /* wanted at least, for balance, */
  FEW_TASKS = 8,     /* which columns are shared out for, */
  LEAST_SHARE = 32,  /* so many at least, */
  BALANCED = 16,     /* and with fewer a multiple of four, so that threads end together */
  LEAST_ROWS = 1024, /* positions that a part should have */
  MOST_PARTS = 16,
  MOST_PARTIAL = 16 << 20, /* floats in all buffers for parts */
  SUM = 256, /* positions at a time: the more, the less often is the result read and written */
  /* Where x and gy are read as they lie: */
  FEW_SUMS = 128,   /* positions at a time, so that a panel of gy stays in the first-level cache, */
  GROUP = 8,        /* panels in a share, so that their part of gw stays in a core's own, */
  MANY_ROWS = 96,   /* from which on panels are copied, */
  LEAST_STRETCH = 4 /* positions side by side that are worth reading where they lie */
};

/* The share of wasted products above which the taps of an axis are taken one by one. */
static const double WORTH = 0.06;

typedef struct {
  const cvl_conv *p;
  const float *x, *gy;
  float *gw, *partial; /* partial {parts - 1, size of gw} */
  const cvl_tile *tile;
  cvl_axis axis[3];
  int64_t C, K;        /* in a group */
  int64_t taps[3];     /* of a piece, at most */
  int64_t channels;    /* of a piece, at most */
  int64_t pieces[4];   /* along the taps and the channels */
  int64_t share;       /* columns of a task, at most */
  int64_t parts, room; /* of the sum; floats of one worker */
  bool lying;          /* x and gy may be read as they lie */
  float *blocks;
} job;

/* Panels of gy: row i is the K channels at row[i]. A copy of known size is a few moves, any other a call. */
static void pack_rows(float *const *row, int64_t rows, int64_t K, int64_t nr, float *out) {
  for (int64_t p = 0; p * nr < K; p++) {
    int64_t n = min(nr, K - p * nr);
    for (int64_t i = 0; i < rows; i++, out += nr) {
      const float *from = row[i] + p * nr;
      if (n == nr && nr == 16) {
        memcpy(out, from, 16 * sizeof *out);
      } else if (n == nr) {
        memcpy(out, from, (size_t)nr * sizeof *out);
      } else {
        memcpy(out, from, (size_t)n * sizeof *out);
        memset(out + n, 0, (size_t)(nr - n) * sizeof *out);
      }
    }
  }
}

/* Whether patches of x, and the gy of their positions, are read where they lie: of one tap, in stretches that are worth it. */
static bool is_lying(const job *j, const cvl_patches *x) {
  for (int d = 0; d < 3; d++)
    if (x->axis[d].taps != 1) return false;
  return j->lying && (x->axis[2].count >= LEAST_STRETCH || cvl_patches_are_rows(x));
}

/* Where a panel of gy is for stretches of rows from s[i].b on: at column k of these, or copied to `panel`, if not NULL. */
static void take_panel(const cvl_stretch *s, int n, int64_t k, int64_t pitch, int64_t nr,
                       float *panel, cvl_stretch *at) {
  for (int i = 0; i < n; i++) {
    at[i].b = s[i].b + k;
    if (panel == NULL) continue;
    cvl_pack_panels(s[i].b + k, pitch, 1, s[i].count, nr, (int)nr, 0, 1, panel);
    at[i].b = panel;
    panel += s[i].count * nr;
  }
}

/* A part of the sum, positions [first, end), for the m rows of a piece and K columns, out of x and gy where they lie. x is
** copied, to `block`, where its positions compete for one set of the cache; a panel of gy, to `panel`, where many rows read
** it. */
typedef struct {
  const job *job;
  const cvl_patches *x;
  const float *gy;
  int64_t first, end, m, K;
  bool copied, packed;
  float *block, *panel, *const *gw;
} lying_sum;

static int list_stretches(const lying_sum *l, int64_t q, int64_t count, cvl_stretch *out) {
  const cvl_conv *p = l->job->p;
  return cvl_patches_stretches(l->x, q, count, l->gy, p->out, p->K, out);
}

/* Positions [q, q + count) for all panels, each of which asks for the rows of gy that the next one reads, the last for those
** of the next positions, and of x too. */
static void run_positions(const lying_sum *l, int64_t q, int64_t count) {
  const job *j = l->job;
  int64_t pitch = j->p->K, nr = j->tile->nr;
  int64_t step = l->copied ? CVL_BLOCK_ROW : l->x->axis[2].step * l->x->pitch;
  cvl_stretch s[FEW_SUMS], at[FEW_SUMS], next = {0};
  int n = list_stretches(l, q, count, s);
  if (q + count < l->end) list_stretches(l, q + count, 1, &next);
  int64_t ahead = l->copied || next.a == NULL ? 0 : next.a - s->a;
  memcpy(at, s, (size_t)n * sizeof *at);
  if (l->copied) {
    cvl_patches_copy(l->x, q, count, 0, l->m, l->block);
    for (int64_t i = 0, k = 0; i < n; k += s[i++].count) at[i].a = l->block + k * CVL_BLOCK_ROW;
  }
  for (int64_t k = 0; k < l->K; k += nr) {
    bool more = k + nr < l->K;
    take_panel(s, n, k, pitch, nr, l->packed ? l->panel : NULL, at);
    cvl_lying_run(j->tile, j->tile->lying->by_columns, at, n, step, 1, l->packed ? nr : pitch, l->m,
                  l->gw, k, nr, q > l->first ? CVL_TILE_ADD : CVL_TILE_SET, NULL,
                  (cvl_ahead){more ? 0 : ahead, more ? s->b + k + nr : next.b, pitch});
  }
}

static void run_lying(const lying_sum *l) {
  for (int64_t q = l->first; q < l->end; q += FEW_SUMS)
    run_positions(l, q, min(FEW_SUMS, l->end - q));
}

/* One part of the sum for one piece and one share of the columns of one group. */
static void run_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  int64_t shares = ceil_div(j->K, j->share), from = chunk % shares * j->share;
  int64_t K = min(j->share, j->K - from), part = chunk / shares % j->parts;
  int64_t piece = chunk / shares / j->parts, at[4], t[3], n[3], first, last;
  for (int d = 3; d >= 0; d--) {
    at[d] = piece % j->pieces[d];
    piece /= j->pieces[d];
  }
  int64_t g = piece, column = g * j->K + from;
  int64_t c = at[3] * j->channels, channels = min(j->channels, j->C - c), m = channels;
  cvl_patches patches = {j->x + g * j->C + c, p->C, channels, p->N, {{0}}};
  for (int d = 0; d < 3; d++) {
    t[d] = at[d] * j->taps[d];
    n[d] = min(j->taps[d], p->filter[d] - t[d]);
    m *= n[d];
    cvl_axis_positions(&j->axis[d], t[d], n[d], &first, &last);
    patches.axis[d] = cvl_axis_part(j->axis[d], first, last - first, t[d], n[d]);
  }
  float *a = j->blocks + worker * j->room, *b = a + CVL_BLOCK_FLOATS, *row[CVL_BLOCK_ROW];
  float *to =
      part > 0 ? j->partial + (part - 1) * p->filter[0] * p->filter[1] * p->filter[2] * j->C * p->K
               : j->gw;
  float *gw[CVL_BLOCK_ROW];
  for (int64_t i = 0; i < m; i++) { /* row i of the piece: its tap, then its channel */
    int64_t tap = i / channels, f2 = t[2] + tap % n[2], f1 = t[1] + tap / n[2] % n[1],
            f0 = t[0] + tap / n[2] / n[1];
    gw[i] = to + (((f0 * p->filter[1] + f1) * p->filter[2] + f2) * j->C + c + i % channels) * p->K +
            column;
  }
  int64_t rows = cvl_patches_rows(&patches), size = ceil_div(rows, j->parts), r = part * size;
  int64_t end = min(r + size, rows), filled = round_up(m, j->tile->mr);
  if (r >= end)
    for (int64_t i = 0; i < m; i++) memset(gw[i], 0, (size_t)K * sizeof **gw);
  if (is_lying(j, &patches)) {
    bool same_set = patches.axis[2].step * patches.pitch % CVL_SAME_SET == 0;
    run_lying(&(lying_sum){.job = j,
                           .x = &patches,
                           .gy = j->gy + column,
                           .first = r,
                           .end = end,
                           .m = m,
                           .K = K,
                           .copied = same_set,
                           .packed = m >= MANY_ROWS,
                           .block = a,
                           .panel = b,
                           .gw = gw});
    return;
  }
  for (bool add = false; r < end; r += SUM, add = true) {
    int64_t count = min(SUM, end - r);
    cvl_stretch stretch = {a, b, count};
    cvl_patches_copy(&patches, r, count, 0, m, a);
    for (int64_t i = 0; i < count && m < filled; i++)
      memset(a + i * CVL_BLOCK_ROW + m, 0, (size_t)(filled - m) * sizeof *a);
    /* Only read through these, though their type says otherwise: the same function finds rows to write. */
    cvl_patches_targets(&patches, r, count, (float *)(uintptr_t)(j->gy + column), p->out, p->K,
                        row);
    pack_rows(row, count, K, j->tile->nr, b);
    cvl_block_run(j->tile, &(cvl_block){.layout = CVL_BY_COLUMNS,
                                        .rows = m,
                                        .columns = K,
                                        .row = gw,
                                        .panel_size = count * j->tile->nr,
                                        .stretch = &stretch,
                                        .stretches = 1,
                                        .add = add});
  }
}

static void add_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t size = j->p->filter[0] * j->p->filter[1] * j->p->filter[2] * j->C * j->p->K;
  for (int64_t part = 1; part < j->parts; part++)
    for (int64_t i = first; i < last; i++) j->gw[i] += j->partial[(part - 1) * size + i];
}

/* How much of the filter a piece takes: as many taps as fit a block of A, whole rows of them first; one at a time where
** they often miss x; or a share of the channels of one tap, a multiple of the tile's rows. A filter of one tap has two
** shares at least where the sum, over `positions`, is too short to be cut. */
static void plan_pieces(job *j, int64_t positions) {
  const cvl_conv *p = j->p;
  int64_t room = CVL_BLOCK_M_COLUMNS / j->C, mr = j->tile->mr;
  int64_t shares = ceil_div(j->C, CVL_BLOCK_M_COLUMNS);
  if (p->filter[0] * p->filter[1] * p->filter[2] == 1 && positions < 2 * LEAST_ROWS &&
      j->C >= 8 * mr)
    shares = max(shares, 2);
  j->channels = j->C;
  if (shares > 1) {
    j->channels = round_up(ceil_div(j->C, shares), mr);
    room = 1;
  }
  for (int d = 2; d >= 0; d--) {
    bool wasteful = j->C >= 4 * j->tile->mr && cvl_axis_waste(&j->axis[d]) > WORTH;
    j->taps[d] = wasteful ? 1 : min(room, j->p->filter[d]);
    room = j->taps[d] == j->p->filter[d] ? room / j->taps[d] : 1;
    j->pieces[d] = ceil_div(j->p->filter[d], j->taps[d]);
  }
  j->pieces[3] = ceil_div(j->C, j->channels);
}

/* Shares of the columns and parts of the sum, over `positions`; returns the number of tasks of all. More columns are in a
** share than a task needs to be worth its copy of x, unless that leaves threads without any. */
static int64_t plan_shares(job *j, int64_t positions) {
  const cvl_conv *p = j->p;
  int64_t nr = j->tile->nr, size = p->filter[0] * p->filter[1] * p->filter[2] * j->C * p->K;
  int64_t pieces = p->groups * j->pieces[0] * j->pieces[1] * j->pieces[2] * j->pieces[3], tasks;
  j->share = j->lying && j->taps[0] * j->taps[1] * j->taps[2] == 1 ? GROUP * nr : j->K;
  tasks = pieces * ceil_div(j->K, j->share);
  j->parts = min(min(ceil_div(TASKS, tasks), MOST_PARTS),
                 min(positions / LEAST_ROWS, 1 + MOST_PARTIAL / size));
  j->parts = max(j->parts, 1);
  if (j->parts > 2 && tasks * j->parts < BALANCED && tasks * j->parts % 4 != 0)
    j->parts = round_up(j->parts, 4);
  if (tasks * j->parts < FEW_TASKS) {
    int64_t shares = min(ceil_div(FEW_TASKS, pieces * j->parts), j->K / LEAST_SHARE);
    j->share = min(j->share, round_up(ceil_div(j->K, max(shares, 1)), nr));
    tasks = pieces * ceil_div(j->K, j->share);
  }
  return tasks * j->parts;
}

int cvl_implicit_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e) {
  job j = {.p = p,
           .x = x,
           .gy = gy,
           .gw = gw,
           .C = p->C / p->groups,
           .K = p->K / p->groups,
           .tile = cvl_tile_used(p->C / p->groups, p->K / p->groups)};
  int64_t size = p->filter[0] * p->filter[1] * p->filter[2] * j.C * p->K;
  int64_t rows = p->N * p->out[0] * p->out[1] * p->out[2], tasks;
  int rc = -1;
  if (size == 0) return 0;
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  plan_pieces(&j, rows);
  j.lying = j.K % j.tile->nr == 0;
  tasks = plan_shares(&j, rows);
  j.room = CVL_BLOCK_FLOATS + round_up(j.K, j.tile->nr) * SUM;
  if (j.parts > 1 && (j.partial = cvl_scratch_take((j.parts - 1) * size, e)) == NULL) goto done;
  if ((j.blocks = cvl_scratch_take(cvl_threads() * j.room, e)) == NULL) goto done;
  cvl_parallel(tasks, run_task, &j);
  if (j.parts > 1) cvl_parallel_range(size, ceil_div(1 << 14, j.parts), add_parts, &j);
  rc = 0;
done:
  cvl_scratch_give(j.partial);
  cvl_scratch_give(j.blocks);
  return rc;
}

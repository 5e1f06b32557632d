/*
** Forward and the gradient of the data: both gather, for each position of the target, patches of the source, and differ
** in the axes (patches.h) and in how the filter is read. The filter is packed once, or read as it lies where there is
** too little to multiply it with; the target is cut into boxes of positions with the same taps, boxes into blocks of rows,
** and these are shared out.
*/
#include "kernels/implicit_gemm.h"

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/patches.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  CLASSES = 8, /* parts of an axis with different taps, at most, or it is not cut */
  TASKS = 32,  /* wanted at least, for balance */
  GROUP = 4,   /* panels that a task should have at least, to be worth its copies */
  READ = 16,   /* reading a part of the filter costs as much as so many rows of products with it */
  FEW_ROWS = 64,  /* up to so many, packing the filter costs more than it saves */
  FEW_BLOCK = 24, /* rows of a block then */
  /* Up to so many, or twice when sums are long, copying rows costs too much, unless they lie in one set of the cache; where a
  ** core waits for many lines at a time it does so always. */
  FEW_PANELS = 4
};

static const double WORTH = 0.06; /* share of wasted products that makes cutting an axis pay */

/* A part of an axis: some positions of one phase, and the taps that they need. */
typedef struct {
  cvl_axis axis;
  int64_t phase, first_tap;
} segment;

/* The segments of one axis, and its whole phases. */
typedef struct {
  cvl_axis *phase;
  segment *part;
  int64_t phases, parts;
} axis_plan;

typedef struct {
  int64_t first_task, row_blocks;
  int64_t part[3];
} box;

typedef struct {
  const float *source, *w;
  cvl_epilogue then;
  float *target;
  int64_t images, groups, depth, columns; /* per group: channels of the source, of the target */
  int64_t target_size[3], filter[3];
  int64_t w_tap, w_group, w_row, w_column; /* steps in w: tap, group, source and target channel */
  axis_plan axis[3];
  int64_t *region;     /* {phases of axis 0, 1, 2}: where a phase's panels start, */
  int64_t all_columns; /* in columns of patches, of which there are so many in all phases */
  box *box;
  int64_t boxes, tasks; /* of one group of channels */
  const cvl_tile *tile;
  int64_t panels, group; /* panels in all, and of one task */
  int64_t block;         /* rows of a block */
  bool in_place;         /* the filter is read as it lies, */
  bool lying;            /* or the source where its rows are */
  bool past;             /* the target is written past the caches where its sums are made at once */
  bool add;              /* to what the target holds */
  float *packed, *blocks;
} job;

/* Cuts a phase where the taps that hit the source change; into one part if that would not pay. `others`: rows for each
** position of this axis. */
static int64_t cut_phase(const cvl_axis *a, int64_t phase, int64_t others, segment *part) {
  int64_t n = 0, first, last, start = 0, cost = 0;
  if (cvl_axis_waste(a) > WORTH)
    for (int64_t i = 0; i < a->count; i++) {
      int64_t next_first, next_last;
      cvl_axis_taps(a, i, &first, &last);
      if (i + 1 < a->count) {
        cvl_axis_taps(a, i + 1, &next_first, &next_last);
        if (next_first == first && next_last == last) continue;
      }
      if (n == CLASSES) {
        n = 0;
        break;
      }
      part[n++] =
          (segment){cvl_axis_part(*a, start, i + 1 - start, first, last - first), phase, first};
      cost += (last - first) * ((i + 1 - start) * others + READ);
      start = i + 1;
    }
  if ((double)cost > (1 - WORTH) * (double)(a->taps * (a->count * others + READ))) n = 0;
  if (n == 0) part[n++] = (segment){*a, phase, 0};
  return n;
}

static int plan_axis(axis_plan *a, const cvl_conv *p, int d, bool backward, cvl_err *e) {
  const int64_t *size = backward ? p->in : p->out;
  int64_t others = p->N * size[(d + 1) % 3] * size[(d + 2) % 3];
  int64_t phases = backward ? min(p->stride[d], p->in[d]) : 1;
  if ((a->phase = cvl_alloc_array((size_t)phases, sizeof *a->phase)) == NULL ||
      (a->part = cvl_alloc_array((size_t)phases, CLASSES * sizeof *a->part)) == NULL)
    return cvl_fail_memory(e, (long long)phases * CLASSES * (long long)sizeof *a->part);
  a->phases = phases;
  for (int64_t i = 0; i < phases; i++) {
    a->phase[i] = backward ? cvl_axis_backward(p, d, i) : cvl_axis_forward(p, d);
    a->parts += cut_phase(&a->phase[i], i, others, a->part + a->parts);
  }
  return 0;
}

static int64_t *region_of(const job *j, int64_t p0, int64_t p1, int64_t p2) {
  return &j->region[(p0 * j->axis[1].phases + p1) * j->axis[2].phases + p2];
}

/* Boxes are all combinations of the parts of the three axes; so are the phases. */
static int plan_boxes(job *j, cvl_err *e) {
  const axis_plan *a = j->axis;
  int64_t phases = a[0].phases * a[1].phases * a[2].phases,
          boxes = a[0].parts * a[1].parts * a[2].parts, blocks = 0;
  if ((j->region = cvl_alloc_array((size_t)phases, sizeof *j->region)) == NULL ||
      (j->box = cvl_alloc_array((size_t)boxes, sizeof *j->box)) == NULL)
    return cvl_fail_memory(e, (long long)boxes * (long long)sizeof *j->box);
  for (int64_t i = 0; i < phases; i++) {
    int64_t i0 = i / a[2].phases / a[1].phases, i1 = i / a[2].phases % a[1].phases,
            i2 = i % a[2].phases;
    j->region[i] = j->all_columns;
    j->all_columns += a[0].phase[i0].taps * a[1].phase[i1].taps * a[2].phase[i2].taps * j->depth;
  }
  for (int64_t i = 0; i < boxes; i++) {
    box *b = &j->box[j->boxes++];
    b->part[0] = i / a[2].parts / a[1].parts;
    b->part[1] = i / a[2].parts % a[1].parts;
    b->part[2] = i % a[2].parts;
    int64_t rows = j->images;
    for (int d = 0; d < 3; d++) rows *= a[d].part[b->part[d]].axis.count;
    b->row_blocks = ceil_div(rows, j->block);
    blocks += b->row_blocks;
  }
  j->panels = ceil_div(j->columns, j->tile->nr);
  j->group = ceil_div(
      j->panels,
      blocks == 0 ? 1 : min(ceil_div(TASKS, blocks * j->groups), max(j->panels / GROUP, 1)));
  for (int64_t i = 0; i < j->boxes; i++) {
    j->box[i].first_task = j->tasks;
    j->tasks += j->box[i].row_blocks * ceil_div(j->panels, j->group);
  }
  return 0;
}

/* Which phase and which of its taps uses tap f of the filter on axis d; false if none does. */
static bool find_tap(const axis_plan *a, int64_t f, int64_t *phase, int64_t *t) {
  for (*phase = 0; *phase < a->phases; ++*phase) {
    const cvl_axis *x = &a->phase[*phase];
    int64_t away = f - x->filter;
    *t = away / x->filter_step;
    if (away % x->filter_step == 0 && *t >= 0 && *t < x->taps) return true;
  }
  return false;
}

/* Whether some position of the phase needs its tap t. */
static bool is_used(const axis_plan *a, int64_t phase, int64_t t) {
  for (int64_t i = 0; i < a->parts; i++)
    if (a->part[i].phase == phase && t >= a->part[i].first_tap &&
        t < a->part[i].first_tap + a->part[i].axis.taps)
      return true;
  return false;
}

/* Packs the panel of one group and one tap: {depth, nr} of the {columns of patches of its phase, nr}. A tap serves one
** phase only: each input reaches a given output by one tap, and each phase holds the taps of one remainder. */
static void pack(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk % j->panels,
          tap = chunk / j->panels % (j->filter[0] * j->filter[1] * j->filter[2]);
  int64_t g = chunk / j->panels / (j->filter[0] * j->filter[1] * j->filter[2]);
  int64_t f[3] = {tap / j->filter[2] / j->filter[1], tap / j->filter[2] % j->filter[1],
                  tap % j->filter[2]};
  int64_t phase[3], t[3], taps[3], nr = j->tile->nr, column = panel * nr;
  (void)worker;
  for (int d = 0; d < 3; d++) {
    if (!find_tap(&j->axis[d], f[d], &phase[d], &t[d])) return;
    if (!is_used(&j->axis[d], phase[d], t[d])) return;
    taps[d] = j->axis[d].phase[phase[d]].taps;
  }
  float *out = j->packed + g * j->all_columns * j->panels * nr +
               *region_of(j, phase[0], phase[1], phase[2]) * j->panels * nr;
  out += (panel * taps[0] * taps[1] * taps[2] + (t[0] * taps[1] + t[1]) * taps[2] + t[2]) *
         j->depth * nr;
  cvl_pack_panels(j->w + tap * j->w_tap + g * j->w_group + column * j->w_column, j->w_row,
                  j->w_column, j->depth, j->columns - column, (int)nr, 0, 1, out);
}

static const box *box_of(const job *j, int64_t task) {
  int64_t low = 0, high = j->boxes - 1; /* the last box that starts at or before the task */
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (j->box[middle].first_task <= task)
      low = middle;
    else
      high = middle - 1;
  }
  return &j->box[low];
}

/* A block of rows of one box by some panels of one group's filter. */
typedef struct {
  const job *job;
  const segment *part[3];
  cvl_axis whole[3]; /* the phases that these are parts of */
  cvl_patches patches;
  int64_t sums, r, rows, columns;
  float *row[CVL_BLOCK_M]; /* where they go */
  cvl_epilogue then;
  const float *bias;   /* where the sums start, or NULL */
  const float *panels; /* packed, or in the filter itself, */
  int64_t panel_size, b_row;
} task;

static void start_task(const job *j, int64_t chunk, task *t) {
  int64_t g = chunk / j->tasks, number = chunk % j->tasks, nr = j->tile->nr, all_sums = j->depth;
  const box *b = box_of(j, number);
  *t = (task){.job = j,
              .patches = {j->source + g * j->depth, j->groups * j->depth, j->depth, j->images}};
  for (int d = 0; d < 3; d++) {
    t->part[d] = &j->axis[d].part[b->part[d]];
    t->whole[d] = j->axis[d].phase[t->part[d]->phase];
    t->patches.axis[d] = t->part[d]->axis;
    all_sums *= t->whole[d].taps;
  }
  int64_t panel = (number - b->first_task) / b->row_blocks * j->group, column = panel * nr;
  t->sums = cvl_patches_columns(&t->patches);
  t->r = (number - b->first_task) % b->row_blocks * j->block;
  t->rows = min(j->block, cvl_patches_rows(&t->patches) - t->r);
  t->columns = min(j->columns - column, j->group * nr);
  t->then = cvl_epilogue_from(&j->then, g * j->columns + column);
  t->bias = cvl_epilogue_is_shift(&t->then) ? t->then.shift : NULL;
  t->b_row = j->in_place ? j->w_row : nr;
  t->panel_size = j->in_place ? nr : all_sums * nr;
  if (j->in_place) {
    t->panels = j->w + g * j->w_group + panel * nr;
  } else {
    int64_t before =
        g * j->all_columns + *region_of(j, t->part[0]->phase, t->part[1]->phase, t->part[2]->phase);
    t->panels = j->packed + before * j->panels * nr + panel * t->panel_size;
  }
  cvl_patches_targets(&t->patches, t->r, t->rows, j->target + g * j->columns + column,
                      j->target_size, j->groups * j->columns, t->row);
}

/*
** The stretches of a panel that columns [k, k + count) of a box's patches, from `a` on, meet: the box may use a part of the
** taps that the panel has. One stretch per row of taps, joined where they touch. Returns their number.
*/
static int list_stretches(const task *t, const float *a, int64_t k, int64_t count,
                          cvl_stretch *out) {
  const segment *const *part = t->part;
  int64_t length = part[2]->axis.taps * t->job->depth, last = k + count;
  int n = 0;
  while (k < last) {
    int64_t row = k / length, skip = k % length, take = min(length - skip, last - k);
    int64_t t0 = row / part[1]->axis.taps + part[0]->first_tap,
            t1 = row % part[1]->axis.taps + part[1]->first_tap;
    int64_t tap = (t0 * t->whole[1].taps + t1) * t->whole[2].taps + part[2]->first_tap;
    const float *b = t->panels + (tap * t->job->depth + skip) * t->b_row;
    if (n > 0 && out[n - 1].b + out[n - 1].count * t->b_row == b)
      out[n - 1].count += take;
    else
      out[n++] = (cvl_stretch){a, b, take};
    k += take;
    a += take;
  }
  return n;
}

static void fill_rows(float *const *row, int64_t rows, int64_t columns, const float *bias) {
  for (int64_t i = 0; i < rows; i++)
    if (bias != NULL)
      memcpy(row[i], bias, (size_t)columns * sizeof *bias);
    else
      memset(row[i], 0, (size_t)columns * sizeof **row);
}

/* Where the source is rows as they are: these are read where they lie, each panel with its whole sums, by the one of the
** taps that the panels may have, and those of the next block are asked for meanwhile. */
static void run_lying(const task *t) {
  const job *j = t->job;
  const cvl_patches *p = &t->patches;
  int64_t nr = j->tile->nr, next = t->r + t->rows < cvl_patches_rows(p) ? j->block * p->pitch : 0;
  cvl_tile_mode mode = j->add ? CVL_TILE_ADD : j->past ? CVL_TILE_PAST : CVL_TILE_SET;
  cvl_stretch stretch[1];
  list_stretches(t, p->source + t->r * p->pitch, 0, t->sums, stretch);
  for (int64_t c = 0; c < t->columns; c += nr, stretch->b += t->panel_size)
    cvl_lying_run(j->tile, j->tile->lying->by_rows, stretch, 1, p->pitch, p->pitch, nr, t->rows,
                  t->row, c, nr, mode, t->bias != NULL ? t->bias + c : NULL,
                  (cvl_ahead){.a = c == 0 ? next : 0});
  if (j->past) cvl_past_end();
}

/* What is asked for by the block of sums before k: the first panel of those from k on, and by the first of all what the
** others will copy of the source. */
static int list_soon(const task *t, int64_t k, const cvl_stretch *stretch, int stretches,
                     cvl_soon *out) {
  int n = 0;
  if (t->job->in_place) return 0; /* tiles ask for rows of the filter then, and for nothing else */
  for (int s = 0; s < stretches; s++)
    out[n++] = (cvl_soon){stretch[s].b, stretch[s].count * t->b_row};
  if (k == CVL_BLOCK_K) n += cvl_patches_soon(&t->patches, t->r, t->rows, out + n);
  return n;
}

static void run_copied(const task *t, float *a) {
  const job *j = t->job;
  cvl_stretch stretch[2][CVL_BLOCK_K];
  cvl_soon soon[CVL_BLOCK_K + CVL_BLOCK_M];
  int64_t count = min(CVL_BLOCK_K, t->sums), next;
  int stretches = list_stretches(t, a, 0, count, stretch[0]), nexts;
  for (int64_t k = 0, i = 0; k < t->sums; k += count, count = next, stretches = nexts, i = 1 - i) {
    next = min(CVL_BLOCK_K, t->sums - k - count);
    nexts = list_stretches(t, a, k + count, next, stretch[1 - i]);
    cvl_patches_copy(&t->patches, t->r, t->rows, k, count, a);
    for (int64_t r = t->rows; r < round_up(t->rows, j->tile->mr); r++)
      memset(a + r * CVL_BLOCK_ROW, 0, (size_t)count * sizeof *a);
    cvl_block_run(
        j->tile,
        &(cvl_block){.layout = CVL_BY_ROWS,
                     .rows = t->rows,
                     .columns = t->columns,
                     .row = t->row,
                     .panel_size = t->panel_size,
                     .b_row = t->b_row,
                     .stretch = stretch[i],
                     .stretches = stretches,
                     .add = k > 0 || j->add,
                     .past = j->past && t->sums <= CVL_BLOCK_K,
                     .bias = t->bias,
                     .soon = soon,
                     .soons = next > 0 ? list_soon(t, k + count, stretch[1 - i], nexts, soon) : 0});
  }
}

static void run_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  task t;
  start_task(j, chunk, &t);
  if (t.sums == 0) {
    if (!j->add) fill_rows(t.row, t.rows, t.columns, t.bias);
  } else if (j->lying && cvl_patches_are_rows(&t.patches)) {
    run_lying(&t);
  } else {
    run_copied(&t, j->blocks + (int64_t)worker * CVL_BLOCK_FLOATS);
  }
  if (cvl_epilogue_is_shift(&t.then)) return;
  for (int64_t i = 0; i < t.rows; i++)
    cvl_epilogue_run(&t.then, 1, t.columns, t.columns,
                     t.then.residual != NULL ? t.then.residual + (t.row[i] - j->target) : NULL,
                     t.row[i]);
}

/* Whether rows had better be read where they lie, if they do, by every panel, than copied once. */
static bool suits_lying(const job *j) {
  int64_t few = (j->depth > CVL_BLOCK_K ? 2 : 1) * FEW_PANELS * j->tile->nr;
  return cvl_cpu_waits_for_many() ||
         (j->columns <= few && j->groups * j->depth % CVL_SAME_SET != 0);
}

static int gather(job *j, const cvl_conv *p, bool backward, cvl_err *e) {
  int64_t rows = j->images * j->target_size[0] * j->target_size[1] * j->target_size[2];
  int rc = -1;
  if (rows * j->columns == 0) return 0;
  j->tile = cvl_tile_used(rows, j->columns);
  for (int d = 0; d < 3; d++) {
    j->filter[d] = p->filter[d];
    if (plan_axis(&j->axis[d], p, d, backward, e) != 0) goto done;
  }
  j->in_place = !backward && j->columns % j->tile->nr == 0 && rows <= FEW_ROWS;
  j->past = j->columns % j->tile->nr == 0 && cvl_epilogue_is_shift(&j->then) &&
            cvl_is_past(j->target, rows * j->groups * j->columns, j->groups * j->columns);
  j->block = j->in_place ? FEW_BLOCK : CVL_BLOCK_M;
  j->lying = !j->in_place && j->columns % j->tile->nr == 0 && suits_lying(j);
  if (plan_boxes(j, e) != 0) goto done;
  if (!j->in_place && (j->packed = cvl_scratch_take(
                           j->groups * j->all_columns * j->panels * j->tile->nr, e)) == NULL)
    goto done;
  if ((j->blocks = cvl_scratch_take((int64_t)cvl_threads() * CVL_BLOCK_FLOATS, e)) == NULL)
    goto done;
  if (!j->in_place)
    cvl_parallel(j->groups * p->filter[0] * p->filter[1] * p->filter[2] * j->panels, pack, j);
  cvl_parallel(j->groups * j->tasks, run_task, j);
  rc = 0;
done:
  cvl_scratch_give(j->packed);
  cvl_scratch_give(j->blocks);
  cvl_free(j->region);
  cvl_free(j->box);
  for (int d = 0; d < 3; d++) {
    cvl_free(j->axis[d].phase);
    cvl_free(j->axis[d].part);
  }
  return rc;
}

int cvl_implicit_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e) {
  int64_t C = p->C / p->groups, K = p->K / p->groups;
  job j = {.source = x,
           .w = w,
           .then = *then,
           .target = y,
           .images = p->N,
           .groups = p->groups,
           .depth = C,
           .columns = K,
           .target_size = {p->out[0], p->out[1], p->out[2]},
           .w_tap = C * p->K,
           .w_group = K,
           .w_row = p->K,
           .w_column = 1};
  return gather(&j, p, false, e);
}

int cvl_implicit_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e) {
  int64_t C = p->C / p->groups, K = p->K / p->groups;
  job j = {.source = gy,
           .w = w,
           .target = gx,
           .add = add,
           .images = p->N,
           .groups = p->groups,
           .depth = K,
           .columns = C,
           .target_size = {p->in[0], p->in[1], p->in[2]},
           .w_tap = C * p->K,
           .w_group = K,
           .w_row = 1,
           .w_column = p->K};
  return gather(&j, p, true, e);
}

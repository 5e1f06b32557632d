/*
** Work is cut into units, some lines of the target of one plane of one image: a task copies the lines of x that a unit
** needs, padded, and has them in its own cache. Forward, C of a product is {positions of a line, K}, its sums run along the
** lines of the filter. For the gradient of the filter, C is {a line of the filter, K} and sums run along the lines of the
** target; each task adds up units of its own, and the tasks' sums are added in their order.
*/
#include "kernels/lines.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  MOST_LINE = 64,        /* floats in a line of the filter: more pay for patches */
  MOST_SUMS = 1024,      /* in all its lines */
  TASKS = 32,            /* wanted at least, for balance */
  REGION = 1 << 15,      /* floats of x in a unit: half of a second-level cache, */
  MOST_REGION = 1 << 20, /* or more where lines are long, but not more than this */
  SUM =
      128 /* positions at a time for the gradient: their part of gy stays in the first-level cache */
};

typedef struct {
  const cvl_conv *p;
  const cvl_tile *tile;
  const float *x, *gy;
  cvl_epilogue then;
  float *y;       /* or gw */
  bool add, past; /* to y, when there is nothing `then`; or y is written past the caches */
  bool reversed;  /* w is that of the problem whose gradient this is */
  int64_t line, filter_lines, sums; /* floats in a line of the filter; lines; floats in all */
  int64_t part, parts, units;       /* lines of the target in a unit; units of a plane; in all */
  int64_t tasks;                    /* of the gradient */
  int64_t width, high;              /* of a region: floats in a line, lines in a plane */
  float *packed, *sum, *room;       /* w in panels; {tasks, sums, K}; a region for each thread */
} job;

/* What `positions` outputs of axis d read, from the first to the last. */
static int64_t span(const cvl_conv *p, int d, int64_t positions) {
  return (positions - 1) * p->stride[d] + (p->filter[d] - 1) * p->dilation[d] + 1;
}

bool cvl_lines_possible(const cvl_conv *p) {
  if (p->groups != 1 || p->N * p->C * p->K == 0) return false;
  for (int d = 0; d < 3; d++)
    if (p->in[d] == 0 || p->filter[d] == 0 || p->out[d] == 0) return false;
  int64_t line = p->filter[2] * p->C;
  return p->dilation[2] == 1 && line <= MOST_LINE &&
         line * p->filter[0] * p->filter[1] <= MOST_SUMS &&
         p->K % cvl_tile_used(p->out[2], p->K)->nr == 0 &&
         p->filter[0] * span(p, 1, 1) * span(p, 2, p->out[2]) * p->C <= MOST_REGION;
}

static int plan(job *j, cvl_err *e) {
  const cvl_conv *p = j->p;
  int64_t line;
  j->tile = cvl_tile_used(p->out[2], p->K);
  j->line = p->filter[2] * p->C;
  j->filter_lines = p->filter[0] * p->filter[1];
  j->sums = j->filter_lines * j->line;
  j->width = span(p, 2, p->out[2]) * p->C;
  line = p->filter[0] * j->width;
  j->parts = max(ceil_div(TASKS, p->N * p->out[0]), ceil_div(span(p, 1, p->out[1]) * line, REGION));
  j->part = ceil_div(p->out[1], min(j->parts, p->out[1]));
  j->parts = ceil_div(p->out[1], j->part);
  j->units = p->N * p->out[0] * j->parts;
  j->high = span(p, 1, j->part);
  j->room = cvl_scratch_take(cvl_threads() * p->filter[0] * j->high * j->width, e);
  return j->room != NULL ? 0 : -1;
}

static void end(job *j) {
  cvl_scratch_give(j->packed);
  cvl_scratch_give(j->sum);
  cvl_scratch_give(j->room);
}

typedef struct {
  int64_t image, o0, first, lines; /* lines [first, first + lines) of plane o0 of the target */
  float *region;                   /* {filter[0], high, width} */
} unit;

static bool is_inside(const cvl_conv *p, int d, int64_t i) { return i >= 0 && i < p->in[d]; }

/* Where tap f of axis d meets x from output o. */
static int64_t input_of(const cvl_conv *p, int d, int64_t o, int64_t f) {
  return o * p->stride[d] + f * p->dilation[d] - p->before[d];
}

/* The lines of x that a unit needs; those outside x are left out, as they are when it is multiplied. */
static unit start(const job *j, int64_t number, int worker) {
  const cvl_conv *p = j->p;
  unit u = {.image = number / j->parts / p->out[0],
            .o0 = number / j->parts % p->out[0],
            .first = number % j->parts * j->part};
  int64_t left = min(p->before[2] * p->C, j->width),
          count = clamp(p->in[2] * p->C, 0, j->width - left);
  u.lines = min(j->part, p->out[1] - u.first);
  u.region = j->room + worker * p->filter[0] * j->high * j->width;
  for (int64_t f0 = 0; f0 < p->filter[0]; f0++) {
    int64_t z = input_of(p, 0, u.o0, f0);
    for (int64_t i = 0; i < span(p, 1, u.lines); i++) {
      int64_t h = u.first * p->stride[1] - p->before[1] + i;
      float *to = u.region + (f0 * j->high + i) * j->width;
      if (!is_inside(p, 0, z) || !is_inside(p, 1, h)) continue;
      memset(to, 0, (size_t)left * sizeof *to);
      memcpy(to + left, j->x + ((u.image * p->in[0] + z) * p->in[1] + h) * p->in[2] * p->C,
             (size_t)count * sizeof *to);
      memset(to + left + count, 0, (size_t)(j->width - left - count) * sizeof *to);
    }
  }
  return u;
}

/* The line of the region that line f of the filter meets at line o1 of the unit, or NULL outside x. */
static const float *line_of(const job *j, const unit *u, int64_t f, int64_t o1) {
  const cvl_conv *p = j->p;
  int64_t f0 = f / p->filter[1], f1 = f % p->filter[1];
  if (!is_inside(p, 0, input_of(p, 0, u->o0, f0)) ||
      !is_inside(p, 1, input_of(p, 1, u->first + o1, f1)))
    return NULL;
  return u->region + (f0 * j->high + o1 * p->stride[1] + f1 * p->dilation[1]) * j->width;
}

/* Where the unit's line o1 of the target starts, in floats. */
static int64_t target_of(const job *j, const unit *u, int64_t o1) {
  const cvl_conv *p = j->p;
  return ((u->image * p->out[0] + u->o0) * p->out[1] + u->first + o1) * p->out[2] * p->K;
}

/* `rows` rows of C, `pitch` apart, one tile wide: in tiles of nearly the same height. Rows of A are `across` apart. */
static void run_column(const job *j, cvl_lying_kernel *const *kernel, cvl_stretch *s, int stretches,
                       int64_t a_step, int64_t across, int64_t b_row, int64_t rows, float *c,
                       cvl_tile_mode mode, const float *first) {
  int64_t tiles = ceil_div(rows, j->tile->mr);
  float *row[CVL_TILE_MAX_ROWS];
  for (int64_t t = 0, i = 0, height; t < tiles; t++, i += height) {
    height = (rows - i) / (tiles - t);
    for (int64_t r = 0; r < height; r++) row[r] = c + (i + r) * j->p->K;
    kernel[height](s, stretches, a_step, b_row, row, 0, mode, first, NULL);
    for (int q = 0; q < stretches; q++) s[q].a += height * across;
  }
}

static void forward_unit(void *context, int64_t number, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  unit u = start(j, number, worker);
  int64_t nr = j->tile->nr, step = p->stride[2] * p->C;
  bool shift = cvl_epilogue_is_shift(&j->then);
  const float *bias = shift ? j->then.shift : NULL; /* where the sums start */
  cvl_tile_mode mode = j->add ? CVL_TILE_ADD : j->past ? CVL_TILE_PAST : CVL_TILE_SET;
  cvl_stretch stretch[MOST_SUMS];
  for (int64_t k = 0; k < p->K; k += nr)
    for (int64_t o1 = 0; o1 < u.lines; o1++) {
      const float *panel = j->packed + k * j->sums;
      int n = 0;
      for (int64_t f = 0; f < j->filter_lines; f++) {
        const float *a = line_of(j, &u, f, o1);
        if (a != NULL) stretch[n++] = (cvl_stretch){a, panel + f * j->line * nr, j->line};
      }
      run_column(j, j->tile->lying->by_rows, stretch, n, step, step, nr, p->out[2],
                 j->y + target_of(j, &u, o1) + k, mode, bias != NULL ? bias + k : NULL);
    }
  if (j->past) cvl_past_end();
  if (shift) return;
  int64_t at = target_of(j, &u, 0);
  cvl_epilogue_run(&j->then, u.lines * p->out[2], p->K, p->K,
                   j->then.residual != NULL ? j->then.residual + at : NULL, j->y + at);
}

/* The filter in panels; that of a reversed problem tap by tap from the last one on, its rows and columns exchanged. */
static void pack_filter(const job *j, const float *w) {
  int64_t nr = j->tile->nr, C = j->p->C, K = j->p->K, taps = j->sums / C;
  if (!j->reversed) {
    cvl_pack_panels(w, K, 1, j->sums, K, (int)nr, 0, K / nr, j->packed);
    return;
  }
  for (int64_t k = 0; k < K; k += nr)
    for (int64_t f = 0; f < taps; f++)
      cvl_pack_panels(w + (f * K + k) * C, 1, C, C, nr, (int)nr, 0, 1,
                      j->packed + k * j->sums + (taps - 1 - f) * C * nr);
}

static int run_forward(job *j, const float *w, cvl_err *e) {
  const cvl_conv *p = j->p;
  int rc = -1;
  if (plan(j, e) != 0) goto done;
  if ((j->packed = cvl_scratch_take(j->sums * p->K, e)) == NULL) goto done;
  pack_filter(j, w);
  j->past = !j->add && cvl_epilogue_is_shift(&j->then) &&
            cvl_is_past(j->y, p->N * p->out[0] * p->out[1] * p->out[2] * p->K, p->K);
  cvl_parallel(j->units, forward_unit, j);
  rc = 0;
done:
  end(j);
  return rc;
}

int cvl_lines_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                      float *y, cvl_err *e) {
  return run_forward(&(job){.p = p, .x = x, .then = *then, .y = y}, w, e);
}

bool cvl_lines_data_possible(const cvl_conv *p) {
  cvl_conv back = cvl_conv_reversed(p);
  for (int d = 0; d < 3; d++)
    if (p->stride[d] != 1 || back.before[d] < 0) return false;
  return cvl_lines_possible(&back);
}

int cvl_lines_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                            cvl_err *e) {
  cvl_conv back = cvl_conv_reversed(p);
  return run_forward(&(job){.p = &back, .x = gy, .y = gx, .add = add, .reversed = true}, w, e);
}

/* sum {sums, K} += lines [o1, o1 + lines) of a unit. */
static void add_lines(const job *j, const unit *u, int64_t o1, int64_t lines, float *sum) {
  const cvl_conv *p = j->p;
  cvl_stretch all[SUM], stretch[SUM];
  for (int64_t f = 0; f < j->filter_lines; f++) {
    int n = 0;
    for (int64_t i = o1; i < o1 + lines; i++) {
      const float *a = line_of(j, u, f, i);
      if (a != NULL) all[n++] = (cvl_stretch){a, j->gy + target_of(j, u, i), p->out[2]};
    }
    for (int64_t k = 0; n > 0 && k < p->K; k += j->tile->nr) {
      for (int q = 0; q < n; q++) stretch[q] = (cvl_stretch){all[q].a, all[q].b + k, all[q].count};
      run_column(j, j->tile->lying->by_columns, stretch, n, p->stride[2] * p->C, 1, p->K, j->line,
                 sum + f * j->line * p->K + k, CVL_TILE_ADD, NULL);
    }
  }
}

static void filter_task(void *context, int64_t task, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  int64_t size = j->sums * p->K, last = (task + 1) * j->units / j->tasks;
  int64_t most = clamp(SUM / p->out[2], 1, SUM);
  float *sum = task > 0 ? j->sum + (task - 1) * size : j->y;
  memset(sum, 0, (size_t)size * sizeof *sum);
  for (int64_t i = task * j->units / j->tasks; i < last; i++) {
    unit u = start(j, i, worker);
    for (int64_t o1 = 0; o1 < u.lines; o1 += most)
      add_lines(j, &u, o1, min(most, u.lines - o1), sum);
  }
}

static void add_tasks(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t size = j->sums * j->p->K;
  for (int64_t t = 0; t < j->tasks - 1; t++)
    for (int64_t i = first; i < last; i++) j->y[i] += j->sum[t * size + i];
}

int cvl_lines_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                              cvl_err *e) {
  job j = {.p = p, .x = x, .gy = gy, .y = gw};
  int rc = -1;
  if (plan(&j, e) != 0) goto done;
  j.tasks = min(j.units, TASKS);
  if (j.tasks > 1 && (j.sum = cvl_scratch_take((j.tasks - 1) * j.sums * p->K, e)) == NULL)
    goto done;
  cvl_parallel(j.tasks, filter_task, &j);
  cvl_parallel_range(j.sums * p->K, 1 << 12, add_tasks, &j);
  rc = 0;
done:
  end(&j);
  return rc;
}

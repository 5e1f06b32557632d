/*
** Work is shared out by blocks of images and, within one, by parts of the rows of positions. A task rearranges the rows
** of x that it needs, with their padding, and then has all it needs in its own cache; the gradient of the filter is a
** sum of the tasks' sums in their order. With a pooling behind it, the convolution's results live as long as a row of
** windows needs them, and so does their gradient, which is made of that of the pooled and the marks.
*/
#include "kernels/hwcn.h"

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"

enum {
  TASKS = 16,       /* wanted at least, for balance */
  LEAST_ROWS = 4,   /* of a part: rows that parts have in common are rearranged once for each */
  REGION = 1 << 15, /* floats of x in a task: half of a second-level cache ... */
  MOST_REGION = 1 << 20, /* ... or, when rows are long or the filter is high, not more than this */
  NEAR = 6 << 10 /* floats of gy, for a tile of filters, that stay in the first-level cache */
};

typedef struct {
  const cvl_conv *p;
  const cvl_hwcn *kernel;
  const float *x, *w, *gy;
  cvl_epilogue then;
  float *y;  /* or gw, NULL when that is not wanted */
  float *gb; /* or NULL */
  bool flip; /* w {filter, K, C} with its taps reversed: the gradient of the data */

  /* Or NULL. Then y is z; and gy, or the x of the gradient of the data, is gz. */
  const cvl_conv_pool *pool;
  cvl_hwcn_windows windows; /* a row of them */
  uint16_t *marks;          /* {blocks, out, K} */

  int64_t size[3];       /* of a region of x, with padding */
  int64_t blocks, parts; /* of images, of rows */
  int64_t part, near;  /* rows in a part; rows worked on together for the gradient of the filter */
  int64_t taps, sums;  /* taps; taps * channels */
  int64_t pitch;       /* between positions of the target's rows, see target_pitch */
  int width;           /* of a tile of filters */
  bool lines_left_out; /* of the filter, where they meet only padding, which then is not made */
  int64_t *offset;     /* {sums + CVL_HWCN_SPARE} */
  int64_t *first, *last; /* {out[2]}: of a line of the filter, what does not meet padding */
  float *packed;         /* w {K, sums} in tiles */
  float *sum;            /* {tasks, sums + 1, K}: gw and gb of each */
  float *room;           /* {threads, room_size} */
  /* Floats of x, then of rows of the target, then of a row of windows, then of sums. */
  int64_t room_size, region, rows_size, pooled_size;
} job;

static const cvl_hwcn *kernel_used(void) { return CVL_OF_ISA(&cvl_hwcn); }

int cvl_hwcn_lanes(void) { return kernel_used()->lanes; }

/* What `positions` outputs of axis d read, from the first to the last. */
static int64_t span(const cvl_conv *p, int d, int64_t positions) {
  return (positions - 1) * p->stride[d] + (p->filter[d] - 1) * p->dilation[d] + 1;
}

/* One line of x in a region, all its lanes. */
static int64_t line_floats(const cvl_conv *p, int lanes) {
  return span(p, 0, p->out[0]) * span(p, 2, p->out[2]) * p->C * lanes;
}

bool cvl_hwcn_possible(const cvl_conv *p, bool data) {
  int lanes = cvl_hwcn_lanes();
  if (p->groups != 1 || p->N == 0 || p->C == 0 || p->K == 0) return false;
  for (int d = 0; d < 3; d++)
    if (p->in[d] == 0 || p->filter[d] == 0 || p->out[d] == 0 || (data && p->stride[d] != 1))
      return false;
  return line_floats(p, lanes) * span(p, 1, min(LEAST_ROWS, p->out[1])) <= MOST_REGION &&
         p->out[2] * (p->K + 1) * lanes <= MOST_REGION;
}

/* Pixels of a multiple of the vector's channels would all lie in the same few sets of the cache: one vector more. */
static int64_t target_pitch(const job *j) {
  int64_t K = j->p->K;
  return (K % j->kernel->lanes == 0 ? K + 1 : K) * j->kernel->lanes;
}

/* Filters in a tile of sums for the gradient of the filter: as many as leave the fewest products that nobody wants, and
** the fewest loads for the rest. */
static int filter_width(const job *j) {
  int64_t best = 0, least = INT64_MAX;
  for (int64_t width = 1; width <= j->kernel->width; width++) {
    int64_t deep = min(j->kernel->held / width, CVL_HWCN_SPARE);
    int64_t cost =
        ceil_div(j->p->K, width) * ceil_div(j->sums, deep) * (2 * width * deep + width + deep);
    if (cost < least) least = cost, best = width;
  }
  return (int)best;
}

static void find_offsets(const job *j) {
  const cvl_conv *p = j->p;
  for (int64_t i = 0; i < j->sums; i++) { /* the spare ones stay 0 */
    int64_t t = i / p->C, t2 = t % p->filter[2] * p->dilation[2],
            t1 = t / p->filter[2] % p->filter[1] * p->dilation[1],
            t0 = t / p->filter[2] / p->filter[1] * p->dilation[0];
    j->offset[i] =
        (((t0 * j->size[1] + t1) * j->size[2] + t2) * p->C + i % p->C) * j->kernel->lanes;
  }
}

/* The taps [*first, *last) of axis d that meet x from output o. */
static void find_hits(const cvl_conv *p, int d, int64_t o, int64_t *first, int64_t *last) {
  int64_t start = o * p->stride[d] - p->before[d];
  *first = clamp(ceil_div(-start, p->dilation[d]), 0, p->filter[d]);
  *last = clamp(ceil_div(p->in[d] - start, p->dilation[d]), *first, p->filter[d]);
}

static void plan_windows(job *j) {
  const cvl_conv_pool *v = j->pool;
  j->windows = (cvl_hwcn_windows){.relu = v->relu,
                                  .max = v->max,
                                  .high = v->window[1],
                                  .wide = v->window[2],
                                  .count = v->conv.out[2] / v->window[2],
                                  .K = v->conv.K};
  j->pooled_size = j->windows.count * j->windows.K * j->kernel->lanes;
}

/* Whether the rows of the target go into windows, `high` together. */
static bool pools(const job *j) { return j->pool != NULL && !j->flip; }

/* Whether its x is gy, which is made of gz. */
static bool unpools(const job *j) { return j->pool != NULL && j->flip; }

/* `filter`: for the gradient of the filter. */
static int plan(job *j, bool filter, cvl_err *e) {
  const cvl_conv *p = j->p;
  int64_t lanes, line, high, count, rows = 1, sums_size = 0;
  j->kernel = kernel_used();
  lanes = j->kernel->lanes;
  j->taps = p->filter[0] * p->filter[1] * p->filter[2];
  j->sums = j->taps * p->C;
  j->lines_left_out = !filter && p->filter[0] == 1;
  j->width = filter ? filter_width(j) : (int)ceil_div(p->K, ceil_div(p->K, j->kernel->width));
  j->pitch = filter ? target_pitch(j) : p->K * lanes;
  if (j->pool != NULL) plan_windows(j);
  high = pools(j) ? j->windows.high : 1;
  line = line_floats(p, (int)lanes);
  j->blocks = ceil_div(p->N, lanes);
  j->parts = max(ceil_div(TASKS, j->blocks), ceil_div(span(p, 1, p->out[1]) * line, REGION));
  j->part = max(ceil_div(p->out[1], j->parts), min(LEAST_ROWS, p->out[1]));
  j->part = round_up(j->part, high);
  j->parts = ceil_div(p->out[1], j->part);
  j->size[0] = span(p, 0, p->out[0]);
  j->size[1] = span(p, 1, j->part);
  j->size[2] = span(p, 2, p->out[2]);
  if (filter) {
    int64_t most = clamp(NEAR / (p->out[2] * j->width * lanes), 1, j->part);
    rows = j->near = ceil_div(j->part, ceil_div(j->part, most));
    sums_size = (p->K * (j->sums + CVL_HWCN_SPARE + 1) + lanes) * lanes; /* and those of gb */
  } else {
    rows = high;
  }
  j->region = j->size[1] * line;
  j->rows_size = rows * p->out[2] * j->pitch;
  j->room_size = j->region + j->rows_size + j->pooled_size + sums_size;
  count = j->sums + CVL_HWCN_SPARE + 2 * p->out[2];
  if ((j->offset = cvl_alloc_array((size_t)count, sizeof *j->offset)) == NULL)
    return cvl_fail_memory(e, count * (int64_t)sizeof *j->offset);
  find_offsets(j);
  j->first = j->offset + j->sums + CVL_HWCN_SPARE;
  j->last = j->first + p->out[2];
  for (int64_t q = 0; q < p->out[2]; q++) {
    find_hits(p, 2, q, &j->first[q], &j->last[q]);
    j->first[q] *= p->C;
    j->last[q] *= p->C;
  }
  j->room = cvl_scratch_take(cvl_threads() * j->room_size, e);
  return j->room != NULL ? 0 : -1;
}

static void end(job *j) {
  cvl_free(j->offset);
  cvl_scratch_give(j->packed);
  cvl_scratch_give(j->sum);
  cvl_scratch_give(j->room);
}

/* The numbers of row `row` of y, all planes counted, of the block of images that starts at `image`, with K channels. */
static uint16_t *marks_of(const job *j, int64_t image, int64_t row) {
  const cvl_conv *p = &j->pool->conv;
  int64_t rows = p->out[0] * p->out[1];
  return j->marks + (image / j->kernel->lanes * rows + row) * p->out[2] * p->K;
}

/* Row `row` of gy, all planes counted, to {out[2], pitch}. Its row of gz is spread out first, to `pooled`, unless the row
** before was one of the same windows. */
static void unpool_row(const job *j, const float *gz, int64_t image, int64_t row, bool again,
                       float *pooled, float *to, int64_t pitch, float *sum) {
  const cvl_conv *p = &j->pool->conv;
  const cvl_hwcn_windows *v = &j->windows;
  int64_t n = v->count * p->K, whole = p->out[0] * p->out[1] / v->high * n;
  if (!again)
    j->kernel->spread(gz + image * whole + row / v->high * n, whole,
                      min(j->kernel->lanes, p->N - image), n, pooled);
  j->kernel->unpool(v, pooled, marks_of(j, image, row), to, pitch, sum);
}

/* Rows [first, first + size[1]) of the padded x of one block of images, to {size[0], size[1], size[2], C, lanes}. */
static void rearrange(const job *j, int64_t image, int64_t first, float *pooled, float *to) {
  const cvl_conv *p = j->p;
  int64_t C = p->C, lanes = j->kernel->lanes, images = min(lanes, p->N - image);
  int64_t line = p->in[2] * C, plane = p->in[0] * p->in[1] * line, length = j->size[2] * C;
  int64_t left = clamp(p->before[2] * C, 0, length), skip = max(-p->before[2] * C, 0);
  int64_t count = clamp(line - skip, 0, length - left),
          spread = -1; /* the row of windows in `pooled` */
  for (int64_t i0 = 0; i0 < j->size[0]; i0++)
    for (int64_t i1 = 0; i1 < j->size[1]; i1++, to += length * lanes) {
      int64_t z = i0 - p->before[0], h = first + i1 - p->before[1];
      if ((uint64_t)z >= (uint64_t)p->in[0] || (uint64_t)h >= (uint64_t)p->in[1]) {
        if (!j->lines_left_out) memset(to, 0, (size_t)(length * lanes) * sizeof *to);
        continue;
      }
      memset(to, 0, (size_t)(left * lanes) * sizeof *to);
      if (unpools(j)) {
        int64_t row = z * p->in[1] + h;
        unpool_row(j, j->x, image, row, spread == row / j->windows.high, pooled, to + left * lanes,
                   C * lanes, NULL);
        spread = row / j->windows.high;
      } else {
        j->kernel->spread(j->x + image * plane + (z * p->in[1] + h) * line + skip, plane, images,
                          count, to + left * lanes);
      }
      memset(to + (left + count) * lanes, 0,
             (size_t)((length - left - count) * lanes) * sizeof *to);
    }
}

/* A task's block of images and its rows; its region of x is rearranged. */
typedef struct {
  int64_t image, images, first, rows;
  float *region, *target, *pooled, *sums;
  cvl_hwcn_rows line;
} task;

static task start(const job *j, int64_t chunk, int worker) {
  const cvl_conv *p = j->p;
  int64_t lanes = j->kernel->lanes;
  task t = {.image = chunk / j->parts * lanes, .first = chunk % j->parts * j->part};
  t.images = min(lanes, p->N - t.image);
  t.rows = min(j->part, p->out[1] - t.first);
  t.region = j->room + worker * j->room_size;
  t.target = t.region + j->region;
  t.pooled = t.target + j->rows_size;
  t.sums = t.pooled + j->pooled_size;
  t.line = (cvl_hwcn_rows){.row = p->stride[1] * j->size[2] * p->C * lanes,
                           .step = p->stride[2] * p->C * lanes,
                           .rows = 1,
                           .positions = p->out[2],
                           .offset = j->offset,
                           .sums = j->sums,
                           .K = p->K,
                           .pitch = j->pitch,
                           .line = p->filter[2] * p->C,
                           .last_line = p->filter[0] * p->filter[1],
                           .first = j->first,
                           .last = j->last};
  rearrange(j, t.image, t.first * p->stride[1], t.pooled, t.region);
  return t;
}

/* Where the x of row `o1` of the task on plane `o0` starts. */
static const float *row_start(const job *j, const task *t, int64_t o0, int64_t o1) {
  int64_t plane = j->size[1] * j->size[2] * j->p->C * j->kernel->lanes;
  return t->region + o0 * j->p->stride[0] * plane + o1 * t->line.row;
}

/* Row o1 of the task on plane o0 to `to`, from the taps that do not meet padding above and below; of a filter with depth
** all lines are taken. */
static void run_row(const job *j, task *t, int64_t o0, int64_t o1, const float *bias, float *to) {
  t->line.x = row_start(j, t, o0, o1);
  if (j->lines_left_out) find_hits(j->p, 1, t->first + o1, &t->line.first_line, &t->line.last_line);
  j->kernel->forward(&t->line, j->packed, j->width, bias, to);
}

static void pack(job *j) {
  const cvl_conv *p = j->p;
  float *to = j->packed;
  for (int64_t k = 0; k < p->K; k += j->width)
    for (int64_t i = 0; i < j->sums; i++) {
      int64_t tap = i / p->C, c = i % p->C;
      for (int64_t n = k; n < min(k + j->width, p->K); n++)
        *to++ = j->flip ? j->w[((j->taps - 1 - tap) * p->K + n) * p->C + c]
                        : j->w[(tap * p->C + c) * p->K + n];
    }
}

static void forward_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  task t = start(j, chunk, worker);
  int64_t row = p->out[2] * p->K, image = p->out[0] * p->out[1] * row;
  bool shift = cvl_epilogue_is_shift(&j->then), at_end = j->then.residual != NULL;
  for (int64_t o0 = 0; o0 < p->out[0]; o0++)
    for (int64_t o1 = 0; o1 < t.rows; o1++) {
      int64_t at = t.image * image + (o0 * p->out[1] + t.first + o1) * row;
      run_row(j, &t, o0, o1, shift ? j->then.shift : NULL, t.target);
      if (!shift && !at_end) j->kernel->finish(&j->then, p->out[2], p->K, t.target);
      j->kernel->collect(t.target, row, j->y + at, image, t.images);
      for (int64_t i = 0; at_end && i < t.images; i++)
        cvl_epilogue_run(&j->then, p->out[2], p->K, p->K, j->then.residual + at + i * image,
                         j->y + at + i * image);
    }
}

static void pool_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  task t = start(j, chunk, worker);
  int64_t high = j->windows.high, n = j->windows.count * p->K,
          image = p->out[0] * p->out[1] / high * n;
  for (int64_t o0 = 0; o0 < p->out[0]; o0++)
    for (int64_t o1 = 0; o1 < t.rows; o1 += high) {
      int64_t row = o0 * p->out[1] + t.first + o1;
      for (int64_t i = 0; i < high; i++)
        run_row(j, &t, o0, o1 + i, j->then.shift, t.target + i * p->out[2] * j->pitch);
      j->kernel->pool(&j->windows, t.target, j->marks != NULL ? marks_of(j, t.image, row) : NULL,
                      t.pooled);
      j->kernel->collect(t.pooled, n, j->y + t.image * image + row / high * n, image, t.images);
    }
}

static int forward(job *j, cvl_err *e) {
  int rc = -1;
  if (plan(j, false, e) != 0) goto done;
  if ((j->packed = cvl_scratch_take(j->sums * j->p->K, e)) == NULL) goto done;
  pack(j);
  cvl_parallel(j->blocks * j->parts, pools(j) ? pool_task : forward_task, j);
  rc = 0;
done:
  end(j);
  return rc;
}

int cvl_hwcn_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e) {
  return forward(&(job){.p = p, .x = x, .w = w, .then = *then, .y = y}, e);
}

int cvl_hwcn_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                           cvl_err *e) {
  cvl_conv back = cvl_conv_reversed(p);
  return forward(&(job){.p = &back, .x = gy, .w = w, .y = gx, .flip = true}, e);
}

/* `rows` rows of gy from `from` on, to {rows, positions, pitch}. */
static void rearrange_target(const job *j, const float *from, int64_t images, int64_t rows,
                             float *to) {
  const cvl_conv *p = j->p;
  int64_t lanes = j->kernel->lanes, row = p->out[2] * p->K, image = p->out[0] * p->out[1] * row;
  if (j->pitch == p->K * lanes) {
    j->kernel->spread(from, image, images, rows * row, to);
    return;
  }
  for (int64_t i = 0; i < rows * p->out[2]; i++)
    j->kernel->spread(from + i * p->K, image, images, p->K, to + i * j->pitch);
}

/* The task's next rows of gy from `row` on, all planes counted. */
static void unpool_target(const job *j, const task *t, int64_t row, float *sum) {
  int64_t high = j->windows.high;
  for (int64_t i = 0; i < t->line.rows; i++)
    unpool_row(j, j->gy, t->image, row + i, i > 0 && (row + i) % high != 0, t->pooled,
               t->target + i * j->p->out[2] * j->pitch, j->pitch, sum);
}

static void filter_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  task t = start(j, chunk, worker);
  int64_t row = p->out[2] * p->K, image = p->out[0] * p->out[1] * row;
  int64_t lanes = j->kernel->lanes, size = j->sums * p->K;
  float *bias_sum = t.sums + (p->K * (j->sums + CVL_HWCN_SPARE) + lanes) * lanes;
  memset(t.sums, 0, (size_t)(p->K * (j->sums + CVL_HWCN_SPARE) * lanes) * sizeof *t.sums);
  memset(bias_sum, 0, (size_t)(p->K * lanes) * sizeof *bias_sum);
  for (int64_t o0 = 0; o0 < p->out[0]; o0++)
    for (int64_t o1 = 0; o1 < t.rows; o1 += j->near) {
      t.line.x = row_start(j, &t, o0, o1);
      t.line.rows = min(j->near, t.rows - o1);
      if (j->pool != NULL)
        unpool_target(j, &t, o0 * p->out[1] + t.first + o1, bias_sum);
      else
        rearrange_target(j, j->gy + t.image * image + (o0 * p->out[1] + t.first + o1) * row,
                         t.images, t.line.rows, t.target);
      j->kernel->filter(&t.line, t.target, j->width, t.sums);
    }
  j->kernel->reduce(t.sums, j->sums, p->K, j->width, j->sum + chunk * (size + p->K));
  for (int64_t k = 0; k < p->K; k++) {
    float sum = 0;
    for (int64_t i = 0; i < lanes; i++) sum += bias_sum[k * lanes + i];
    j->sum[chunk * (size + p->K) + size + k] = sum;
  }
}

static void add_tasks(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t size = (j->sums + 1) * j->p->K, tasks = j->blocks * j->parts;
  memcpy(j->y + first, j->sum + first, (size_t)(last - first) * sizeof *j->y);
  for (int64_t t = 1; t < tasks; t++)
    for (int64_t i = first; i < last; i++) j->y[i] += j->sum[t * size + i];
}

static void add_biases(const job *j) {
  int64_t size = j->sums * j->p->K, K = j->p->K;
  for (int64_t k = 0; k < K; k++) {
    double sum = 0;
    for (int64_t t = 0; t < j->blocks * j->parts; t++)
      sum += (double)j->sum[t * (size + K) + size + k];
    j->gb[k] = (float)sum;
  }
}

static int backward_filter(job *j, cvl_err *e) {
  int rc = -1;
  if (plan(j, true, e) != 0) goto done;
  if ((j->sum = cvl_scratch_take(j->blocks * j->parts * (j->sums + 1) * j->p->K, e)) == NULL)
    goto done;
  cvl_parallel(j->blocks * j->parts, filter_task, j);
  if (j->y != NULL) cvl_parallel_range(j->sums * j->p->K, 1 << 12, add_tasks, j);
  if (j->gb != NULL) add_biases(j);
  rc = 0;
done:
  end(j);
  return rc;
}

int cvl_hwcn_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e) {
  return backward_filter(&(job){.p = p, .x = x, .gy = gy, .y = gw}, e);
}

/* ------------------------------------------------------------------------------------------------- with a pooling behind */

bool cvl_hwcn_pool_possible(const cvl_conv_pool *p) {
  const cvl_conv *c = &p->conv;
  for (int d = 0; d < 3; d++) {
    int64_t reach = (c->filter[d] - 1) * c->dilation[d];
    if (c->stride[d] != 1 || c->out[d] % p->window[d] != 0) return false;
    /* Else some of gy meets nothing, and is not made. */
    if (c->before[d] > reach || c->out[d] - c->in[d] > c->before[d]) return false;
  }
  return p->window[0] == 1 && cvl_hwcn_possible(c, true) &&
         p->window[1] * c->out[2] * c->K * cvl_hwcn_lanes() <= MOST_REGION;
}

int64_t cvl_hwcn_pool_marks(const cvl_conv_pool *p) {
  const cvl_conv *c = &p->conv;
  return ceil_div(c->N, cvl_hwcn_lanes()) * c->out[0] * c->out[1] * c->out[2] * c->K;
}

int cvl_hwcn_pool_forward(const cvl_conv_pool *p, const float *x, const float *w, const float *bias,
                          uint16_t *marks, float *z, cvl_err *e) {
  job j = {.p = &p->conv, .x = x, .w = w, .then.shift = bias, .y = z, .pool = p, .marks = marks};
  return forward(&j, e);
}

int cvl_hwcn_pool_backward(const cvl_conv_pool *p, const float *x, const float *w,
                           const uint16_t *marks, const float *gz, float *gx, float *gw, float *gb,
                           cvl_err *e) {
  job j = {.pool = p, .marks = (uint16_t *)marks}; /* which backward only reads */
  if (gx != NULL) {
    cvl_conv back = cvl_conv_reversed(&p->conv);
    job data = j;
    data.p = &back, data.x = gz, data.w = w, data.y = gx, data.flip = true;
    if (forward(&data, e) != 0) return -1;
  }
  if (gw == NULL && gb == NULL) return 0;
  j.p = &p->conv, j.x = x, j.gy = gz, j.y = gw, j.gb = gb;
  return backward_filter(&j, e);
}

void cvl_conv_pool_shares(const cvl_conv_pool *p, const uint16_t *marks, const int64_t out[3],
                          float *shares) {
  const int64_t *used = p->conv.out, lanes = cvl_hwcn_lanes(), row = used[2] * p->conv.K;
  for (int64_t image = 0; image < p->conv.N; image++)
    for (int64_t o0 = 0; o0 < out[0]; o0++)
      for (int64_t o1 = 0; o1 < out[1]; o1++, shares += out[2] * p->conv.K) {
        memset(shares, 0, (size_t)(out[2] * p->conv.K) * sizeof *shares);
        if (o1 >= used[1]) continue;
        const uint16_t *from = marks + ((image / lanes * used[0] + o0) * used[1] + o1) * row;
        for (int64_t i = 0; i < row; i++) shares[i] = (float)(from[i] >> image % lanes & 1);
      }
}

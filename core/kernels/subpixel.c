/*
** Tap f of an axis meets input o * stride + f - before from output o. With input + before = cell * stride + phase and
** f = step * stride + phase that is cell = o + step, for all phases alike: a convolution of cells with stride 1, of which the
** phases of the three axes and the channels are the channels. Taps that a phase lacks are zeros.
*/
#include "kernels/subpixel.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

/* What is moved between an array and its cells. */
typedef enum { TO_CELLS, FROM_CELLS, ADDED_FROM_CELLS } move;

typedef struct {
  const cvl_conv *p;
  cvl_conv cells;      /* of {N, cells, phases of the three axes, C} by {steps, phases, C, K} */
  int64_t first[3];    /* the cell of the first input */
  float *map, *filter; /* its cells, or their gradient; its filter, or the gradient of that */
  const float *w;
  float *gw;
} job;

/* A move of lines of the map `at`. */
typedef struct {
  const job *j;
  move what;
  float *at;
} lines;

static int64_t phases_of(const cvl_conv *p) { return p->stride[0] * p->stride[1] * p->stride[2]; }

bool cvl_subpixel_possible(const cvl_conv *p) {
  if (p->groups != 1 || p->N * p->C * p->K == 0) return false;
  for (int d = 0; d < 3; d++)
    if (p->in[d] == 0 || p->filter[d] == 0 || p->out[d] == 0 || p->dilation[d] != 1 ||
        p->before[d] < 0)
      return false;
  return phases_of(p) > 1;
}

static job plan(const cvl_conv *p) {
  job j = {.p = p, .cells = *p};
  j.cells.C = phases_of(p) * p->C;
  for (int d = 0; d < 3; d++) {
    int64_t last = (p->in[d] - 1 + p->before[d]) / p->stride[d];
    j.first[d] = p->before[d] / p->stride[d];
    j.cells.in[d] = last - j.first[d] + 1;
    j.cells.filter[d] = ceil_div(p->filter[d], p->stride[d]);
    j.cells.stride[d] = 1;
    j.cells.before[d] = j.first[d];
  }
  return j;
}

cvl_conv cvl_subpixel_cells(const cvl_conv *p) { return plan(p).cells; }

/* The share of the lanes that so many columns fill. */
static double fill(int64_t columns) {
  return (double)columns / (double)round_up(columns, cvl_tile_used(1, columns)->nr);
}

double cvl_subpixel_gain(const cvl_conv *p) {
  const cvl_conv cells = cvl_subpixel_cells(p);
  double use = fill(cells.C);
  for (int d = 0; d < 3; d++)
    use *= (double)p->filter[d] / (double)(cells.filter[d] * p->stride[d]);
  return use / fill(p->C);
}

static int64_t map_floats(const cvl_conv *c) {
  return c->N * c->in[0] * c->in[1] * c->in[2] * c->C;
}

static int64_t filter_floats(const cvl_conv *c) {
  return c->filter[0] * c->filter[1] * c->filter[2] * c->C * c->K;
}

static int begin(job *j, cvl_err *e) {
  if ((j->map = cvl_scratch_take(map_floats(&j->cells), e)) == NULL) return -1;
  return (j->filter = cvl_scratch_take(filter_floats(&j->cells), e)) != NULL ? 0 : -1;
}

static void end(job *j) {
  cvl_scratch_give(j->map);
  cvl_scratch_give(j->filter);
}

/* The tap of the filter at place {steps, phases} of the cells' filter, or -1 where it has none. */
static int64_t tap_at(const job *j, int64_t place) {
  const cvl_conv *p = j->p;
  const int64_t *steps = j->cells.filter;
  int64_t step = place / phases_of(p), phase = place % phases_of(p), f[3];
  for (int d = 2; d >= 0; d--) {
    f[d] = step % steps[d] * p->stride[d] + phase % p->stride[d];
    step /= steps[d];
    phase /= p->stride[d];
    if (f[d] >= p->filter[d]) return -1;
  }
  return (f[0] * p->filter[1] + f[1]) * p->filter[2] + f[2];
}

/* {C, K} of one place, of the filter w, which lacks some, */
static void filter_to_cells(void *context, int64_t place, int worker) {
  const job *j = context;
  int64_t size = j->p->C * j->p->K, f = tap_at(j, place);
  (void)worker;
  if (f >= 0)
    memcpy(j->filter + place * size, j->w + f * size, (size_t)size * sizeof *j->w);
  else
    memset(j->filter + place * size, 0, (size_t)size * sizeof *j->filter);
}

/* and of its gradient. */
static void filter_from_cells(void *context, int64_t place, int worker) {
  const job *j = context;
  int64_t size = j->p->C * j->p->K, f = tap_at(j, place);
  (void)worker;
  if (f >= 0) memcpy(j->gw + f * size, j->filter + place * size, (size_t)size * sizeof *j->gw);
}

static void move_filter(job *j, cvl_body *body) {
  const int64_t *steps = j->cells.filter;
  cvl_parallel(steps[0] * steps[1] * steps[2] * phases_of(j->p), body, j);
}

static void move_piece(move what, float *cell, float *at, int64_t n) {
  if (what == TO_CELLS)
    memcpy(cell, at, (size_t)n * sizeof *at);
  else if (what == FROM_CELLS)
    memcpy(at, cell, (size_t)n * sizeof *at);
  else
    for (int64_t i = 0; i < n; i++) at[i] += cell[i];
}

/* Lines of the map, its last axis with the channels, of which a cell has `stride` neighbours side by side. */
static void move_lines(void *context, int64_t first, int64_t last) {
  const lines *l = context;
  const cvl_conv *p = l->j->p, *c = &l->j->cells;
  const int64_t *before = p->before, *stride = p->stride, *cell = l->j->first;
  for (int64_t line = first; line < last; line++) {
    int64_t n = line / p->in[1] / p->in[0];
    int64_t i0 = line / p->in[1] % p->in[0] + before[0], i1 = line % p->in[1] + before[1];
    int64_t row = (n * c->in[0] + i0 / stride[0] - cell[0]) * c->in[1] + i1 / stride[1] - cell[1];
    int64_t phase = (i0 % stride[0] * stride[1] + i1 % stride[1]) * stride[2];
    float *to = l->j->map + row * c->in[2] * c->C + phase * p->C;
    float *at = l->at + line * p->in[2] * p->C;
    int64_t skip = before[2] % stride[2];
    for (int64_t i = 0, count; i < p->in[2]; i += count, to += c->C, skip = 0) {
      count = min(stride[2] - skip, p->in[2] - i);
      move_piece(l->what, to + skip * p->C, at + i * p->C, count * p->C);
    }
  }
}

static void move_map(const job *j, move what, float *at) {
  enum { LINES = 16 };
  const cvl_conv *p = j->p;
  cvl_parallel_range(p->N * p->in[0] * p->in[1], LINES, move_lines, &(lines){j, what, at});
}

static void clear_image(void *context, int64_t n, int worker) {
  const job *j = context;
  int64_t floats = map_floats(&j->cells) / j->p->N;
  (void)worker;
  memset(j->map + n * floats, 0, (size_t)floats * sizeof *j->map);
}

/* Cells that stick out of the map have zeros there. */
static void map_to_cells(job *j, const float *x) {
  const cvl_conv *p = j->p;
  if (map_floats(&j->cells) > p->N * p->in[0] * p->in[1] * p->in[2] * p->C)
    cvl_parallel(p->N, clear_image, j);
  move_map(j, TO_CELLS, (float *)(uintptr_t)x);
}

int cvl_subpixel_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e) {
  job j = plan(p);
  int rc = -1;
  if (begin(&j, e) != 0) goto done;
  map_to_cells(&j, x);
  j.w = w;
  move_filter(&j, filter_to_cells);
  rc = cvl_conv_forward(&j.cells, j.map, j.filter, then, y, e);
done:
  end(&j);
  return rc;
}

int cvl_subpixel_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e) {
  job j = plan(p);
  int rc = -1;
  if (begin(&j, e) != 0) goto done;
  j.w = w;
  move_filter(&j, filter_to_cells);
  if (cvl_conv_backward_data(&j.cells, gy, j.filter, false, j.map, e) != 0) goto done;
  move_map(&j, add ? ADDED_FROM_CELLS : FROM_CELLS, gx);
  rc = 0;
done:
  end(&j);
  return rc;
}

int cvl_subpixel_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e) {
  job j = plan(p);
  int rc = -1;
  if (begin(&j, e) != 0) goto done;
  map_to_cells(&j, x);
  if (cvl_conv_backward_filter(&j.cells, j.map, gy, j.filter, e) != 0) goto done;
  j.gw = gw;
  move_filter(&j, filter_from_cells);
  rc = 0;
done:
  end(&j);
  return rc;
}

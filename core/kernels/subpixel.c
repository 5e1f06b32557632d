/*
** Input x of an axis is met by tap f from output o where x + before = o * stride + f. With x + before = cell * stride + phase
** and f = step * stride + phase that is o = cell - step: for all phases of a cell alike, steps lead back from the output
** `cell`. In a forward convolution taps lead on: its tap t is step `steps` - 1 - t.
*/
#include "kernels/subpixel.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/implicit_gemm.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

typedef struct {
  const cvl_conv *p;
  cvl_conv cells;     /* the convolution of gy: {N, cells, phases of the three axes, C} */
  int64_t first[3];   /* the cell of the first input */
  const float *w, *y; /* the filter; the results of that convolution */
  float *turned;      /* the filter as it needs it */
  float *gx;
  bool add;
} job;

static int64_t phases_of(const cvl_conv *p) { return p->stride[0] * p->stride[1] * p->stride[2]; }

static int64_t steps_of(const cvl_conv *p, int d) { return ceil_div(p->filter[d], p->stride[d]); }

bool cvl_subpixel_possible(const cvl_conv *p) {
  if (p->groups != 1 || p->N * p->C * p->K == 0) return false;
  for (int d = 0; d < 3; d++)
    if (p->in[d] == 0 || p->filter[d] == 0 || p->out[d] == 0 || p->dilation[d] != 1 ||
        p->before[d] < 0)
      return false;
  return phases_of(p) > 1;
}

/* The share of the lanes that so many columns fill. */
static double fill(int64_t columns) {
  return (double)columns / (double)round_up(columns, cvl_tile_used(1, columns)->nr);
}

double cvl_subpixel_gain(const cvl_conv *p) {
  double use = fill(phases_of(p) * p->C);
  for (int d = 0; d < 3; d++) use *= (double)p->filter[d] / (double)(steps_of(p, d) * p->stride[d]);
  return use / fill(p->C);
}

static job plan(const cvl_conv *p) {
  job j = {.p = p,
           .cells = {.N = p->N, .C = p->K, .K = phases_of(p) * p->C, .groups = 1, .bf16 = p->bf16}};
  for (int d = 0; d < 3; d++) {
    int64_t last = (p->in[d] - 1 + p->before[d]) / p->stride[d];
    j.first[d] = p->before[d] / p->stride[d];
    j.cells.in[d] = p->out[d];
    j.cells.filter[d] = steps_of(p, d);
    j.cells.out[d] = last - j.first[d] + 1;
    j.cells.stride[d] = j.cells.dilation[d] = 1;
    j.cells.before[d] = j.cells.filter[d] - 1 - j.first[d];
  }
  return j;
}

/* Where tap f of axis d goes: to tap *t, for the phase returned. */
static int64_t split(const job *j, int d, int64_t f, int64_t *t) {
  *t = j->cells.filter[d] - 1 - f / j->p->stride[d];
  return f % j->p->stride[d];
}

/* Tap f of w {filter, C, K} to its place in {steps, K, phases, C}, where the taps that a phase lacks are zeros. */
static void turn_tap(void *context, int64_t f, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  const int64_t *steps = j->cells.filter, columns = j->cells.K;
  int64_t t0, t1, t2;
  int64_t phase0 = split(j, 0, f / p->filter[2] / p->filter[1], &t0),
          phase1 = split(j, 1, f / p->filter[2] % p->filter[1], &t1),
          phase2 = split(j, 2, f % p->filter[2], &t2);
  int64_t phase = (phase0 * p->stride[1] + phase1) * p->stride[2] + phase2;
  float *to = j->turned + ((t0 * steps[1] + t1) * steps[2] + t2) * p->K * columns + phase * p->C;
  (void)worker;
  for (int64_t c = 0; c < p->C; c++)
    for (int64_t k = 0; k < p->K; k++) to[k * columns + c] = j->w[(f * p->C + c) * p->K + k];
}

/* Lines of gx, its last axis with the channels, out of the cells. */
static void lay_out(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_conv *p = j->p;
  const int64_t *cells = j->cells.out, C = p->C, s2 = p->stride[2];
  for (int64_t line = first; line < last; line++) {
    int64_t n = line / p->in[1] / p->in[0];
    int64_t u0 = line / p->in[1] % p->in[0] + p->before[0], u1 = line % p->in[1] + p->before[1];
    int64_t phase = (u0 % p->stride[0] * p->stride[1] + u1 % p->stride[1]) * s2 * C;
    const float *from = j->y +
                        ((n * cells[0] + u0 / p->stride[0] - j->first[0]) * cells[1] +
                         u1 / p->stride[1] - j->first[1]) *
                            cells[2] * j->cells.K +
                        phase;
    float *to = j->gx + line * p->in[2] * C;
    for (int64_t i = 0, u2 = p->before[2] % s2; i < p->in[2]; from += j->cells.K, u2 = 0) {
      int64_t floats = min(s2 - u2, p->in[2] - i) * C; /* the phases of a cell lie side by side */
      if (j->add)
        for (int64_t q = 0; q < floats; q++) to[i * C + q] += from[u2 * C + q];
      else
        memcpy(to + i * C, from + u2 * C, (size_t)floats * sizeof *to);
      i += s2 - u2;
    }
  }
}

int cvl_subpixel_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e) {
  enum { LINES = 16 };
  job j = plan(p);
  const int64_t *steps = j.cells.filter, *cells = j.cells.out;
  int64_t floats = steps[0] * steps[1] * steps[2] * p->K * j.cells.K;
  float *y = NULL;
  int rc = -1;
  if ((j.turned = cvl_scratch_take(floats, e)) == NULL) goto done;
  if ((y = cvl_scratch_take(p->N * cells[0] * cells[1] * cells[2] * j.cells.K, e)) == NULL)
    goto done;
  j.w = w;
  j.y = y;
  j.gx = gx;
  j.add = add;
  memset(j.turned, 0, (size_t)floats * sizeof *j.turned);
  cvl_parallel(p->filter[0] * p->filter[1] * p->filter[2], turn_tap, &j);
  if (cvl_implicit_forward(&j.cells, gy, j.turned, &(cvl_epilogue){0}, y, e) != 0) goto done;
  cvl_parallel_range(p->N * p->in[0] * p->in[1], LINES, lay_out, &j);
  rc = 0;
done:
  cvl_scratch_give(j.turned);
  cvl_scratch_give(y);
  return rc;
}

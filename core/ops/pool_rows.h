/*
** The loops of pool.c. A row of the last spatial axis, {W, C}, is made at once. A pixel's channels are taken SPAN at a
** time, however few there are: what is written beyond them is written again by the next pixel. So that nothing is read
** or written beyond a tensor, rows are made in a room with SPAN elements to spare, and the last row of what is read (the
** last ones, where they are shorter than SPAN) is copied there, unless SPAN divides the channels.
*/
#ifndef CVL_OPS_POOL_ROWS_H
#define CVL_OPS_POOL_ROWS_H

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/scratch.h"
#include "ops/pool.h"

enum { SPAN = 8, TOGETHER = 4, GRAIN = 8192 };

typedef real span __attribute__((vector_size(SPAN * sizeof(real))));
typedef int32_t ints __attribute__((vector_size(SPAN * sizeof(int32_t))));
#ifdef CVL_DTYPE_F64
typedef int64_t whole; /* as wide as real */
#else
typedef int32_t whole;
#endif
typedef whole mask __attribute__((vector_size(SPAN * sizeof(whole)))); /* of comparisons: 0 or -1 */
typedef real span_u
    __attribute__((vector_size(SPAN * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef int32_t ints_u
    __attribute__((vector_size(SPAN * sizeof(int32_t)), aligned(sizeof(int32_t)), may_alias));

#define LOAD(p) (*(const span_u *)(p))
#define STORE(p, v) (*(span_u *)(p) = (v))
#define PICK(m, a, b) ((span)(((m) & (mask)(a)) | (~(m) & (mask)(b))))

/* Runs some(c, n) for n spans of channels from c on: several together where there are as many, for the shorter loops. */
#define FOR_SPANS(C, some)                           \
  for (int64_t c = 0; c < (C); c += SPAN * TOGETHER) \
    if ((C)-c > SPAN * (TOGETHER - 1))               \
      some(c, TOGETHER);                             \
    else                                             \
      for (int64_t d = c; d < (C); d += SPAN) some(d, 1)
#define SOME static inline __attribute__((always_inline)) void

/* A row that is read, the places that belong to it, and the number of the first of its taps; of a row of averages, how
** many places their windows count on the first two axes. */
typedef struct {
  const real *v;
  const int32_t *place;
  int32_t number;
  int64_t count;
} source;

typedef struct job job;
/* Makes one row. `scaled` tells what `room` holds from the row before, see set_scale. */
typedef void row_body(const job *j, int64_t row, source *s, real *room, int64_t *scaled);

struct job {
  cvl_window w;
  int64_t N, C, in_row, out_row; /* W * C, of x and of y */
  const real *from;              /* what is read, */
  real *to;                      /* and written */
  int32_t *place;                /* {N, (out), C} of max_pool: tap of each maximum; or NULL */
  bool count_padding;
  int64_t *first,
      *last;       /* of the last axis: taps inside x of each output, or outputs of each input */
  source *sources; /* {threads, most} */
  real *room;      /* {threads, room_size} */
  int64_t *scaled; /* {threads} */
  int64_t most, room_size, rows, grain; /* rows in all, and of a chunk */
  row_body *row;
};

/* Position of tap 0 on axis d for output o, and the taps [first, last) that lie inside the input; there is one. */
static int64_t find_taps(const cvl_window *w, int d, int64_t o, int64_t *first, int64_t *last) {
  int64_t start = o * w->stride[d] - w->before[d], left = w->in[d] - start;
  *first = start < 0 ? -start : 0;
  *last = left < w->filter[d] ? left : w->filter[d];
  return start;
}

/* The outputs [first, last) whose windows hold input i of axis d; there may be none. */
static void find_outputs(const cvl_window *w, int d, int64_t i, int64_t *first, int64_t *last) {
  int64_t low = i + w->before[d] - w->filter[d];
  *first = low < 0 ? 0 : low / w->stride[d] + 1;
  *last = (i + w->before[d]) / w->stride[d] + 1;
  if (*last > w->out[d]) *last = w->out[d];
}

/* Places of a window along axis d that an average counts. */
static int64_t counted(const job *j, int d, int64_t o) {
  int64_t first, last, start = find_taps(&j->w, d, o, &first, &last);
  int64_t end = start + j->w.filter[d], most = j->w.in[d] + j->w.after[d];
  return j->count_padding ? (end < most ? end : most) - start : last - first;
}

/* Where a row lies: image, and positions on the first two axes, of which there are `size`. */
static void locate(int64_t row, const int64_t *size, int64_t at[3]) {
  at[2] = row % size[1];
  at[1] = row / size[1] % size[0];
  at[0] = row / size[1] / size[0];
}

static bool needs_room(const job *j) { return j->C % SPAN != 0; }

/* Row `row` of n elements of `rows`, as one that may be read beyond its end. */
static const void *readable(const job *j, const void *from, size_t size, int64_t row, int64_t rows,
                            int64_t n, void *room) {
  const char *at = (const char *)from + (size_t)(row * n) * size;
  bool at_end = (rows - 1 - row) * n < SPAN;
  return needs_room(j) && at_end ? memcpy(room, at, (size_t)n * size) : at;
}

/* Rows of n elements that may have to be copied for one that is made. */
static int64_t copies(const job *j, int64_t n) { return n < SPAN ? j->most : 1; }

/* The rows of x under a row of y. */
static int rows_under(const job *j, const int64_t at[3], source *s, real *room) {
  const cvl_window *w = &j->w;
  int64_t first[2], last[2], start[2], rows = j->N * w->in[0] * w->in[1];
  int n = 0;
  for (int d = 0; d < 2; d++) start[d] = find_taps(w, d, at[d + 1], &first[d], &last[d]);
  for (int64_t f0 = first[0]; f0 < last[0]; f0++)
    for (int64_t f1 = first[1]; f1 < last[1]; f1++) {
      int64_t row = (at[0] * w->in[0] + start[0] + f0) * w->in[1] + start[1] + f1;
      s[n].v = readable(j, j->from, sizeof *room, row, rows, j->in_row, room);
      s[n++].number = (int32_t)((f0 * w->filter[1] + f1) * w->filter[2]);
      if (copies(j, j->in_row) > 1) room += j->in_row + SPAN;
    }
  return n;
}

/* The rows of y whose windows cover a row of x. */
static int rows_over(const job *j, const int64_t at[3], source *s, real *room) {
  const cvl_window *w = &j->w;
  int64_t first[2], last[2], rows = j->N * w->out[0] * w->out[1];
  int n = 0;
  for (int d = 0; d < 2; d++) find_outputs(w, d, at[d + 1], &first[d], &last[d]);
  for (int64_t o0 = first[0]; o0 < last[0]; o0++)
    for (int64_t o1 = first[1]; o1 < last[1]; o1++, n++) {
      int64_t f0 = at[1] + w->before[0] - o0 * w->stride[0],
              f1 = at[2] + w->before[1] - o1 * w->stride[1];
      int64_t row = (at[0] * w->out[0] + o0) * w->out[1] + o1;
      s[n].number = (int32_t)((f0 * w->filter[1] + f1) * w->filter[2]);
      s[n].count = counted(j, 0, o0) * counted(j, 1, o1);
      s[n].v = readable(j, j->from, sizeof *room, row, rows, j->out_row, room);
      if (j->place != NULL)
        s[n].place = readable(j, j->place, sizeof *j->place, row, rows, j->out_row,
                              room + j->out_row + SPAN);
      if (copies(j, j->out_row) > 1) room += 2 * (j->out_row + SPAN);
    }
  return n;
}

/* Where a row of n elements is made, and where it goes if that is elsewhere. */
static void *made_in(const job *j, void *to, void *room) { return needs_room(j) ? room : to; }

static void deliver(void *to, const void *made, int64_t n, size_t size) {
  if (made != to) memcpy(to, made, (size_t)n * size);
}

/* One output, whose taps on the last axis are [first, last) of those that start at x. The first of equals stays, and so
** does the first NaN. Its place is only told when `placed`. */
SOME max_of(const source *s, int rows, int64_t x, int64_t C, int64_t first, int64_t last, real *y,
            int32_t *place, const bool placed, const int n) {
  span best[TOGETHER];
  mask tap[TOGETHER];
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) best[i] = LOAD(s[0].v + x + first * C + i * SPAN);
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) tap[i] = (mask){0} + (whole)(s[0].number + first);
  for (int r = 0; r < rows; r++)
    for (int64_t f = first; f < last; f++)
#pragma GCC unroll 4
      for (int i = 0; i < n; i++) {
        span v = LOAD(s[r].v + x + f * C + i * SPAN);
        mask better = ~(v <= best[i]) & (best[i] == best[i]);
        best[i] = PICK(better, v, best[i]);
        if (placed) tap[i] = (better & (whole)(s[r].number + f)) | (~better & tap[i]);
      }
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) STORE(y + i * SPAN, best[i]);
  if (!placed) return;
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) *(ints_u *)(place + i * SPAN) = __builtin_convertvector(tap[i], ints);
}

SOME max_row(const job *j, int64_t row, source *s, real *room, const bool placed) {
  int64_t at[3], C = j->C, pitch = j->out_row + SPAN;
  real *to = j->to + row * j->out_row, *y = made_in(j, to, room);
  int32_t *to_place = placed ? j->place + row * j->out_row : NULL;
  int32_t *place = placed ? made_in(j, to_place, room + pitch) : NULL;
  int rows;
  locate(row, j->w.out, at);
  rows = rows_under(j, at, s, room + 2 * pitch);
  for (int64_t o = 0; o < j->w.out[2]; o++) {
    int64_t x = (o * j->w.stride[2] - j->w.before[2]) * C;
#define MAX_OF(c, n)                                                \
  max_of(s, rows, x + c, C, j->first[o], j->last[o], y + o * C + c, \
         placed ? place + o * C + c : NULL, placed, n)
    FOR_SPANS(C, MAX_OF);
  }
  deliver(to, y, j->out_row, sizeof *y);
  if (placed) deliver(to_place, place, j->out_row, sizeof *place);
}
static void max_and_place_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  (void)scaled;
  max_row(j, row, s, room, true);
}
static void max_only_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  (void)scaled;
  max_row(j, row, s, room, false);
}

/* One input, that outputs [first, last) of each row cover: gy where its place is the tap that comes from here. The tap of
** output o is `tap` - o * stride from the row's first. */
SOME scatter_of(const source *s, int rows, int64_t C, int64_t c, int64_t first, int64_t last,
                int64_t tap, int64_t stride, real *gx, const int n) {
  span sum[TOGETHER];
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) sum[i] = (span){0};
  for (int r = 0; r < rows; r++)
    for (int64_t o = first; o < last; o++)
#pragma GCC unroll 4
      for (int i = 0; i < n; i++) {
        int64_t at = o * C + c + i * SPAN;
        ints place = *(const ints_u *)(s[r].place + at);
        mask here =
            __builtin_convertvector(place == (int32_t)(s[r].number + tap - o * stride), mask);
        sum[i] += (span)(here & (mask)LOAD(s[r].v + at));
      }
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) STORE(gx + i * SPAN, sum[i]);
}

static void scatter_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  int64_t at[3], C = j->C;
  real *to = j->to + row * j->in_row, *gx = made_in(j, to, room);
  int rows;
  (void)scaled;
  locate(row, j->w.in, at);
  rows = rows_over(j, at, s, room + j->in_row + SPAN);
  for (int64_t w = 0; w < j->w.in[2]; w++) {
#define SCATTER_OF(c, n)                                                                 \
  scatter_of(s, rows, C, c, j->first[w], j->last[w], w + j->w.before[2], j->w.stride[2], \
             gx + w * C + c, n)
    FOR_SPANS(C, SCATTER_OF);
  }
  deliver(to, gx, j->in_row, sizeof *gx);
}

/* The adjoint of scatter: y takes x at the places of the maxima. Only for second derivatives. */
static void gather_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  const cvl_window *w = &j->w;
  int64_t at[3];
  (void)s, (void)room, (void)scaled;
  locate(row, w->out, at);
  for (int64_t i = 0; i < j->out_row; i++) {
    int64_t tap = j->place[row * j->out_row + i], o = i / j->C;
    int64_t i0 = at[1] * w->stride[0] - w->before[0] + tap / w->filter[2] / w->filter[1],
            i1 = at[2] * w->stride[1] - w->before[1] + tap / w->filter[2] % w->filter[1],
            i2 = o * w->stride[2] - w->before[2] + tap % w->filter[2];
    j->to[row * j->out_row + i] =
        j->from[((at[0] * w->in[0] + i0) * w->in[1] + i1) * j->in_row + i2 * j->C + i % j->C];
  }
}

/* scale {out, C} for windows that count `rows` places on the first two axes; kept while that stays the same. */
static void set_scale(const job *j, int64_t rows, real *scale, int64_t *scaled) {
  if (*scaled == rows) return;
  *scaled = rows;
  for (int64_t o = 0; o < j->w.out[2]; o++) {
    real one = 1 / (real)(rows * counted(j, 2, o));
    for (int64_t c = 0; c < j->C; c++) *scale++ = one;
  }
}

/* y = scale times the sum over rows of their pixels [first, last), counted from x. */
SOME sum_of(const source *s, int rows, int64_t x, int64_t C, int64_t first, int64_t last,
            real scale, real *y, const int n) {
  span sum[TOGETHER];
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) sum[i] = (span){0};
  for (int r = 0; r < rows; r++)
    for (int64_t f = first; f < last; f++)
#pragma GCC unroll 4
      for (int i = 0; i < n; i++) sum[i] += LOAD(s[r].v + x + f * C + i * SPAN);
#pragma GCC unroll 4
  for (int i = 0; i < n; i++) STORE(y + i * SPAN, sum[i] * scale);
}

static void avg_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  int64_t at[3], C = j->C;
  real *scale = room, *made = scale + j->out_row, *to = j->to + row * j->out_row,
       *y = made_in(j, to, made);
  int rows;
  locate(row, j->w.out, at);
  rows = rows_under(j, at, s, made + j->out_row + SPAN);
  set_scale(j, counted(j, 0, at[1]) * counted(j, 1, at[2]), scale, scaled);
  for (int64_t o = 0; o < j->w.out[2]; o++) {
    int64_t x = (o * j->w.stride[2] - j->w.before[2]) * C;
#define AVG_OF(c, n) \
  sum_of(s, rows, x + c, C, j->first[o], j->last[o], scale[o * C], y + o * C + c, n)
    FOR_SPANS(C, AVG_OF);
  }
  deliver(to, y, j->out_row, sizeof *y);
}

/* gy of all rows that cover this one, divided, is added up first. */
static void avg_grad_row(const job *j, int64_t row, source *s, real *room, int64_t *scaled) {
  int64_t at[3], C = j->C;
  real *scale = room, *restrict sum = scale + j->out_row, *made = sum + j->out_row + SPAN,
       *to = j->to + row * j->in_row, *gx = made_in(j, to, made);
  int rows;
  locate(row, j->w.in, at);
  rows = rows_over(j, at, s, made + j->in_row + SPAN);
  memset(sum, 0, (size_t)j->out_row * sizeof *sum);
  for (int r = 0; r < rows; r++) {
    set_scale(j, s[r].count, scale, scaled);
    for (int64_t i = 0; i < j->out_row; i++) sum[i] += s[r].v[i] * scale[i];
  }
  s[0].v = sum;
  for (int64_t w = 0; w < j->w.in[2]; w++) {
#define GRAD_OF(c, n) sum_of(s, 1, c, C, j->first[w], j->last[w], 1, gx + w * C + c, n)
    FOR_SPANS(C, GRAD_OF);
  }
  deliver(to, gx, j->in_row, sizeof *gx);
}

static void run_rows(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t last = (chunk + 1) * j->grain;
  for (int64_t row = chunk * j->grain; row < last && row < j->rows; row++)
    j->row(j, row, j->sources + worker * j->most, j->room + worker * j->room_size,
           &j->scaled[worker]);
}

/* One window over the whole image: all spatial axes, however many, count as one. */
static void whole_image(cvl_window *w, const cvl_shape *x) {
  *w = (cvl_window){.axes = 1};
  for (int i = 0; i < CVL_MAX_SPATIAL; i++)
    w->in[i] = w->filter[i] = w->out[i] = w->stride[i] = w->dilation[i] = 1;
  for (int i = 1; i < x->ndim - 1; i++) w->in[2] = w->filter[2] *= x->dim[i];
}

/* The tables and rooms of a job that makes the rows of x (`back`) or of y. */
static int prepare(job *j, bool back, cvl_err *e) {
  const cvl_window *w = &j->w;
  int64_t n = back ? w->in[2] : w->out[2], row = back ? j->in_row : j->out_row;
  int64_t work = row * w->filter[0] * w->filter[1] * w->filter[2];
  j->grain = GRAIN / (work + 1) + 1;
  j->rows = j->N * (back ? w->in[0] * w->in[1] : w->out[0] * w->out[1]);
  j->most = w->filter[0] * w->filter[1];
  j->room_size = j->in_row + 2 * j->out_row + 2 * SPAN +
                 (back ? copies(j, j->out_row) * 2 * (j->out_row + SPAN)
                       : copies(j, j->in_row) * (j->in_row + SPAN));
  j->first = cvl_alloc_array((size_t)(n * 2 + cvl_threads()), sizeof *j->first);
  j->sources = cvl_alloc_array((size_t)(cvl_threads() * j->most), sizeof *j->sources);
  if (j->first == NULL || j->sources == NULL)
    return cvl_fail_memory(e, cvl_threads() * j->most * (int64_t)sizeof *j->sources);
  j->last = j->first + n;
  j->scaled = j->last + n;
  for (int64_t i = 0; i < n; i++)
    if (back)
      find_outputs(w, 2, i, &j->first[i], &j->last[i]);
    else
      find_taps(w, 2, i, &j->first[i], &j->last[i]);
  j->room = (real *)(void *)cvl_scratch_take(
      cvl_threads() * j->room_size * (int64_t)(sizeof(real) / sizeof(float)), e);
  return j->room != NULL ? 0 : -1;
}

/* x and y: the shapes before and after pooling; y {N, C} is a global one's. `from` and `to`: what the loop reads and
** writes, the rows of x when `back`. */
static int run(const cvl_args *a, const cvl_shape *x, const cvl_shape *y, const cvl_tensor *from,
               const cvl_tensor *to, const cvl_tensor *place, row_body *row, bool back,
               cvl_err *e) {
  const cvl_pool_options *o = a->options;
  job j = {.N = x->dim[0],
           .C = x->dim[x->ndim - 1],
           .from = cvl_data(from),
           .to = cvl_data(to),
           .place = place != NULL ? cvl_data(place) : NULL,
           .count_padding = y->ndim > 2 && o->count_padding,
           .row = row};
  int rc;
  if (y->ndim == 2)
    whole_image(&j.w, x);
  else if (cvl_pool_window(&j.w, x, x->ndim - 2, o, e) != 0)
    return -1;
  j.in_row = j.w.in[2] * j.C;
  j.out_row = j.w.out[2] * j.C;
  if (j.N * j.C == 0) return 0;
  if ((rc = prepare(&j, back, e)) == 0)
    cvl_parallel((j.rows + j.grain - 1) / j.grain, run_rows, &j);
  cvl_free(j.first);
  cvl_free(j.sources);
  cvl_scratch_give((float *)(void *)j.room);
  return rc;
}

#endif

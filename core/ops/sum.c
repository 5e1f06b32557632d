/*
** sum(x, axis = all, {keep = false}) -> y        the sum over some axes
** Sums of float32 are made in double and rounded once; of float64 in many short sums; integers and
** bool give int64. The work is cut into units (some neighbouring outputs, or a part of one output's
** elements) by its size alone, and parts are added in order, so that the bits do not depend on the
** number of threads.
*/
/* CVL_EVERY_DTYPE */
#include "ops/sum.h"

#ifdef CVL_REAL
#include <string.h>

#include "base/pool.h"
#include "kernels/scratch.h"
#include "ops/reduce.h"
#include "ops/row.h"

#if CVL_FLOATING
typedef double sum_t;
typedef real out_t;
#else
typedef int64_t sum_t, out_t;
#endif

enum {
  GRAIN = 32768, /* elements that are worth another thread */
  TILE = 512,    /* outputs that a unit makes at most */
  SHORT = 4096   /* elements of float64 added before their sum joins the others */
};

#if CVL_FLOATING
#define sum_dense cvl_row_sum
#else
static sum_t sum_dense(const real *x, int64_t n) {
  sum_t s = 0;
  for (int64_t i = 0; i < n; i++) s += (sum_t)x[i];
  return s;
}
#endif

static sum_t sum_piece(const real *x, int64_t n, int64_t step) {
  sum_t s = 0;
  if (step == 1) {
    for (int64_t i = 0; i < n; i += SHORT) s += sum_dense(x + i, n - i < SHORT ? n - i : SHORT);
    return s;
  }
  for (int64_t i = 0; i < n; i++) s += (sum_t)x[i * step];
  return s;
}

/* sums[c] += the n elements x[c], x[c + step], ...: four rows at a time, so that the sums are
** loaded less often. */
static void add_rows(sum_t *restrict sums, int64_t columns, const real *x, int64_t n,
                     int64_t step) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4, x += 4 * step) {
    const real *p = x, *q = x + step, *r = x + 2 * step, *s = x + 3 * step;
    for (int64_t c = 0; c < columns; c++)
      sums[c] += ((sum_t)p[c] + (sum_t)q[c]) + ((sum_t)r[c] + (sum_t)s[c]);
  }
  for (; i < n; i++, x += step)
    for (int64_t c = 0; c < columns; c++) sums[c] += (sum_t)x[c];
}

typedef struct {
  const cvl_reduction *r;
  const real *x;
  out_t *y;
  sum_t *partial;        /* {parts, outputs}, or NULL when there is one part */
  int64_t row;           /* outputs along the innermost kept axis */
  int64_t tile;          /* outputs of a unit, within a row */
  int64_t per_row;       /* units of a row */
  int64_t parts, length; /* parts of an output's elements, and how many are in one */
} job;

static void unit(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_reduction *r = j->r;
  int64_t u = chunk / j->parts, part = chunk % j->parts, first = u % j->per_row * j->tile;
  int64_t output = u / j->per_row * j->row + first, columns = j->row - first,
          last = (part + 1) * j->length;
  int64_t column_step = r->kept.stride[r->kept.ndim - 1];
  const real *x = j->x + cvl_walk_offset(&r->kept, output);
  sum_t sums[TILE] = {0};
  (void)worker;
  if (columns > j->tile) columns = j->tile;
  for (cvl_piece p = cvl_pieces(part * j->length, last < r->count ? last : r->count);
       cvl_next_piece(&r->reduced, &p);)
    if (column_step == 1 && columns > 1 && p.step != 1)
      add_rows(sums, columns, x + p.offset, p.n, p.step);
    else
      for (int64_t c = 0; c < columns; c++)
        sums[c] += sum_piece(x + p.offset + c * column_step, p.n, p.step);
  if (j->partial != NULL)
    memcpy(j->partial + part * r->outputs + output, sums, (size_t)columns * sizeof *sums);
  else
    for (int64_t c = 0; c < columns; c++) j->y[output + c] = (out_t)sums[c];
}

static int64_t at_most(int64_t x, int64_t limit) { return x < limit ? x : limit; }

static int sum_of(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_sum_options *o = a->options;
  bool set[CVL_MAX_DIM];
  cvl_reduction r;
  job j = {.r = &r, .x = cvl_data(a->in[0]), .y = cvl_data(y), .parts = 1};
  int64_t units, wanted;
  float *scratch = NULL;

  if (cvl_reduce_axes(&o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;
  cvl_reduction_init(&r, a->in[0], set);
  if (r.outputs == 0) return 0;
  j.row = r.kept.dim[r.kept.ndim - 1];
  j.tile = r.count > 0 ? (GRAIN + r.count - 1) / r.count : TILE;
  if (r.kept.stride[r.kept.ndim - 1] == 1 && j.tile < 64) j.tile = 64; /* whole cache lines */
  j.tile = at_most(at_most(j.tile, TILE), j.row);
  j.per_row = (j.row + j.tile - 1) / j.tile;
  units = r.outputs / j.row * j.per_row;
  wanted = at_most(r.outputs * r.count / GRAIN, 64);
  if (units < 16 && wanted > units) j.parts = (wanted + units - 1) / units;
  j.length = (r.count + j.parts - 1) / j.parts;
  if (j.length > 0) j.parts = (r.count + j.length - 1) / j.length;
  if (j.parts > 1) {
    scratch = cvl_scratch_take(j.parts * r.outputs * (int64_t)(sizeof(sum_t) / sizeof(float)), e);
    if (scratch == NULL) return -1;
    j.partial = (sum_t *)(void *)scratch;
  }
  cvl_parallel(units * j.parts, unit, &j);
  for (int64_t i = 0; j.parts > 1 && i < r.outputs; i++) {
    sum_t s = 0;
    for (int64_t p = 0; p < j.parts; p++) s += j.partial[p * r.outputs + i];
    j.y[i] = (out_t)s;
  }
  cvl_scratch_give(scratch);
  return 0;
}
CVL_KERNELS(sum, sum_of, NULL)

#elif defined CVL_DESCRIBE
#include "ops/reduce.h"
#include "ops/view.h"

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_sum_options *o = a->options;
  bool set[CVL_MAX_DIM];
  if (cvl_reduce_axes(&o->axis, a->in[0]->shape.ndim, set, e) != 0) return -1;
  cvl_reduce_shape(&a->in[0]->shape, set, o->keep, &y->shape);
  y->shape.ndim -= o->leading;
  for (int i = 0; o->leading > 0 && i < y->shape.ndim; i++)
    y->shape.dim[i] = y->shape.dim[i + o->leading];
  if (!cvl_dtype_floating(y->dtype)) y->dtype = CVL_I64;
  return 0;
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cvl_sum_options *o = a->options;
  bool set[CVL_MAX_DIM];
  (void)y;
  if (cvl_reduce_axes(&o->axis, a->in[i]->shape.ndim, set, s->e) != 0) return NULL;
  return cvl_unreduce(s, gy, set, &a->in[i]->shape);
}

CVL_OP(sum,
  .doc = "sum(x, axis = nil, {keep = false}) -> y\n"
         "The sum over an axis, a list of axes, or all of them. keep leaves the summed axes with "
         "size 1. float32 is summed in double precision; integers and bool give int64.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .shape = shape, .vjp = vjp,
  CVL_OPTIONS(cvl_sum_options,
    CVL_AXES(cvl_sum_options, axis, CVL_ANY, "the axes to sum over; all when left out"),
    CVL_FLAG(cvl_sum_options, keep, false, "whether summed axes stay, with size 1")),
  CVL_SAMPLES("sum(randn{2, 3})", "sum(randn{2, 3, 2}, 2)",
              "sum(randn{2, 3, 2}, {1, -1}, {keep = true})",
              "sum(randn{3, 1, 2}:transpose(1, 3), {axis = 1})"),
  CVL_REJECTS({"sum(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"},
              {"sum(randn{2, 3}, {1, 1})", "each axis once expected, got axis 1 twice"}));
#endif

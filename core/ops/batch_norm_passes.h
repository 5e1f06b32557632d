/*
** The passes of batch normalization over rows of channels, forward and backward, for batch_norm.c and for what normalizes
** its own results: included by kernels' files of ops only.
**
** Memory passes. Forward: x once for the statistics, unless whoever made x has left its moments; x (and residual) once for
** y. Backward: gy and x once for the two sums over the batch, once more for gx. Where y > 0 follows from x; with a residual a
** bit for each tells it, or y itself, on the first way, which writes the residual's gradient, gy where y > 0, for the second.
** Second ways go from the end to the start, so that they find what is still in the caches; what they write, when it is too
** large for these, goes past them, so that it is not read first. Statistics: blocks of rows are summed, measured from the
** mean so far, or slots from one of their results, and merged in double (Chan, Golub & LeVeque 1983), so that a large mean
** costs no digits.
*/
#ifndef CVL_OPS_BATCH_NORM_PASSES_H
#define CVL_OPS_BATCH_NORM_PASSES_H

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/epilogue.h"
#include "kernels/scratch.h"
#include "kernels/tile.h"
#include "ops/batch_norm.h"
#include "ops/batch_norm_rows.h"

/* y = act((x - mean) rstd scale + offset + residual), x {n, C}. Gradients, for norm_backward(), are NULL where they are not
** wanted. */
typedef struct {
  int64_t n, C;
  const cvl_batch_norm_options *o;
  const real *x, *residual, *scale, *offset; /* residual: or NULL */
  real *running_mean, *running_var;          /* {C}; in training they follow the batch's */
  real *mean, *rstd; /* {C}, 1 / sqrt(var + epsilon): written forward, read backward */
  int64_t slots;     /* of moments of x that are known already, in training; 0: they are not */
  cvl_slots moments;
  marks *positive;    /* {n C / LANES}, written forward, read backward; NULL: y is read */
  bool with_residual; /* backward the residual itself is not needed */
  real *gx, *gscale, *goffset, *gmean, *gvar, *gresidual;
} norm;

static real *data_or_null(const cvl_tensor *x) { return x != NULL ? cvl_data(x) : NULL; }

/* What an op's inputs from the scale on, and what it saves, are to x: in the order of batch_norm.c's enums. */
enum { N_SCALE, N_OFFSET, N_MEAN, N_VAR, N_RESIDUAL };
enum { N_SAVED_MEAN, N_SAVED_RSTD, N_SAVED_MARKS };

static norm norm_of(const cvl_batch_norm_options *o, const cvl_tensor *x, cvl_tensor *const *in,
                    cvl_tensor *const *saved) {
  int64_t C = cvl_count(in[N_SCALE]);
  return (norm){.n = C > 0 ? cvl_count(x) / C : 0,
                .C = C,
                .o = o,
                .x = cvl_data(x),
                .scale = cvl_data(in[N_SCALE]),
                .offset = cvl_data(in[N_OFFSET]),
                .running_mean = cvl_data(in[N_MEAN]),
                .running_var = cvl_data(in[N_VAR]),
                .mean = cvl_data(saved[N_SAVED_MEAN]),
                .rstd = cvl_data(saved[N_SAVED_RSTD]),
                .positive = (marks *)(void *)data_or_null(saved[N_SAVED_MARKS]),
                .with_residual = in[N_RESIDUAL] != NULL};
}

/* Backward: where the gradients of those inputs go. */
static void norm_wants(norm *p, cvl_tensor *const *gx) {
  p->gscale = data_or_null(gx[N_SCALE]);
  p->goffset = data_or_null(gx[N_OFFSET]);
  p->gmean = data_or_null(gx[N_MEAN]);
  p->gvar = data_or_null(gx[N_VAR]);
  p->gresidual = data_or_null(gx[N_RESIDUAL]);
}

/* Rows are cut into chunks by their number and width only, and chunks into blocks. */
enum {
  MOST_CHUNKS = 64,
  CHUNK_ELEMENTS = 32768,
  BLOCK_ELEMENTS = 16384,
  LEAST_BLOCK_ROWS = 4,
  MOST_BLOCK_ROWS = 64
};

typedef struct {
  rows all; /* n is their number */
  int64_t chunks, chunk_rows, block_rows;
  double *sums;  /* {chunks, 2, C} */
  real *scratch; /* {chunks, 3, C} */
  bool relu;     /* forward */
  mask where;    /* backward */
} job;

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

static void cut(job *j, int64_t n, int64_t C) {
  int64_t chunks = clamp((n * C + CHUNK_ELEMENTS - 1) / CHUNK_ELEMENTS, 1, MOST_CHUNKS);
  j->all.C = C;
  j->all.n = n;
  j->chunk_rows = (n + chunks - 1) / chunks;
  j->chunks = j->chunk_rows > 0 ? (n + j->chunk_rows - 1) / j->chunk_rows : 0;
  j->block_rows = C > 0 ? clamp(BLOCK_ELEMENTS / C, LEAST_BLOCK_ROWS, MOST_BLOCK_ROWS) : 1;
}

/* Whether a result of x's size is written past the caches, of which the kernels for float32 alone know how. */
static bool is_past(const job *j, const void *result) {
  return sizeof(real) == sizeof(float) && j->all.C % LANES == 0 &&
         cvl_is_past(result, j->all.n * j->all.C, j->all.C);
}

static int64_t last_row(const job *j, int64_t chunk) {
  int64_t last = (chunk + 1) * j->chunk_rows;
  return last < j->all.n ? last : j->all.n;
}

/* The block from `first` on of rows that end at `last`. */
static rows block_at(const job *j, int64_t first, int64_t last) {
  rows b = j->all;
  int64_t at = first * b.C;
  b.n = last - first < j->block_rows ? last - first : j->block_rows;
  b.x += at;
  if (b.residual != NULL) b.residual += at;
  if (b.y != NULL) b.y += at;
  if (b.gy != NULL) b.gy += at;
  if (b.out != NULL) b.out += at;
  if (b.masked != NULL) b.masked += at;
  if (b.positive != NULL) b.positive += at / LANES;
  return b;
}

/* The buffers for sums of two kinds per channel and chunk. */
static int begin_sums(job *j, cvl_err *e) {
  size_t count = (size_t)(j->chunks + 1) * (size_t)j->all.C;
  size_t bytes = count * (2 * sizeof *j->sums + 3 * sizeof *j->scratch);
  void *block = cvl_scratch_take((int64_t)(bytes / sizeof(float)), e);
  if (block == NULL) return -1;
  j->sums = block;
  j->scratch = (real *)(j->sums + 2 * count);
  return 0;
}

static void end_sums(job *j) { cvl_scratch_give((float *)(void *)j->sums); }

/* Mean and sum of squared deviations of n more rows join those of `before` rows. */
static void merge(int64_t C, int64_t before, double *restrict mean, double *restrict m2, int64_t n,
                  const double *restrict mean2, const double *restrict m22) {
  double all = (double)(before + n), part = (double)n / all,
         both = (double)before * (double)n / all;
  for (int64_t c = 0; c < C; c++) {
    double d = mean2[c] - mean[c];
    mean[c] += d * part;
    m2[c] += m22[c] + d * d * both;
  }
}

/* The same with a block's sums of x - m and of its square. */
static void merge_block(int64_t C, int64_t before, double *restrict mean, double *restrict m2,
                        int64_t n, const real *restrict m, const real *restrict sum,
                        const real *restrict squares) {
  double all = (double)(before + n), part = (double)n / all;
  double both = (double)before * (double)n / all, each = 1 / (double)n;
  for (int64_t c = 0; c < C; c++) {
    double rest = (double)sum[c] * each, d = (double)m[c] + rest - mean[c];
    mean[c] += d * part;
    m2[c] += (double)squares[c] - rest * rest * (double)n + d * d * both;
  }
}

/* x is measured from the mean so far: its squares are of the size of the variance, whatever the mean is. */
static void moments_of_chunk(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t C = j->all.C, first = chunk * j->chunk_rows, last = last_row(j, chunk), r = first;
  double *restrict mean = j->sums + chunk * 2 * C, *restrict m2 = mean + C;
  real *restrict m = j->scratch + chunk * 3 * C, *restrict sum = m + C, *restrict squares = sum + C;
  (void)worker;
  memset(mean, 0, (size_t)(2 * C) * sizeof *mean);
  for (rows b; r < last; r += b.n) {
    b = block_at(j, r, last);
    b.mean = m;
    if (r == first)
      rows_mean(&b, m);
    else
      for (int64_t c = 0; c < C; c++) m[c] = (real)mean[c];
    rows_moments(&b, sum, squares);
    merge_block(C, r - first, mean, m2, b.n, m, sum, squares);
  }
}

/* The moments of all rows to sums {2, C}: of the chunks, in their order, */
static void sum_chunks(job *j) {
  int64_t C = j->all.C;
  cvl_parallel(j->chunks, moments_of_chunk, j);
  for (int64_t k = 1; k < j->chunks; k++)
    merge(C, k * j->chunk_rows, j->sums, j->sums + C, last_row(j, k) - k * j->chunk_rows,
          j->sums + 2 * k * C, j->sums + (2 * k + 1) * C);
}

/* or of slots. */
static void sum_slots(job *j, const norm *p) {
  int64_t C = p->C, before = 0;
  memset(j->sums, 0, (size_t)(2 * C) * sizeof *j->sums);
  for (int64_t s = 0; s < p->slots; before += p->moments.count[s++]) {
    const float *about = p->moments.moments + s * 3 * C;
    for (int64_t i = 0; i < 3 * C; i++) j->scratch[i] = (real)about[i];
    merge_block(C, before, j->sums, j->sums + C, p->moments.count[s], j->scratch, j->scratch + C,
                j->scratch + 2 * C);
  }
}

/* mean and rstd of the batch, and the running statistics. */
static int batch_moments(job *j, const norm *p, cvl_err *e) {
  const cvl_batch_norm_options *o = p->o;
  int rc = -1;
  if (begin_sums(j, e) != 0) goto done;
  if (p->slots > 0)
    sum_slots(j, p);
  else
    sum_chunks(j);
  for (int64_t c = 0; c < p->C; c++) {
    double m = j->sums[c], var = j->sums[p->C + c] / (double)p->n;
    p->mean[c] = (real)m;
    p->rstd[c] = (real)(1 / sqrt(var + o->epsilon));
    p->running_mean[c] = (real)(o->momentum * (double)p->running_mean[c] + (1 - o->momentum) * m);
    p->running_var[c] = (real)(o->momentum * (double)p->running_var[c] + (1 - o->momentum) * var);
  }
  rc = 0;
done:
  end_sums(j);
  return rc;
}

static void normalise(void *context, int64_t from_end, int worker) {
  const job *j = context;
  int64_t chunk = j->chunks - 1 - from_end, last = last_row(j, chunk), r = chunk * j->chunk_rows;
  (void)worker;
  for (rows b; r < last; r += b.n) {
    b = block_at(j, r, last);
    rows_normalise(&b, j->relu);
  }
  if (j->all.past) cvl_past_end();
}

/* Makes what a call on x saves; marks only when a gradient may want to know where y is positive, x alone does not tell, and
** rows are whole vectors. */
static int norm_save(const cvl_batch_norm_options *o, const cvl_tensor *x, cvl_tensor *const *in,
                     bool taped, cvl_tensor **saved, cvl_err *e) {
  const cvl_shape *channels = &in[N_SCALE]->shape;
  cvl_shape bytes = {.ndim = 1};
  for (int i = N_SAVED_MEAN; i <= N_SAVED_RSTD; i++)
    if ((saved[i] = cvl_tensor_new(channels, x->dtype, cvl_device_of(x), e)) == NULL) return -1;
  if (!MARKS || !taped || o->activation != CVL_NORM_RELU || in[N_RESIDUAL] == NULL ||
      channels->dim[0] % LANES != 0)
    return 0;
  bytes.dim[0] = cvl_count(x) / LANES * (int64_t)sizeof(marks);
  saved[N_SAVED_MARKS] = cvl_tensor_new(&bytes, CVL_U8, NULL, e);
  return saved[N_SAVED_MARKS] != NULL ? 0 : -1;
}

static int norm_forward(const norm *p, real *y, cvl_err *e) {
  const cvl_batch_norm_options *o = p->o;
  job j = {.all = {.x = p->x,
                   .residual = p->residual,
                   .out = y,
                   .mean = p->mean,
                   .shift = p->offset,
                   .positive = p->positive},
           .relu = o->activation == CVL_NORM_RELU};
  real *factor = cvl_alloc_array((size_t)p->C + 1, sizeof *factor);
  int rc = -1;
  if (factor == NULL) return cvl_fail_memory(e, p->C * (int64_t)sizeof *factor);
  cut(&j, p->n, p->C);
  j.all.past = is_past(&j, y);
  if (o->training) {
    if (batch_moments(&j, p, e) != 0) goto done;
  } else {
    for (int64_t c = 0; c < p->C; c++) {
      p->mean[c] = p->running_mean[c];
      p->rstd[c] = (real)(1 / sqrt((double)p->running_var[c] + o->epsilon));
    }
  }
  for (int64_t c = 0; c < p->C; c++) factor[c] = p->rstd[c] * p->scale[c];
  j.all.factor = factor;
  cvl_parallel(j.chunks, normalise, &j);
  rc = 0;
done:
  cvl_free(factor);
  return rc;
}

/*
** Backward, with g = gy where y > 0 (relu) or gy, xhat = (x - mean) rstd and means over the batch's rows:
**   goffset = sum g      gscale = sum g xhat      gresidual = g
**   gx = scale rstd (g - mean(g) - xhat mean(g xhat)) in training, else scale rstd g
**   grunning_mean = - scale rstd sum g, grunning_var = - scale rstd^3 sum g (x - mean) / 2 outside of training, else 0
** The first pass sums g and g (x - mean), blocks of rows in `real` and then double.
*/
static void sums_of_chunk(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t C = j->all.C, last = last_row(j, chunk), r = chunk * j->chunk_rows;
  double *restrict sum = j->sums + chunk * 2 * C, *restrict dot = sum + C;
  real *restrict s = j->scratch + chunk * 3 * C, *restrict d = s + C;
  (void)worker;
  memset(sum, 0, (size_t)(2 * C) * sizeof *sum);
  for (rows b; r < last; r += b.n) {
    b = block_at(j, r, last);
    rows_sums(&b, j->where, s, d);
    for (int64_t c = 0; c < C; c++) {
      sum[c] += (double)s[c];
      dot[c] += (double)d[c];
    }
  }
  if (j->all.past) cvl_past_end();
}

static void data_of_chunk(void *context, int64_t from_end, int worker) {
  const job *j = context;
  int64_t chunk = j->chunks - 1 - from_end, last = last_row(j, chunk), r = chunk * j->chunk_rows;
  (void)worker;
  for (rows b; r < last; r += b.n) {
    b = block_at(j, r, last);
    if (is_kept(j->where)) b.gy = b.masked;
    rows_data(&b, j->where);
  }
  if (j->all.past) cvl_past_end();
}

/* Into the sums of chunk 0, in order. */
static void add_chunks(job *j) {
  int64_t n = 2 * j->all.C;
  if (j->chunks == 0) memset(j->sums, 0, (size_t)n * sizeof *j->sums);
  for (int64_t k = 1; k < j->chunks; k++)
    for (int64_t i = 0; i < n; i++) j->sums[i] += j->sums[k * n + i];
}

static mask where_positive(const norm *p) {
  if (!p->with_residual) return WHERE_NORMAL;
  if (p->gresidual == NULL) return p->positive != NULL ? WHERE_MARKED : WHERE_Y;
  return p->positive != NULL ? WHERE_MARKED_KEPT : WHERE_Y_KEPT;
}

static int norm_backward(const norm *p, const real *y, const real *gy, cvl_err *e) {
  const cvl_batch_norm_options *o = p->o;
  const real *rstd = p->rstd;
  int64_t C = p->C;
  real *channel = NULL;
  job j = {.all = {.x = p->x,
                   .y = y,
                   .gy = gy,
                   .mean = p->mean,
                   .offset = p->offset,
                   .positive = p->positive}};
  int rc = -1;
  cut(&j, p->n, C);
  if (o->activation == CVL_NORM_RELU) j.where = where_positive(p);
  if (p->gresidual != NULL) {
    j.all.masked = p->gresidual;
    j.all.past = is_past(&j, j.all.masked);
    if (j.where == ALL) memcpy(j.all.masked, gy, (size_t)(p->n * C) * sizeof *gy);
  }
  if (begin_sums(&j, e) != 0) goto done;
  if ((channel = cvl_alloc_array((size_t)(3 * C), sizeof *channel)) == NULL) {
    cvl_fail_memory(e, 3 * C * (long long)sizeof *channel);
    goto done;
  }
  j.all.factor = channel;
  j.all.shift = channel + C;
  j.all.slope = channel + 2 * C;
  for (int64_t c = 0; c < C; c++) channel[c] = rstd[c] * p->scale[c];
  cvl_parallel(j.chunks, sums_of_chunk, &j);
  add_chunks(&j);
  for (int64_t c = 0; c < C; c++) {
    double sum = j.sums[c], dot = j.sums[C + c], r = (double)rstd[c], scale = (double)p->scale[c];
    if (p->gscale != NULL) p->gscale[c] = (real)(dot * r);
    if (p->goffset != NULL) p->goffset[c] = (real)sum;
    if (p->gmean != NULL) p->gmean[c] = o->training ? 0 : (real)(-sum * r * scale);
    if (p->gvar != NULL) p->gvar[c] = o->training ? 0 : (real)(-0.5 * dot * r * r * r * scale);
    if (!o->training || p->n == 0) continue; /* the other two stay 0 */
    channel[C + c] = (real)(sum / (double)p->n);
    channel[2 * C + c] = (real)(dot * r * r / (double)p->n);
  }
  if (p->gx != NULL) {
    j.all.out = p->gx;
    j.all.past = is_past(&j, j.all.out);
    cvl_parallel(j.chunks, data_of_chunk, &j);
  }
  rc = 0;
done:
  cvl_free(channel);
  end_sums(&j);
  return rc;
}

#endif

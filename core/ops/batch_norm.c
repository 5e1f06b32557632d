/*
** y = batch_norm(x, scale, offset, running_mean, running_var, residual; momentum, epsilon, training, activation)
**   y    = act((x - mean) / sqrt(var + epsilon) * scale + offset + residual)        act: identity or relu
**   x, y, residual (or nil) {..., C}      scale, offset, running_mean, running_var {C}
**   training: mean and biased variance of the batch over all axes but the last, and in place
**             running = momentum running + (1 - momentum) batch
**   else:     mean and var are the running ones.
** Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 1; momentum as in TensorFlow, where the paper leaves it open.
**
** Memory passes. Forward: x once for the statistics, x (and residual) once for y. Backward: gy and x once for the two sums
** over the batch, once more for gx. Where y > 0 follows from x; with a residual y is read too, on the first way, which
** writes the residual's gradient, gy where y > 0, for the second. Second ways go from the end to the start, so that they
** find what is still in the caches; what they write, when it is too large for these, goes past them, so that it is not
** read first. Statistics: blocks of rows are summed, measured from the mean so far, and merged in double (Chan, Golub &
** LeVeque 1983), so that a large mean costs no digits.
*/
#include "ops/batch_norm.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/tile.h"

enum { X, SCALE, OFFSET, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, INPUTS };
enum { MEAN, RSTD }; /* saved: {C} each, of x's type; RSTD = 1 / sqrt(var + epsilon) */

#ifndef CVL_DESCRIBE

#include "ops/batch_norm_rows.h"

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

static void cut(job *j, const cvl_tensor *x) {
  int64_t C = x->shape.dim[x->shape.ndim - 1], n = C > 0 ? cvl_count(x) / C : 0;
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

/* mean and rstd of the batch, and the running statistics. */
static int batch_moments(job *j, const cvl_batch_norm_options *o, real *mean, real *rstd,
                         real *running_mean, real *running_var, cvl_err *e) {
  int64_t C = j->all.C;
  int rc = -1;
  if (begin_sums(j, e) != 0) goto done;
  cvl_parallel(j->chunks, moments_of_chunk, j);
  for (int64_t k = 1; k < j->chunks; k++) /* into chunk 0, in order */
    merge(C, k * j->chunk_rows, j->sums, j->sums + C, last_row(j, k) - k * j->chunk_rows,
          j->sums + 2 * k * C, j->sums + (2 * k + 1) * C);
  for (int64_t c = 0; c < C; c++) {
    double m = j->sums[c], var = j->sums[C + c] / (double)j->all.n;
    mean[c] = (real)m;
    rstd[c] = (real)(1 / sqrt(var + o->epsilon));
    running_mean[c] = (real)(o->momentum * (double)running_mean[c] + (1 - o->momentum) * m);
    running_var[c] = (real)(o->momentum * (double)running_var[c] + (1 - o->momentum) * var);
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

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const cvl_tensor *x = a->in[X];
  const real *scale = cvl_data(a->in[SCALE]);
  cvl_shape channels = a->in[SCALE]->shape;
  cvl_tensor *factor = NULL;
  real *mean, *rstd, *f;
  job j = {.all = {.x = cvl_data(x), .out = cvl_data(y)}, .relu = o->activation == CVL_NORM_RELU};
  int rc = -1;
  cut(&j, x);
  j.all.past = is_past(&j, j.all.out);
  if (a->in[RESIDUAL] != NULL) j.all.residual = cvl_data(a->in[RESIDUAL]);
  for (int i = MEAN; i <= RSTD; i++)
    if ((a->saved[i] = cvl_tensor_new(&channels, x->dtype, cvl_device_of(x), e)) == NULL) goto done;
  if ((factor = cvl_tensor_new(&channels, x->dtype, cvl_device_of(x), e)) == NULL) goto done;
  mean = cvl_data(a->saved[MEAN]);
  rstd = cvl_data(a->saved[RSTD]);
  f = cvl_data(factor);
  if (o->training) {
    if (batch_moments(&j, o, mean, rstd, cvl_data(a->in[RUNNING_MEAN]),
                      cvl_data(a->in[RUNNING_VAR]), e) != 0)
      goto done;
  } else {
    const real *running_mean = cvl_data(a->in[RUNNING_MEAN]),
               *running_var = cvl_data(a->in[RUNNING_VAR]);
    for (int64_t c = 0; c < j.all.C; c++) {
      mean[c] = running_mean[c];
      rstd[c] = (real)(1 / sqrt((double)running_var[c] + o->epsilon));
    }
  }
  for (int64_t c = 0; c < j.all.C; c++) f[c] = rstd[c] * scale[c];
  j.all.mean = mean;
  j.all.factor = f;
  j.all.shift = cvl_data(a->in[OFFSET]);
  cvl_parallel(j.chunks, normalise, &j);
  rc = 0;
done:
  cvl_release(factor);
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
    if (j->where == WHERE_Y_KEPT) b.gy = b.masked;
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

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const real *scale = cvl_data(a->in[SCALE]), *rstd = cvl_data(a->saved[RSTD]);
  real *gscale = gx[SCALE] != NULL ? cvl_data(gx[SCALE]) : NULL;
  real *goffset = gx[OFFSET] != NULL ? cvl_data(gx[OFFSET]) : NULL, *channel = NULL;
  real *gmean = NULL, *gvar = NULL;
  job j = {.all = {.x = cvl_data(a->in[X]),
                   .y = cvl_data(y),
                   .gy = cvl_data(gy),
                   .mean = cvl_data(a->saved[MEAN]),
                   .offset = cvl_data(a->in[OFFSET])}};
  int64_t C;
  int rc = -1;
  cut(&j, a->in[X]);
  C = j.all.C;
  if (o->activation == CVL_NORM_RELU)
    j.where = a->in[RESIDUAL] == NULL ? WHERE_NORMAL
              : gx[RESIDUAL] == NULL  ? WHERE_Y
                                      : WHERE_Y_KEPT;
  if (gx[RESIDUAL] != NULL) {
    j.all.masked = cvl_data(gx[RESIDUAL]);
    j.all.past = is_past(&j, j.all.masked);
    if (j.where == ALL)
      memcpy(j.all.masked, j.all.gy, (size_t)(j.all.n * C) * sizeof *j.all.masked);
  }
  if (gx[RUNNING_MEAN] != NULL) gmean = cvl_data(gx[RUNNING_MEAN]);
  if (gx[RUNNING_VAR] != NULL) gvar = cvl_data(gx[RUNNING_VAR]);
  if (begin_sums(&j, e) != 0) goto done;
  if ((channel = cvl_alloc_array((size_t)(3 * C), sizeof *channel)) == NULL) {
    cvl_fail_memory(e, 3 * C * (long long)sizeof *channel);
    goto done;
  }
  j.all.factor = channel;
  j.all.shift = channel + C;
  j.all.slope = channel + 2 * C;
  for (int64_t c = 0; c < C; c++) channel[c] = rstd[c] * scale[c];
  cvl_parallel(j.chunks, sums_of_chunk, &j);
  add_chunks(&j);
  for (int64_t c = 0; c < C; c++) {
    double sum = j.sums[c], dot = j.sums[C + c], r = (double)rstd[c];
    if (gscale != NULL) gscale[c] = (real)(dot * r);
    if (goffset != NULL) goffset[c] = (real)sum;
    if (gmean != NULL) gmean[c] = o->training ? 0 : (real)(-sum * r * (double)scale[c]);
    if (gvar != NULL) gvar[c] = o->training ? 0 : (real)(-0.5 * dot * r * r * r * (double)scale[c]);
    if (!o->training || j.all.n == 0) continue; /* the other two stay 0 */
    channel[C + c] = (real)(sum / (double)j.all.n);
    channel[2 * C + c] = (real)(dot * r * r / (double)j.all.n);
  }
  if (gx[X] != NULL) {
    j.all.out = cvl_data(gx[X]);
    j.all.past = is_past(&j, j.all.out);
    cvl_parallel(j.chunks, data_of_chunk, &j);
  }
  rc = 0;
done:
  cvl_free(channel);
  end_sums(&j);
  return rc;
}

CVL_KERNELS(batch_norm, forward, backward)

#else
#include <inttypes.h>

#include "ops/call.h"

static int other_type(const cvl_args *a, int i, cvl_err *e) {
  return cvl_fail(e, CVL_EDTYPE, i + 1, "expected %s, the type of x, got %s",
                  cvl_dtype_name(a->in[X]->dtype), cvl_dtype_name(a->in[i]->dtype));
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  static const char *const names[] = {"x", "scale", "offset", "running_mean", "running_var"};
  const cvl_batch_norm_options *o = a->options;
  const cvl_shape *x = &a->in[X]->shape;
  char text[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
  int64_t C;
  if (x->ndim < 1) return cvl_fail(e, CVL_ESHAPE, 1, "expected x {..., C}, got a scalar");
  C = x->dim[x->ndim - 1];
  for (int i = SCALE; i <= RUNNING_VAR; i++) {
    const cvl_shape *s = &a->in[i]->shape;
    if (s->ndim != 1 || s->dim[0] != C)
      return cvl_fail(e, CVL_ESHAPE, i + 1, "expected %s {%" PRId64 "} for x %s, got %s", names[i],
                      C, cvl_shape_text(x, text), cvl_shape_text(s, got));
    if (a->in[i]->dtype != y->dtype) return other_type(a, i, e);
  }
  if (a->in[RESIDUAL] != NULL && !cvl_shape_equal(&a->in[RESIDUAL]->shape, x))
    return cvl_fail(e, CVL_ESHAPE, RESIDUAL + 1, "expected residual %s as x, got %s",
                    cvl_shape_text(x, text), cvl_shape_text(&a->in[RESIDUAL]->shape, got));
  if (a->in[RESIDUAL] != NULL && a->in[RESIDUAL]->dtype != y->dtype)
    return other_type(a, RESIDUAL, e);
  if (o->momentum > 1)
    return cvl_fail(e, CVL_EARG, 0, "momentum must be between 0 and 1, got %g", o->momentum);
  if (o->training && cvl_shape_count(x) == 0)
    return cvl_fail(e, CVL_ESHAPE, 1, "an empty batch %s has no mean", cvl_shape_text(x, text));
  y->shape = *x;
  return 0;
}

static cvl_tensor *mean_of(cvl_scope *s, cvl_tensor *x, int64_t rows) {
  cvl_ints axes = {0};
  if (x == NULL) return NULL;
  for (int i = 0; i < x->shape.ndim - 1; i++) axes.v[axes.n++] = i;
  return cvl_mul_scalar(s, cvl_sum(s, x, &axes, true), 1 / (double)rows);
}

extern const cvl_op cvl_op_gt;

/* The formulas above backward(), with the statistics made anew from x, so that they too can be differentiated. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cvl_batch_norm_options *o = a->options;
  cvl_tensor *x = a->in[X], *scale = a->in[SCALE], *g = gy, *centred, *rstd, *xhat, *in_mean,
             *in_slope;
  int64_t C = cvl_count(scale), rows = C > 0 ? cvl_count(x) / C : 0;
  if (o->activation == CVL_NORM_RELU)
    g = cvl_mul(s, gy,
                cvl_cast(s, cvl_call(s, &cvl_op_gt, NULL, 2, y, cvl_scalar(s, y, 0)), gy->dtype));
  if (i == OFFSET || i == RESIDUAL) return i == OFFSET ? cvl_sum_to(s, g, &scale->shape) : g;
  if (o->training && (i == RUNNING_MEAN || i == RUNNING_VAR)) return cvl_full_like(s, scale, 0);
  if (o->training) {
    centred = cvl_sub(s, x, mean_of(s, x, rows));
    rstd = mean_of(s, cvl_square(s, centred), rows);
  } else {
    centred = cvl_sub(s, x, a->in[RUNNING_MEAN]);
    rstd = a->in[RUNNING_VAR];
  }
  rstd = cvl_div(s, cvl_scalar(s, x, 1), cvl_sqrt(s, cvl_add_scalar(s, rstd, o->epsilon)));
  xhat = cvl_mul(s, centred, rstd);
  if (i == SCALE) return cvl_sum_to(s, cvl_mul(s, g, xhat), &scale->shape);
  if (o->training) {
    in_mean = mean_of(s, g, rows);
    in_slope = cvl_mul(s, xhat, mean_of(s, cvl_mul(s, g, xhat), rows));
    g = cvl_sub(s, cvl_sub(s, g, in_mean), in_slope);
  }
  g = cvl_mul(s, cvl_mul(s, scale, rstd), g);
  if (i == RUNNING_MEAN) return cvl_sum_to(s, cvl_neg(s, g), &scale->shape);
  if (i == RUNNING_VAR)
    return cvl_sum_to(s, cvl_mul_scalar(s, cvl_mul(s, g, cvl_mul(s, xhat, rstd)), -0.5),
                      &scale->shape);
  return g;
}

#define O cvl_batch_norm_options
static const char *const activations[] = {"identity", "relu", NULL};

#define CHANNELS(rows) \
  "rand{" rows "} + 0.5, randn{" rows "}, randn{" rows "}, rand{" rows "} + 0.5"

CVL_OP(batch_norm,
  .doc = "batch_norm(x, scale, offset, running_mean, running_var, residual, {momentum = 0.99, epsilon = 1e-3, training = false, activation = \"identity\"}) -> y\n"
         "y = act((x - mean) / sqrt(var + epsilon) * scale + offset + residual), channel by channel: x {..., C}, residual as "
         "x or nil, the others {C}; act is \"identity\" or \"relu\". In training, mean and biased variance are the batch's, and "
         "the running ones become momentum*running + (1 - momentum)*batch, in place. Ioffe & Szegedy 2015, "
         "arXiv:1502.03167, alg. 1; momentum as in TensorFlow.",
  .n_in = INPUTS, .n_optional = 1, .floating = true,
  .drops = 1 << RESIDUAL, .in_place = 1 << RUNNING_MEAN | 1 << RUNNING_VAR,
  CVL_OPTIONS(O, CVL_NUMBER(O, momentum, 0.99, CVL_NOT_NEGATIVE, "how much of the running statistics stays at each step"),
              CVL_NUMBER(O, epsilon, 1e-3, CVL_NOT_NEGATIVE, "added to the variance"),
              CVL_FLAG(O, training, 0, "use the batch's statistics and update the running ones"),
              CVL_CHOICE(O, activation, CVL_NORM_IDENTITY, activations, "\"identity\" or \"relu\", in the same pass")),
  .shape = shape, .vjp = vjp,
  CVL_SAMPLES("batch_norm(randn{4, 3}, " CHANNELS("3") ", nil, {training = true})",
              "batch_norm(randn{2, 3, 2, 2}, " CHANNELS("2") ", randn{2, 3, 2, 2}, {training = true, activation = \"relu\", epsilon = 1e-5})",
              "batch_norm(randn{2, 2, 3}:transpose(2, 3), " CHANNELS("2") ", nil, {training = true, momentum = 0.9})",
              "batch_norm(randn{2, 3, 2}, " CHANNELS("2") ", randn{2, 3, 2}, {activation = \"relu\"})",
              "batch_norm(randn{5, 1}, " CHANNELS("1") ")"),
  CVL_REJECTS({"batch_norm(randn{4, 3}, randn{2}, randn{3}, randn{3}, rand{3})", "expected scale {3} for x {4, 3}, got {2}"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3}, rand{3}, randn{3})", "expected residual {4, 3} as x, got {3}"},
              {"batch_norm(randn{0, 3}, randn{3}, randn{3}, randn{3}, rand{3}, nil, {training = true})", "an empty batch {0, 3} has no mean"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3, 2}:select(2, 1), rand{3})", "changed in place must be dense"},
              {"batch_norm(randn{4, 3}, randn{3}, randn{3}, randn{3}, rand{3}, nil, {momentum = 2})", "momentum must be between 0 and 1, got 2"}));
#endif

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
** find what is still in the caches. Statistics: blocks of rows are summed, measured from the mean so far,
** and merged in double (Chan, Golub & LeVeque 1983), so that a large mean costs no digits.
*/
#include "ops/batch_norm.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"

enum { X, SCALE, OFFSET, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, INPUTS };
enum { MEAN, RSTD }; /* saved: {C} each, of x's type; RSTD = 1 / sqrt(var + epsilon) */

#ifndef CVL_DESCRIBE

/* Rows are cut into chunks by their number and width only. */
enum {
  MOST_CHUNKS = 64,
  CHUNK_ELEMENTS = 32768,
  BLOCK_ELEMENTS = 4096,
  LEAST_BLOCK_ROWS = 4,
  MOST_BLOCK_ROWS = 64
};

/* Where gy counts: everywhere; where x, normalised, is positive; where y is; the same and kept in `masked`. */
typedef enum { ALL, WHERE_NORMAL, WHERE_Y, WHERE_Y_KEPT } mask;

typedef struct {
  int64_t rows, C, chunks, chunk_rows;
  const real *x, *residual, *y, *gy;
  real *out, *masked;        /* y or gx; the residual's gradient */
  const real *mean, *factor; /* {C}: y = (x - mean) factor + shift, */
  const real *shift, *slope; /* {C}: or gx = factor (g - shift - (x - mean) slope), */
  const real *offset;        /* {C}: where (x - mean) factor + offset > 0 */
  double *sums;              /* {chunks, 2, C} */
  real *scratch;             /* {chunks, 3, C} */
  bool relu;                 /* forward */
  mask where;                /* backward */
} job;

static void cut(job *j, const cvl_tensor *x) {
  int64_t chunks;
  j->C = x->shape.dim[x->shape.ndim - 1];
  j->rows = j->C > 0 ? cvl_count(x) / j->C : 0;
  chunks = (j->rows * j->C + CHUNK_ELEMENTS - 1) / CHUNK_ELEMENTS;
  chunks = chunks > MOST_CHUNKS ? MOST_CHUNKS : chunks < 1 ? 1 : chunks;
  j->chunk_rows = (j->rows + chunks - 1) / chunks;
  j->chunks = j->chunk_rows > 0 ? (j->rows + j->chunk_rows - 1) / j->chunk_rows : 0;
}

/* One expression for both ways: backward must see the sign that forward saw. */
static inline real normal(real x, real mean, real factor, real shift) {
  return (x - mean) * factor + shift;
}

static int64_t last_row(const job *j, int64_t chunk) {
  int64_t last = (chunk + 1) * j->chunk_rows;
  return last < j->rows ? last : j->rows;
}

/* The buffers for sums of two kinds per channel and chunk. */
static int begin_sums(job *j, cvl_err *e) {
  size_t count = (size_t)(j->chunks * j->C);
  j->sums = cvl_alloc_array(2 * count, sizeof *j->sums);
  j->scratch = cvl_alloc_array(3 * count, sizeof *j->scratch);
  if (j->sums != NULL && j->scratch != NULL) return 0;
  return cvl_fail_memory(e, (long long)(count * (2 * sizeof *j->sums + 3 * sizeof *j->scratch)));
}

static void end_sums(job *j) {
  cvl_free(j->sums);
  cvl_free(j->scratch);
}

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

static void block_mean(const real *x, int64_t n, int64_t C, real *restrict m) {
  real scale = (real)1 / (real)n;
  memset(m, 0, (size_t)C * sizeof *m);
  for (int64_t r = 0; r < n; r++) {
    const real *restrict p = x + r * C;
    for (int64_t c = 0; c < C; c++) m[c] += p[c];
  }
  for (int64_t c = 0; c < C; c++) m[c] *= scale;
}

static void block_moments(const real *x, int64_t n, int64_t C, const real *restrict m,
                          real *restrict sum, real *restrict squares) {
  int64_t r = 0;
  memset(sum, 0, (size_t)C * sizeof *sum);
  memset(squares, 0, (size_t)C * sizeof *squares);
  for (; r + 4 <= n; r += 4) { /* four rows for each load and store of the sums */
    const real *restrict p = x + r * C, *restrict q = p + C, *restrict u = q + C;
    const real *restrict v = u + C;
    for (int64_t c = 0; c < C; c++) {
      real a = p[c] - m[c], b = q[c] - m[c], d = u[c] - m[c], f = v[c] - m[c];
      sum[c] += (a + b) + (d + f);
      squares[c] += (a * a + b * b) + (d * d + f * f);
    }
  }
  for (; r < n; r++) {
    const real *restrict p = x + r * C;
    for (int64_t c = 0; c < C; c++) {
      real a = p[c] - m[c];
      sum[c] += a;
      squares[c] += a * a;
    }
  }
}

static int64_t block_rows(int64_t C) {
  int64_t n = BLOCK_ELEMENTS / C;
  return n < LEAST_BLOCK_ROWS ? LEAST_BLOCK_ROWS : n > MOST_BLOCK_ROWS ? MOST_BLOCK_ROWS : n;
}

/* x is measured from the mean so far: its squares are of the size of the variance, whatever the mean is. */
static void moments_of_chunk(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t C = j->C, first = chunk * j->chunk_rows, last = last_row(j, chunk), block = block_rows(C);
  double *restrict mean = j->sums + chunk * 2 * C, *restrict m2 = mean + C;
  real *restrict m = j->scratch + chunk * 3 * C, *restrict sum = m + C, *restrict squares = sum + C;
  (void)worker;
  for (int64_t r = first; r < last; r += block) {
    int64_t n = last - r < block ? last - r : block;
    if (r == first)
      block_mean(j->x + r * C, n, C, m);
    else
      for (int64_t c = 0; c < C; c++) m[c] = (real)mean[c];
    block_moments(j->x + r * C, n, C, m, sum, squares);
    merge_block(C, r - first, mean, m2, n, m, sum, squares);
  }
}

/* mean and rstd of the batch, and the running statistics. */
static int batch_moments(job *j, const cvl_batch_norm_options *o, real *mean, real *rstd,
                         real *running_mean, real *running_var, cvl_err *e) {
  int rc = -1;
  if (begin_sums(j, e) != 0) goto done;
  cvl_parallel(j->chunks, moments_of_chunk, j);
  for (int64_t k = 1; k < j->chunks; k++) /* into chunk 0, in order */
    merge(j->C, k * j->chunk_rows, j->sums, j->sums + j->C, last_row(j, k) - k * j->chunk_rows,
          j->sums + 2 * k * j->C, j->sums + (2 * k + 1) * j->C);
  for (int64_t c = 0; c < j->C; c++) {
    double m = j->sums[c], var = j->sums[j->C + c] / (double)j->rows;
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
  int64_t C = j->C, chunk = j->chunks - 1 - from_end, last = last_row(j, chunk);
  const real *restrict mean = j->mean, *restrict factor = j->factor, *restrict shift = j->shift;
  real floor = j->relu ? 0 : -INFINITY;
  (void)worker;
  for (int64_t r = chunk * j->chunk_rows; r < last; r++) {
    const real *restrict x = j->x + r * C;
    real *restrict y = j->out + r * C;
    if (j->residual != NULL) {
      const real *restrict add = j->residual + r * C;
      for (int64_t c = 0; c < C; c++) {
        real v = normal(x[c], mean[c], factor[c], shift[c]) + add[c];
        y[c] = v < floor ? floor : v; /* NaN stays */
      }
    } else {
      for (int64_t c = 0; c < C; c++) {
        real v = normal(x[c], mean[c], factor[c], shift[c]);
        y[c] = v < floor ? floor : v;
      }
    }
  }
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const cvl_tensor *x = a->in[X];
  const real *scale = cvl_data(a->in[SCALE]);
  cvl_shape channels = a->in[SCALE]->shape;
  cvl_tensor *factor = NULL;
  real *mean, *rstd, *f;
  job j = {.x = cvl_data(x), .out = cvl_data(y), .relu = o->activation == CVL_NORM_RELU};
  int rc = -1;
  cut(&j, x);
  if (a->in[RESIDUAL] != NULL) j.residual = cvl_data(a->in[RESIDUAL]);
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
    for (int64_t c = 0; c < j.C; c++) {
      mean[c] = running_mean[c];
      rstd[c] = (real)(1 / sqrt((double)running_var[c] + o->epsilon));
    }
  }
  for (int64_t c = 0; c < j.C; c++) f[c] = rstd[c] * scale[c];
  j.mean = mean;
  j.factor = f;
  j.shift = cvl_data(a->in[OFFSET]);
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

/* Rows [first, last); `where` is a constant where this is called, so that each has a loop of its own. */
static inline __attribute__((always_inline)) void block_sums(const job *j, int64_t first,
                                                             int64_t last, real *restrict s,
                                                             real *restrict d, mask where) {
  const real *restrict mean = j->mean, *restrict factor = j->factor, *restrict offset = j->offset;
  const int64_t C = j->C;
  int64_t r = first;
  memset(s, 0, (size_t)C * sizeof *s);
  memset(d, 0, (size_t)C * sizeof *d);
  for (; r + 2 <= last; r += 2) { /* two rows for each load and store of the sums */
    const real *restrict x = j->x + r * C, *restrict gy = j->gy + r * C;
    const real *restrict y = where >= WHERE_Y ? j->y + r * C : x;
    real *restrict masked = where == WHERE_Y_KEPT ? j->masked + r * C : NULL;
    for (int64_t c = 0; c < C; c++) {
      real u = gy[c], v = gy[C + c];
      if (where == WHERE_NORMAL) {
        u = normal(x[c], mean[c], factor[c], offset[c]) > 0 ? u : 0;
        v = normal(x[C + c], mean[c], factor[c], offset[c]) > 0 ? v : 0;
      }
      if (where >= WHERE_Y) {
        u = y[c] > 0 ? u : 0;
        v = y[C + c] > 0 ? v : 0;
      }
      if (where == WHERE_Y_KEPT) {
        masked[c] = u;
        masked[C + c] = v;
      }
      s[c] += u + v;
      d[c] += u * (x[c] - mean[c]) + v * (x[C + c] - mean[c]);
    }
  }
  for (; r < last; r++) {
    const real *restrict x = j->x + r * C, *restrict gy = j->gy + r * C;
    const real *restrict y = where >= WHERE_Y ? j->y + r * C : x;
    real *restrict masked = where == WHERE_Y_KEPT ? j->masked + r * C : NULL;
    for (int64_t c = 0; c < C; c++) {
      real u = gy[c];
      if (where == WHERE_NORMAL) u = normal(x[c], mean[c], factor[c], offset[c]) > 0 ? u : 0;
      if (where >= WHERE_Y) u = y[c] > 0 ? u : 0;
      if (where == WHERE_Y_KEPT) masked[c] = u;
      s[c] += u;
      d[c] += u * (x[c] - mean[c]);
    }
  }
}

static void sums_of_chunk(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t C = j->C, last = last_row(j, chunk), block = block_rows(C);
  double *restrict sum = j->sums + chunk * 2 * C, *restrict dot = sum + C;
  real *restrict s = j->scratch + chunk * 3 * C, *restrict d = s + C;
  (void)worker;
  for (int64_t r = chunk * j->chunk_rows; r < last; r += block) {
    int64_t end = last - r < block ? last : r + block;
    if (j->where == ALL)
      block_sums(j, r, end, s, d, ALL);
    else if (j->where == WHERE_NORMAL)
      block_sums(j, r, end, s, d, WHERE_NORMAL);
    else if (j->where == WHERE_Y)
      block_sums(j, r, end, s, d, WHERE_Y);
    else
      block_sums(j, r, end, s, d, WHERE_Y_KEPT);
    for (int64_t c = 0; c < C; c++) {
      sum[c] += (double)s[c];
      dot[c] += (double)d[c];
    }
  }
}

static void data_of_chunk(void *context, int64_t from_end, int worker) {
  const job *j = context;
  int64_t C = j->C, chunk = j->chunks - 1 - from_end, last = last_row(j, chunk);
  const real *restrict mean = j->mean, *restrict factor = j->factor, *restrict offset = j->offset;
  const real *restrict shift = j->shift, *restrict slope = j->slope;
  const real *g = j->where == WHERE_Y_KEPT ? j->masked : j->gy;
  (void)worker;
  for (int64_t r = chunk * j->chunk_rows; r < last; r++) {
    const real *restrict x = j->x + r * C, *restrict gy = g + r * C;
    real *restrict gx = j->out + r * C;
    if (j->where == WHERE_NORMAL)
      for (int64_t c = 0; c < C; c++) {
        real v = normal(x[c], mean[c], factor[c], offset[c]) > 0 ? gy[c] : 0;
        gx[c] = factor[c] * (v - shift[c] - (x[c] - mean[c]) * slope[c]);
      }
    else if (j->where == WHERE_Y)
      for (int64_t c = 0; c < C; c++) {
        real v = j->y[r * C + c] > 0 ? gy[c] : 0;
        gx[c] = factor[c] * (v - shift[c] - (x[c] - mean[c]) * slope[c]);
      }
    else
      for (int64_t c = 0; c < C; c++)
        gx[c] = factor[c] * (gy[c] - shift[c] - (x[c] - mean[c]) * slope[c]);
  }
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cvl_batch_norm_options *o = a->options;
  const real *scale = cvl_data(a->in[SCALE]), *rstd = cvl_data(a->saved[RSTD]);
  real *gscale = gx[SCALE] != NULL ? cvl_data(gx[SCALE]) : NULL;
  real *goffset = gx[OFFSET] != NULL ? cvl_data(gx[OFFSET]) : NULL, *channel = NULL;
  real *gmean = NULL, *gvar = NULL;
  job j = {.x = cvl_data(a->in[X]),
           .y = cvl_data(y),
           .gy = cvl_data(gy),
           .mean = cvl_data(a->saved[MEAN]),
           .offset = cvl_data(a->in[OFFSET])};
  int rc = -1;
  cut(&j, a->in[X]);
  if (o->activation == CVL_NORM_RELU)
    j.where = a->in[RESIDUAL] == NULL ? WHERE_NORMAL
              : gx[RESIDUAL] == NULL  ? WHERE_Y
                                      : WHERE_Y_KEPT;
  if (gx[RESIDUAL] != NULL) {
    j.masked = cvl_data(gx[RESIDUAL]);
    if (j.where == ALL) memcpy(j.masked, j.gy, (size_t)(j.rows * j.C) * sizeof(real));
  }
  if (gx[RUNNING_MEAN] != NULL) gmean = cvl_data(gx[RUNNING_MEAN]);
  if (gx[RUNNING_VAR] != NULL) gvar = cvl_data(gx[RUNNING_VAR]);
  if (begin_sums(&j, e) != 0) goto done;
  if ((channel = cvl_alloc_array((size_t)(3 * j.C), sizeof *channel)) == NULL) {
    cvl_fail_memory(e, 3 * j.C * (long long)sizeof *channel);
    goto done;
  }
  j.factor = channel;
  j.shift = channel + j.C;
  j.slope = channel + 2 * j.C;
  for (int64_t c = 0; c < j.C; c++) channel[c] = rstd[c] * scale[c];
  cvl_parallel(j.chunks, sums_of_chunk, &j);
  for (int64_t c = 0; c < j.C; c++) {
    double sum = 0, dot = 0, r = (double)rstd[c];
    for (int64_t k = 0; k < j.chunks; k++) {
      sum += j.sums[2 * k * j.C + c];
      dot += j.sums[(2 * k + 1) * j.C + c];
    }
    if (gscale != NULL) gscale[c] = (real)(dot * r);
    if (goffset != NULL) goffset[c] = (real)sum;
    if (gmean != NULL) gmean[c] = o->training ? 0 : (real)(-sum * r * (double)scale[c]);
    if (gvar != NULL) gvar[c] = o->training ? 0 : (real)(-0.5 * dot * r * r * r * (double)scale[c]);
    if (!o->training || j.rows == 0) continue; /* the other two stay 0 */
    channel[j.C + c] = (real)(sum / (double)j.rows);
    channel[2 * j.C + c] = (real)(dot * r * r / (double)j.rows);
  }
  if (gx[X] != NULL) {
    j.out = cvl_data(gx[X]);
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

/* The update rules on the device: the table of parameters is made here and goes there with every step. */
#include "optim/rules.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/op.h"
#include "cuda/update.h"

/* What a step needs on the device, in one block: the table, then (with squares) doubles. */
typedef struct {
  cvl_cuda *d;
  char *memory;
  size_t bytes;
  cvl_cuda_runs runs;
  double *scale, *squares, *partial; /* one, {n}, {chunks} */
} step;

static void end(step *s) { cvl_cache_free(&s->d->base, s->memory, s->bytes); }

/* `bias` fills in what a rule adds to the table; NULL: nothing. */
static int begin(step *s, cvl_cuda *d, const cvl_optim_run *runs, int n, bool squares,
                 void (*bias)(const void *options, const cvl_optim_run *, cvl_cuda_run *),
                 const void *options, cvl_err *e) {
  const size_t table_bytes = (size_t)n * sizeof(cvl_cuda_run);
  cvl_cuda_run *table;
  int rc = -1;
  *s = (step){.d = d, .runs = {.n = n}};
  if (cvl_cuda_use(d, e) != 0) return -1;
  if ((table = cvl_alloc_array((size_t)n, sizeof *table)) == NULL)
    return cvl_fail_memory(e, (long long)table_bytes);
  for (int i = 0; i < n; i++) {
    const cvl_optim_run *r = &runs[i];
    table[i] = (cvl_cuda_run){.count = r->count,
                              .first = s->runs.chunks,
                              .g = r->g,
                              .w = r->w,
                              .gradient = r->update.gradient,
                              .lr = r->update.lr};
    memcpy(table[i].state, r->state, sizeof r->state);
    if (bias != NULL) bias(options, r, &table[i]);
    s->runs.chunks += cvl_cuda_update_chunks(r->count);
  }
  s->bytes = table_bytes;
  if (squares) s->bytes += (size_t)(1 + n + s->runs.chunks) * sizeof(double);
  if ((s->memory = cvl_cache_alloc(&d->base, s->bytes, e)) == NULL) goto done;
  if (d->base.from_host(&d->base, s->memory, table, table_bytes, e) != 0) {
    end(s);
    goto done;
  }
  s->runs.run = (const cvl_cuda_run *)(void *)s->memory;
  s->scale = (double *)(void *)(s->memory + table_bytes);
  s->squares = s->scale + 1;
  s->partial = s->squares + n;
  rc = 0;
done:
  cvl_free(table);
  return rc;
}

/* The gradients' common factor, made on the device from their norm. */
static int clip(step *s, cvl_dtype type, double most, cvl_err *e) {
  if (most <= 0) return 0;
  if (CVL_CUDA_LAUNCH(
          s->d, e, cvl_cuda_squares(type, &s->runs, s->partial, s->squares, s->d->stream)) != 0 ||
      CVL_CUDA_LAUNCH(
          s->d, e, cvl_cuda_clip_scale(s->runs.n, most, s->squares, s->scale, s->d->stream)) != 0)
    return -1;
  s->runs.scale = s->scale;
  return 0;
}

static int sgd(cvl_device *base, cvl_dtype type, const void *options, double clip_norm,
               const cvl_optim_run *runs, int n, cvl_err *e) {
  const cvl_sgd_options *o = options;
  step s;
  int rc = -1;
  if (begin(&s, cvl_cuda_of(base), runs, n, clip_norm > 0, NULL, o, e) != 0) return -1;
  if (clip(&s, type, clip_norm, e) == 0)
    rc =
        CVL_CUDA_LAUNCH(s.d, e, cvl_cuda_sgd(type, &s.runs, o->momentum, o->nesterov, s.d->stream));
  end(&s);
  return rc;
}

static void adam_bias(const void *options, const cvl_optim_run *r, cvl_cuda_run *to) {
  const cvl_adam_options *o = options;
  to->lr /= 1 - pow(o->beta1, (double)r->update.step);
  to->square_scale = 1 / (1 - pow(o->beta2, (double)r->update.step));
}

static int adam(cvl_device *base, cvl_dtype type, const void *options, double clip_norm,
                const cvl_optim_run *runs, int n, cvl_err *e) {
  const cvl_adam_options *o = options;
  step s;
  int rc = -1;
  if (begin(&s, cvl_cuda_of(base), runs, n, clip_norm > 0, adam_bias, o, e) != 0) return -1;
  if (clip(&s, type, clip_norm, e) == 0)
    rc = CVL_CUDA_LAUNCH(s.d, e,
                         cvl_cuda_adam(type, &s.runs, o->beta1, o->beta2, o->epsilon, s.d->stream));
  end(&s);
  return rc;
}

static int squares_of(cvl_device *base, cvl_dtype type, const cvl_optim_run *runs, int n,
                      double *squares, cvl_err *e) {
  step s;
  int rc = -1;
  if (begin(&s, cvl_cuda_of(base), runs, n, true, NULL, NULL, e) != 0) return -1;
  if (CVL_CUDA_LAUNCH(s.d, e, cvl_cuda_squares(type, &s.runs, s.partial, s.squares, s.d->stream)) ==
      0)
    rc = base->to_host(base, squares, s.squares, (size_t)n * sizeof *squares, e);
  end(&s);
  return rc;
}

/* One rule's kernels for one element type. */
#define KERNELS(rule, update_as, suffix, type)                                           \
  static int rule##_##suffix(cvl_device *d, const void *options, double clip_norm,       \
                             const cvl_optim_run *runs, int n, cvl_err *e) {             \
    return update_as(d, type, options, clip_norm, runs, n, e);                           \
  }                                                                                      \
  extern const cvl_optim_kernels cvl_optim_##rule##_cuda_##suffix;                       \
  const cvl_optim_kernels cvl_optim_##rule##_cuda_##suffix = {.update = rule##_##suffix, \
                                                              .squares = squares_##suffix};

static int squares_f32(cvl_device *d, const cvl_optim_run *runs, int n, double *squares,
                       cvl_err *e) {
  return squares_of(d, CVL_F32, runs, n, squares, e);
}
static int squares_f64(cvl_device *d, const cvl_optim_run *runs, int n, double *squares,
                       cvl_err *e) {
  return squares_of(d, CVL_F64, runs, n, squares, e);
}

KERNELS(SGD, sgd, f32, CVL_F32)
KERNELS(SGD, sgd, f64, CVL_F64)
KERNELS(Adam, adam, f32, CVL_F32)
KERNELS(Adam, adam, f64, CVL_F64)
KERNELS(AdamW, adam, f32, CVL_F32)
KERNELS(AdamW, adam, f64, CVL_F64)

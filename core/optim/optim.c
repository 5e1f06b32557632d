#include "optim/optim.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/flush.h"

enum { CHUNK = 1 << 15 }; /* elements; parameters are laid end to end for this */

#define X(name) extern const cvl_optim_type cvl_optim_##name;
#include "optim_list.h" /* generated: X(Adam) X(AdamW) ... */
#undef X

static const cvl_optim_type *const types[] = {
#define X(name) &cvl_optim_##name,
#include "optim_list.h"
#undef X
};

const cvl_optim_type *const *cvl_optim_types(int *n) {
  *n = sizeof types / sizeof types[0];
  return types;
}

int cvl_optimizer_check(const cvl_optimizer *o, cvl_err *e) {
  const cvl_optim_options *c = o->options;
  if (c->clip_norm > 0 && c->clip_value > 0)
    return cvl_fail(e, CVL_EARG, 0, "clip_norm and clip_value exclude each other");
  if (o->type->check != NULL && o->type->check(o->options, e) != 0) return -1;
  if (o->type->states(o->options) != o->states)
    return cvl_fail(e, CVL_ESTATE, 0,
                    "this change needs other state tensors: make a new optimizer");
  return 0;
}

cvl_optimizer *cvl_optimizer_new(const cvl_optim_type *type, const void *options, int n,
                                 cvl_err *e) {
  cvl_optimizer *o = cvl_alloc(sizeof *o);
  if (o == NULL) goto no_memory;
  o->type = type;
  if ((o->options = cvl_alloc(type->option_bytes)) == NULL) goto no_memory;
  memcpy(o->options, options, type->option_bytes);
  if ((o->slot = cvl_alloc_array((size_t)n, sizeof *o->slot)) == NULL) goto no_memory;
  o->states = type->states(options);
  if (cvl_optimizer_check(o, e) == 0) return o;
  cvl_optimizer_free(o);
  return NULL;
no_memory:
  cvl_optimizer_free(o);
  cvl_fail_memory(e, (long long)n * (long long)sizeof *o->slot);
  return NULL;
}

void cvl_optimizer_free(cvl_optimizer *o) {
  if (o == NULL) return;
  for (int i = 0; i < o->n; i++) {
    for (int k = 0; k < o->states; k++) cvl_release(o->slot[i].state[k]);
    cvl_release(o->slot[i].w);
  }
  cvl_free(o->slot);
  cvl_free(o->options);
  cvl_free(o);
}

/* What works on w's device; NULL for the CPU, and -1 with an error where there is nothing. */
static int device_kernels(const cvl_optimizer *o, const cvl_tensor *w, const cvl_optim_kernels **k,
                          cvl_err *e) {
  cvl_device *d = cvl_device_of(w);
  *k = NULL;
  if (d->host_visible || (*k = d->optim_kernels(d, o->type->name, (int)w->dtype)) != NULL) return 0;
  return cvl_fail(e, CVL_EDEVICE, 0, "there is no kernel for %s parameters on device %s",
                  cvl_dtype_name(w->dtype), d->name);
}

/* On a device one launch is for all parameters. */
static int check_like_first(const cvl_optimizer *o, const cvl_tensor *w, cvl_err *e) {
  const cvl_tensor *first = o->n > 0 ? o->slot[0].w : w;
  const cvl_optim_kernels *k;
  if (cvl_device_of(w) != cvl_device_of(first))
    return cvl_fail(e, CVL_EDEVICE, 0, "parameters on one device expected, got %s and %s",
                    cvl_device_of(first)->name, cvl_device_of(w)->name);
  if (!cvl_device_of(w)->host_visible && w->dtype != first->dtype)
    return cvl_fail(e, CVL_EDTYPE, 0, "parameters of one type expected on device %s, got %s and %s",
                    cvl_device_of(w)->name, cvl_dtype_name(first->dtype), cvl_dtype_name(w->dtype));
  return device_kernels(o, w, &k, e);
}

int cvl_optimizer_add(cvl_optimizer *o, cvl_tensor *w, double lr_factor, double weight_decay,
                      cvl_err *e) {
  cvl_optim_slot *s = &o->slot[o->n];
  int number = o->n + 1;
  for (int i = 0; i < o->n; i++)
    if (o->slot[i].w == w)
      return cvl_fail(e, CVL_EARG, 0, "parameters %d and %d are the same tensor", i + 1, number);
  if (w->storage == NULL)
    return cvl_fail(e, CVL_ESTATE, 0, "the data of parameter %d has been freed", number);
  if (w->dtype != CVL_F32 && w->dtype != CVL_F64)
    return cvl_fail(e, CVL_EDTYPE, 0, "parameter %d must be float32 or float64, got %s", number,
                    cvl_dtype_name(w->dtype));
  if (!cvl_is_dense(w)) return cvl_fail(e, CVL_EARG, 0, "parameter %d is a view with gaps", number);
  if (w->node != NULL)
    return cvl_fail(e, CVL_EARG, 0, "parameter %d is a result, not a leaf", number);
  if (check_like_first(o, w, e) != 0) return -1;
  *s = (cvl_optim_slot){.lr_factor = lr_factor, .weight_decay = weight_decay};
  for (int k = 0; k < o->states; k++)
    if ((s->state[k] = cvl_tensor_zeros(&w->shape, w->dtype, cvl_device_of(w), e)) == NULL) {
      while (k-- > 0) cvl_release(s->state[k]);
      return -1;
    }
  s->w = cvl_retain(w);
  o->n++;
  return 0;
}

void cvl_optimizer_zero_grad(cvl_optimizer *o) {
  for (int i = 0; i < o->n; i++) {
    cvl_release(o->slot[i].w->grad);
    o->slot[i].w->grad = NULL;
  }
}

/* ---------------------------------------------------------------------------------------------- one pass over them all */

/* The parameters that have a gradient, end to end: `run` is one of them, its elements start at `first`. */
typedef struct {
  const cvl_optim_slot *slot;
  cvl_tensor *g;
  cvl_tensor *copy; /* of a gradient with gaps: owned */
  int index;        /* of the parameter */
  int64_t first, count;
  cvl_update update;
} run;

typedef struct {
  const cvl_optimizer *o;
  run *runs;
  int n;
  int64_t total;
  double *
      squares; /* {n, chunks of that run}: run i's start at first / CHUNK + i, which leaves room for a cut chunk */
} pass;

static void end_pass(pass *p) {
  for (int i = 0; i < p->n; i++) cvl_release(p->runs[i].copy);
  cvl_free(p->runs);
  cvl_free(p->squares);
}

static int begin_pass(pass *p, const cvl_optimizer *o, cvl_err *e) {
  *p = (pass){.o = o, .runs = cvl_alloc_array((size_t)o->n, sizeof *p->runs)};
  if (p->runs == NULL) return cvl_fail_memory(e, o->n * (long long)sizeof *p->runs);
  for (int i = 0; i < o->n; i++) {
    const cvl_tensor *w = o->slot[i].w;
    cvl_tensor *g = w->grad;
    run *r = &p->runs[p->n];
    if (g == NULL) continue;
    if (g->storage == NULL || g->dtype != w->dtype || !cvl_shape_equal(&g->shape, &w->shape) ||
        cvl_device_of(g) != cvl_device_of(w)) {
      char want[CVL_SHAPE_TEXT], got[CVL_SHAPE_TEXT];
      cvl_fail(e, CVL_ESTATE, 0, "parameter %d is %s %s, its gradient %s %s", i + 1,
               cvl_dtype_name(w->dtype), cvl_shape_text(&w->shape, want), cvl_dtype_name(g->dtype),
               cvl_shape_text(&g->shape, got));
      goto fail;
    }
    *r = (run){.slot = &o->slot[i], .g = g, .index = i, .first = p->total, .count = cvl_count(w)};
    p->n++;
    if (!cvl_is_dense(g)) {
      if ((r->copy = cvl_tensor_clone(g, cvl_device_of(g), e)) == NULL) goto fail;
      r->g = r->copy;
    }
    p->total += r->count;
  }
  return 0;
fail:
  end_pass(p);
  return -1;
}

static int64_t chunks(const pass *p) { return (p->total + CHUNK - 1) / CHUNK; }

/* The run that holds element `at`. */
static int find_run(const pass *p, int64_t at) {
  int low = 0, high = p->n - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (p->runs[middle].first <= at)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* Calls piece(p, run, offset in it, count) for the parts of runs in a chunk. */
static void each_piece(const pass *p, int64_t chunk,
                       void (*piece)(const pass *, int, int64_t, int64_t)) {
  int64_t at = chunk * CHUNK, end = at + CHUNK < p->total ? at + CHUNK : p->total;
  for (int i = find_run(p, at); at < end; i++) {
    const run *r = &p->runs[i];
    int64_t stop = r->first + r->count < end ? r->first + r->count : end;
    if (stop > at) piece(p, i, at - r->first, stop - at);
    at = stop > at ? stop : at;
  }
}

static char *element(const cvl_tensor *x, int64_t i) {
  return (char *)cvl_data(x) + i * (int64_t)cvl_dtype_size(x->dtype);
}

static void update_piece(const pass *p, int i, int64_t offset, int64_t n) {
  const run *r = &p->runs[i];
  void *state[CVL_MAX_STATES] = {NULL};
  for (int k = 0; k < p->o->states; k++) state[k] = element(r->slot->state[k], offset);
  p->o->type->update(p->o->options, &r->update, r->g->dtype, n, element(r->g, offset),
                     element(r->slot->w, offset), state);
}

/* What a parameter without a gradient has left of a velocity or of moments becomes ever smaller. */
static void update_chunk(void *context, int64_t chunk, int worker) {
  unsigned former = cvl_flush_begin();
  (void)worker;
  each_piece(context, chunk, update_piece);
  cvl_flush_end(former);
}

static void squares_piece(const pass *p, int i, int64_t offset, int64_t n) {
  const run *r = &p->runs[i];
  const cvl_update_kernels *k = cvl_update_used();
  const void *g = element(r->g, offset);
  p->squares[(r->first + offset) / CHUNK + i] =
      r->g->dtype == CVL_F32 ? k->squares_f32(n, g) : k->squares_f64(n, g);
}

static void squares_chunk(void *context, int64_t chunk, int worker) {
  (void)worker;
  each_piece(context, chunk, squares_piece);
}

/* The runs as a device's kernels take them; NULL with an error. */
static cvl_optim_run *device_runs(const pass *p, cvl_err *e) {
  cvl_optim_run *runs = cvl_alloc_array((size_t)p->n, sizeof *runs);
  if (runs == NULL) {
    cvl_fail_memory(e, p->n * (long long)sizeof *runs);
    return NULL;
  }
  for (int i = 0; i < p->n; i++) {
    const run *r = &p->runs[i];
    runs[i] = (cvl_optim_run){
        .count = r->count, .g = cvl_data(r->g), .w = cvl_data(r->slot->w), .update = r->update};
    for (int k = 0; k < p->o->states; k++) runs[i].state[k] = cvl_data(r->slot->state[k]);
  }
  return runs;
}

/* sums[i]: of the squares of run i's gradient. On the CPU the pieces are added in their order. */
static int sum_squares(pass *p, double *sums, cvl_err *e) {
  const cvl_optim_kernels *kernels;
  if (device_kernels(p->o, p->runs[0].slot->w, &kernels, e) != 0) return -1;
  if (kernels != NULL) {
    cvl_optim_run *runs = device_runs(p, e);
    int rc = runs == NULL ? -1 : kernels->squares(cvl_device_of(p->runs[0].g), runs, p->n, sums, e);
    cvl_free(runs);
    return rc;
  }
  if ((p->squares = cvl_alloc_array((size_t)(chunks(p) + p->n), sizeof *p->squares)) == NULL)
    return cvl_fail_memory(e, (chunks(p) + p->n) * (long long)sizeof *p->squares);
  cvl_parallel_if(p->total >= cvl_cpu_worth(), chunks(p), squares_chunk, p);
  for (int i = 0; i < p->n; i++) {
    const run *r = &p->runs[i];
    if (r->count == 0) continue;
    for (int64_t k = r->first / CHUNK; k <= (r->first + r->count - 1) / CHUNK; k++)
      sums[i] += p->squares[k + i];
  }
  return 0;
}

/* 1 or 0; -1 after an error. A sum of squares that is not finite may have overflowed, in float64 only. */
static int all_finite(cvl_tensor *g, cvl_err *e) {
  cvl_tensor *host = cvl_tensor_on_host(g, e);
  int finite = host == NULL ? -1 : 1;
  for (int64_t i = 0, n = cvl_count(g); finite == 1 && i < n; i++)
    finite = isfinite(cvl_element(host, i)) != 0;
  cvl_release(host);
  return finite;
}

static int inspect(pass *p, double *norm, int *first_bad, cvl_err *e) {
  double all = 0, *sums;
  int rc = -1;
  *norm = 0;
  *first_bad = -1;
  if (p->n == 0) return 0;
  if ((sums = cvl_alloc_array((size_t)p->n, sizeof *sums)) == NULL)
    return cvl_fail_memory(e, p->n * (long long)sizeof *sums);
  if (sum_squares(p, sums, e) != 0) goto done;
  for (int i = 0; i < p->n; i++) {
    if (*first_bad < 0 && !isfinite(sums[i])) {
      int finite = all_finite(p->runs[i].g, e);
      if (finite < 0) goto done;
      if (!finite) *first_bad = p->runs[i].index;
    }
    all += sums[i];
  }
  *norm = sqrt(all);
  rc = 0;
done:
  cvl_free(sums);
  return rc;
}

int cvl_optimizer_inspect(const cvl_optimizer *o, double *norm, int *first_bad, cvl_err *e) {
  pass p;
  double length;
  int bad, rc;
  if (begin_pass(&p, o, e) != 0) return -1;
  if ((rc = inspect(&p, &length, &bad, e)) == 0) {
    if (norm != NULL) *norm = length;
    if (first_bad != NULL) *first_bad = bad;
  }
  end_pass(&p);
  return rc;
}

static int update_on_device(const pass *p, const cvl_optim_kernels *kernels, cvl_err *e) {
  const cvl_optim_options *c = p->o->options;
  cvl_optim_run *runs = device_runs(p, e);
  int rc = runs == NULL ? -1
                        : kernels->update(cvl_device_of(p->runs[0].g), p->o->options, c->clip_norm,
                                          runs, p->n, e);
  cvl_free(runs);
  return rc;
}

int cvl_optimizer_step(cvl_optimizer *o, cvl_err *e) {
  const cvl_optim_options *c = o->options;
  const cvl_optim_kernels *kernels = NULL;
  double norm, scale = 1, lr = c->learning_rate / (1 + c->decay * (double)(o->step + 1));
  pass p;
  int bad, rc = -1;
  if (begin_pass(&p, o, e) != 0) return -1;
  if (p.n > 0 && device_kernels(o, p.runs[0].slot->w, &kernels, e) != 0) goto done;
  if (c->clip_norm > 0 && kernels == NULL) {
    if (inspect(&p, &norm, &bad, e) != 0) goto done;
    if (norm > c->clip_norm) scale = c->clip_norm / norm;
  }
  for (int i = 0; i < p.n; i++) {
    run *r = &p.runs[i];
    double weight_decay = r->slot->weight_decay >= 0 ? r->slot->weight_decay : c->weight_decay;
    cvl_update *u = &r->update;
    u->lr = lr * r->slot->lr_factor;
    u->step = o->step + 1;
    u->gradient = (cvl_gradient_rule){.scale = scale,
                                      .limit = c->clip_value > 0 ? c->clip_value : INFINITY,
                                      .l2 = c->decoupled ? 0 : weight_decay,
                                      .keep = c->decoupled ? 1 - u->lr * weight_decay : 1};
    r->slot->w->storage->version++;
  }
  if (kernels == NULL)
    cvl_parallel_if(p.total >= cvl_cpu_worth(), chunks(&p), update_chunk, &p);
  else if (update_on_device(&p, kernels, e) != 0)
    goto done;
  o->step++;
  rc = 0;
done:
  end_pass(&p);
  return rc;
}

#include "optim/optim.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"

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

int cvl_optimizer_add(cvl_optimizer *o, cvl_tensor *w, double lr_factor, double weight_decay,
                      cvl_err *e) {
  cvl_optim_slot *s = &o->slot[o->n];
  int number = o->n + 1;
  for (int i = 0; i < o->n; i++)
    if (o->slot[i].w == w)
      return cvl_fail(e, CVL_EARG, 0, "parameters %d and %d are the same tensor", i + 1, number);
  if (w->storage == NULL || !cvl_device_of(w)->host_visible)
    return cvl_fail(e, CVL_EDEVICE, 0, "parameter %d is not on the CPU", number);
  if (!cvl_dtype_floating(w->dtype))
    return cvl_fail(e, CVL_EDTYPE, 0, "parameter %d must be float32 or float64, got %s", number,
                    cvl_dtype_name(w->dtype));
  if (!cvl_is_dense(w)) return cvl_fail(e, CVL_EARG, 0, "parameter %d is a view with gaps", number);
  if (w->node != NULL)
    return cvl_fail(e, CVL_EARG, 0, "parameter %d is a result, not a leaf", number);
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
  const cvl_tensor *g;
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
    const cvl_tensor *w = o->slot[i].w, *g = w->grad;
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

static void update_chunk(void *context, int64_t chunk, int worker) {
  (void)worker;
  each_piece(context, chunk, update_piece);
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

/* A sum of squares that is not finite may have overflowed, in float64 only. */
static bool all_finite(const cvl_tensor *g) {
  for (int64_t i = 0, n = cvl_count(g); i < n; i++)
    if (!isfinite(cvl_element(g, i))) return false;
  return true;
}

/* The pieces are added in their order. */
static int inspect(pass *p, double *norm, int *first_bad, cvl_err *e) {
  double all = 0;
  if ((p->squares = cvl_alloc_array((size_t)(chunks(p) + p->n), sizeof *p->squares)) == NULL)
    return cvl_fail_memory(e, (chunks(p) + p->n) * (long long)sizeof *p->squares);
  cvl_parallel(chunks(p), squares_chunk, p);
  *first_bad = -1;
  for (int i = 0; i < p->n; i++) {
    const run *r = &p->runs[i];
    double sum = 0;
    if (r->count == 0) continue;
    for (int64_t k = r->first / CHUNK; k <= (r->first + r->count - 1) / CHUNK; k++)
      sum += p->squares[k + i];
    if (*first_bad < 0 && !isfinite(sum) && !all_finite(r->g)) *first_bad = r->index;
    all += sum;
  }
  *norm = sqrt(all);
  return 0;
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

int cvl_optimizer_step(cvl_optimizer *o, cvl_err *e) {
  const cvl_optim_options *c = o->options;
  double norm, scale = 1, lr = c->learning_rate / (1 + c->decay * (double)(o->step + 1));
  pass p;
  int bad, rc = -1;
  if (begin_pass(&p, o, e) != 0) return -1;
  if (c->clip_norm > 0) {
    if (inspect(&p, &norm, &bad, e) != 0) goto done;
    if (norm > c->clip_norm) scale = c->clip_norm / norm;
  }
  o->step++;
  for (int i = 0; i < p.n; i++) {
    run *r = &p.runs[i];
    double weight_decay = r->slot->weight_decay >= 0 ? r->slot->weight_decay : c->weight_decay;
    cvl_update *u = &r->update;
    u->lr = lr * r->slot->lr_factor;
    u->step = o->step;
    u->gradient = (cvl_gradient_rule){.scale = scale,
                                      .limit = c->clip_value > 0 ? c->clip_value : INFINITY,
                                      .l2 = c->decoupled ? 0 : weight_decay,
                                      .keep = c->decoupled ? 1 - u->lr * weight_decay : 1};
    r->slot->w->storage->version++;
  }
  cvl_parallel(chunks(&p), update_chunk, &p);
  rc = 0;
done:
  end_pass(&p);
  return rc;
}

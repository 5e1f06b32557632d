/*
** y = max_pool1d/2d/3d(x; pool_size, strides, padding, ceil_mode)       the largest of each window, NaN if there is one
** y = avg_pool1d/2d/3d(x; ..., count_padding)                           the mean of each window
** y = global_avg_pool(x), global_max_pool(x)                            over all spatial axes: {N, (spatial), C} -> {N, C}
**   x {N, (spatial), C}   y {N, (spatial), C}      sizes: ops/window.h
** Padding never wins a maximum. An average counts the places inside the input, or with count_padding also those inside
** the padding. Forward of max_pool saves the place of each maximum within its window (the first of equals), and its
** gradient goes there.
*/
#include "ops/pool.h"

#include <math.h>

#include "base/pool.h"

#ifndef CVL_DESCRIBE

/* A window's geometry over one image, and the channels in blocks so that a single image also makes several chunks. */
typedef struct {
  cvl_window w;
  int64_t N, C;
  int64_t in_size, out_size; /* spatial elements of an image */
  int64_t blocks;            /* of at most BLOCK channels */
  const real *from;          /* what is read, */
  real *to;                  /* and written */
  int32_t *place;            /* {N, (out), C} of max_pool */
  bool count_padding;
} job;

enum { BLOCK = 128, GRAIN = 8192 };

/* The part of a window that lies in the input, for one output position. */
typedef struct {
  int64_t first[CVL_MAX_SPATIAL], last[CVL_MAX_SPATIAL]; /* taps [first, last) of each axis */
  int64_t start[CVL_MAX_SPATIAL]; /* input position of tap 0, may be negative */
} taps;

static void find_taps(const cvl_window *w, const int64_t o[CVL_MAX_SPATIAL], taps *t) {
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    int64_t start = o[i] * w->stride[i] - w->before[i], room = w->in[i] - start;
    t->start[i] = start;
    t->first[i] = start < 0 ? -start : 0;
    t->last[i] = room < w->filter[i] ? room : w->filter[i];
  }
}

#define FOR_OUTPUTS(w, o)                      \
  for (o[0] = 0; o[0] < (w)->out[0]; o[0]++)   \
    for (o[1] = 0; o[1] < (w)->out[1]; o[1]++) \
      for (o[2] = 0; o[2] < (w)->out[2]; o[2]++)
#define FOR_TAPS(t, f)                                      \
  for (f[0] = (t)->first[0]; f[0] < (t)->last[0]; f[0]++)   \
    for (f[1] = (t)->first[1]; f[1] < (t)->last[1]; f[1]++) \
      for (f[2] = (t)->first[2]; f[2] < (t)->last[2]; f[2]++)

/* Spatial position within an image of x for a tap, and the tap's number within the window. */
static int64_t position(const cvl_window *w, const taps *t, const int64_t f[CVL_MAX_SPATIAL]) {
  return ((t->start[0] + f[0]) * w->in[1] + t->start[1] + f[1]) * w->in[2] + t->start[2] + f[2];
}

static int32_t number(const cvl_window *w, const int64_t f[CVL_MAX_SPATIAL]) {
  return (int32_t)((f[0] * w->filter[1] + f[1]) * w->filter[2] + f[2]);
}

/* By how much an average is divided. */
static real divisor(const job *j, const int64_t o[CVL_MAX_SPATIAL], const taps *t) {
  int64_t count = 1;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    const cvl_window *w = &j->w;
    int64_t start = o[i] * w->stride[i] - w->before[i], end = start + w->filter[i],
            most = w->in[i] + w->after[i];
    count *= !j->count_padding ? t->last[i] - t->first[i] : (end < most ? end : most) - start;
  }
  return (real)count;
}

static void start(job *j, const cvl_window *w, const cvl_shape *x, bool count_padding) {
  j->w = *w;
  j->N = x->dim[0];
  j->C = x->dim[x->ndim - 1];
  j->in_size = w->in[0] * w->in[1] * w->in[2];
  j->out_size = w->out[0] * w->out[1] * w->out[2];
  j->blocks = (j->C + BLOCK - 1) / BLOCK;
  j->count_padding = count_padding;
}

/* One image and one block of channels: [c, c + n). */
typedef struct {
  int64_t image, c, n;
} part;

static part part_of(const job *j, int64_t chunk) {
  part p = {chunk / j->blocks, chunk % j->blocks * BLOCK, 0};
  p.n = j->C - p.c < BLOCK ? j->C - p.c : BLOCK;
  return p;
}

static void each_part(job *j, cvl_range_body *body) {
  int64_t taps_of = j->w.filter[0] * j->w.filter[1] * j->w.filter[2];
  int64_t work = j->out_size * taps_of * (j->C < BLOCK ? j->C : BLOCK);
  cvl_parallel_range(j->N * j->blocks, work > 0 ? GRAIN / work + 1 : 1, body, j);
}

static void max_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_window *w = &j->w;
  for (int64_t chunk = first; chunk < last; chunk++) {
    part p = part_of(j, chunk);
    const real *x = j->from + p.image * j->in_size * j->C + p.c;
    int64_t out = p.image * j->out_size * j->C + p.c, o[CVL_MAX_SPATIAL], f[CVL_MAX_SPATIAL];
    FOR_OUTPUTS(w, o) {
      real *restrict y = j->to + out;
      int32_t *restrict place = j->place + out;
      taps t;
      find_taps(w, o, &t);
      for (int64_t c = 0; c < p.n; c++) y[c] = -INFINITY;
      for (int64_t c = 0; c < p.n; c++)
        place[c] = number(w, t.first); /* for windows that hold nothing but -inf */
      FOR_TAPS(&t, f) {
        const real *restrict v = x + position(w, &t, f) * j->C;
        int32_t tap = number(w, f);
        for (int64_t c = 0; c < p.n; c++) {
          /* the first of equals stays, and so does the first NaN */
          int better = (v[c] > y[c]) | ((v[c] != v[c]) & (y[c] == y[c]));
          y[c] = better ? v[c] : y[c];
          place[c] = better ? tap : place[c];
        }
      }
      out += j->C;
    }
  }
}

/* gx is zeroed and gets gy at the places of the maxima. */
static void scatter_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_window *w = &j->w;
  for (int64_t chunk = first; chunk < last; chunk++) {
    part p = part_of(j, chunk);
    real *gx = j->to + p.image * j->in_size * j->C + p.c;
    int64_t out = p.image * j->out_size * j->C + p.c, o[CVL_MAX_SPATIAL], f[CVL_MAX_SPATIAL];
    for (int64_t i = 0; i < j->in_size; i++)
      for (int64_t c = 0; c < p.n; c++) gx[i * j->C + c] = 0;
    FOR_OUTPUTS(w, o) {
      const real *restrict gy = j->from + out;
      const int32_t *restrict place = j->place + out;
      taps t;
      find_taps(w, o, &t);
      FOR_TAPS(&t, f) {
        real *restrict g = gx + position(w, &t, f) * j->C;
        int32_t tap = number(w, f);
        for (int64_t c = 0; c < p.n; c++) g[c] += place[c] == tap ? gy[c] : 0;
      }
      out += j->C;
    }
  }
}

/* The adjoint of scatter: y takes x at the places of the maxima. */
static void gather_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_window *w = &j->w;
  for (int64_t chunk = first; chunk < last; chunk++) {
    part p = part_of(j, chunk);
    const real *x = j->from + p.image * j->in_size * j->C + p.c;
    int64_t out = p.image * j->out_size * j->C + p.c, o[CVL_MAX_SPATIAL], f[CVL_MAX_SPATIAL];
    FOR_OUTPUTS(w, o) {
      real *restrict y = j->to + out;
      const int32_t *restrict place = j->place + out;
      taps t;
      find_taps(w, o, &t);
      for (int64_t c = 0; c < p.n; c++) y[c] = 0;
      FOR_TAPS(&t, f) {
        const real *restrict v = x + position(w, &t, f) * j->C;
        int32_t tap = number(w, f);
        for (int64_t c = 0; c < p.n; c++) y[c] = place[c] == tap ? v[c] : y[c];
      }
      out += j->C;
    }
  }
}

static void avg_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_window *w = &j->w;
  for (int64_t chunk = first; chunk < last; chunk++) {
    part p = part_of(j, chunk);
    const real *x = j->from + p.image * j->in_size * j->C + p.c;
    real *restrict y = j->to + p.image * j->out_size * j->C + p.c;
    int64_t o[CVL_MAX_SPATIAL], f[CVL_MAX_SPATIAL];
    FOR_OUTPUTS(w, o) {
      taps t;
      real scale;
      find_taps(w, o, &t);
      scale = 1 / divisor(j, o, &t);
      for (int64_t c = 0; c < p.n; c++) y[c] = 0;
      FOR_TAPS(&t, f) {
        const real *restrict v = x + position(w, &t, f) * j->C;
        for (int64_t c = 0; c < p.n; c++) y[c] += v[c];
      }
      for (int64_t c = 0; c < p.n; c++) y[c] *= scale;
      y += j->C;
    }
  }
}

static void avg_grad_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_window *w = &j->w;
  for (int64_t chunk = first; chunk < last; chunk++) {
    part p = part_of(j, chunk);
    real *gx = j->to + p.image * j->in_size * j->C + p.c;
    const real *restrict gy = j->from + p.image * j->out_size * j->C + p.c;
    int64_t o[CVL_MAX_SPATIAL], f[CVL_MAX_SPATIAL];
    for (int64_t i = 0; i < j->in_size; i++)
      for (int64_t c = 0; c < p.n; c++) gx[i * j->C + c] = 0;
    FOR_OUTPUTS(w, o) {
      taps t;
      real scale;
      find_taps(w, o, &t);
      scale = 1 / divisor(j, o, &t);
      FOR_TAPS(&t, f) {
        real *restrict g = gx + position(w, &t, f) * j->C;
        for (int64_t c = 0; c < p.n; c++) g[c] += gy[c] * scale;
      }
      gy += j->C;
    }
  }
}

/* One window over the whole image: all spatial axes, however many, count as one. */
static void whole_image(cvl_window *w, const cvl_shape *x) {
  *w = (cvl_window){.axes = 1};
  for (int i = 0; i < CVL_MAX_SPATIAL; i++)
    w->in[i] = w->filter[i] = w->out[i] = w->stride[i] = w->dilation[i] = 1;
  for (int i = 1; i < x->ndim - 1; i++) w->in[2] = w->filter[2] *= x->dim[i];
}

/* x and y: the shapes before and after pooling; y {N, C} is a global one's. `from` and `to`: what the loop reads and
** writes. */
static int run(const cvl_args *a, const cvl_shape *x, const cvl_shape *y, const cvl_tensor *from,
               const cvl_tensor *to, const cvl_tensor *place, cvl_range_body *body, cvl_err *e) {
  const cvl_pool_options *o = a->options;
  cvl_window w;
  job j;
  if (y->ndim == 2)
    whole_image(&w, x);
  else if (cvl_pool_window(&w, x, x->ndim - 2, o, e) != 0)
    return -1;
  start(&j, &w, x, y->ndim > 2 && o->count_padding);
  j.from = cvl_data(from);
  j.to = cvl_data(to);
  j.place = place != NULL ? cvl_data(place) : NULL;
  each_part(&j, body);
  return 0;
}

#define BACKWARD(name)                                                          \
  static int name(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy, \
                  cvl_tensor *const *gx, cvl_err *e)

static int max_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  if ((a->saved[0] = cvl_tensor_new(&y->shape, CVL_I32, cvl_device_of(y), e)) == NULL) return -1;
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, a->saved[0], max_parts, e);
}
BACKWARD(max_backward) {
  (void)y;
  return gx[0] == NULL
             ? 0
             : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], a->saved[0], scatter_parts, e);
}
CVL_KERNELS(max_pool1d, max_pool, max_backward)
CVL_KERNELS(max_pool2d, max_pool, max_backward)
CVL_KERNELS(max_pool3d, max_pool, max_backward)
CVL_KERNELS(global_max_pool, max_pool, max_backward)

/* pool_scatter(gy, place) -> gx and pool_gather(x, place) -> y are each other's gradients. */
static int scatter(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &y->shape, &a->in[0]->shape, a->in[0], y, a->in[1], scatter_parts, e);
}
BACKWARD(scatter_backward) {
  (void)y;
  return gx[0] == NULL ? 0
                       : run(a, &gy->shape, &gx[0]->shape, gy, gx[0], a->in[1], gather_parts, e);
}
CVL_KERNELS(pool_scatter, scatter, scatter_backward)

static int gather(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, a->in[1], gather_parts, e);
}
BACKWARD(gather_backward) {
  (void)y;
  return gx[0] == NULL ? 0
                       : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], a->in[1], scatter_parts, e);
}
CVL_KERNELS(pool_gather, gather, gather_backward)

static int avg_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, NULL, avg_parts, e);
}
BACKWARD(avg_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], NULL, avg_grad_parts, e);
}
CVL_KERNELS(avg_pool1d, avg_pool, avg_backward)
CVL_KERNELS(avg_pool2d, avg_pool, avg_backward)
CVL_KERNELS(avg_pool3d, avg_pool, avg_backward)
CVL_KERNELS(global_avg_pool, avg_pool, avg_backward)

static int avg_data(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &y->shape, &a->in[0]->shape, a->in[0], y, NULL, avg_grad_parts, e);
}
BACKWARD(avg_data_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : run(a, &gy->shape, &gx[0]->shape, gy, gx[0], NULL, avg_parts, e);
}
CVL_KERNELS(avg_pool_data, avg_data, avg_data_backward)

#else
#include "ops/call.h"

/* The op's own number of spatial axes is in its name: max_pool2d. */
static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape;
  cvl_window w;
  if (cvl_pool_window(&w, x, a->op->name[8] - '0', a->options, e) != 0) return -1;
  cvl_window_shape(&w, x->dim[0], x->dim[x->ndim - 1], &y->shape);
  return 0;
}

static int shape_of_input(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_pool_options *o = a->options;
  const cvl_shape *gy = &a->in[0]->shape;
  (void)e;
  y->shape = (cvl_shape){.ndim = o->size.n + 2};
  y->shape.dim[0] = gy->dim[0];
  for (int i = 0; i < o->size.n; i++) y->shape.dim[1 + i] = o->size.v[i];
  y->shape.dim[o->size.n + 1] = gy->dim[gy->ndim - 1];
  return 0;
}

static int shape_of_output(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->shape = a->in[1]->shape; /* of the places */
  return 0;
}

static int global_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape;
  char text[CVL_SHAPE_TEXT];
  int64_t count = 1;
  if (x->ndim < 3)
    return cvl_fail(e, CVL_ESHAPE, 1, "expected x {N, (spatial), C}, got %s",
                    cvl_shape_text(x, text));
  for (int i = 1; i < x->ndim - 1; i++) count *= x->dim[i];
  if (count == 0 || count > INT32_MAX)
    return cvl_fail(e, CVL_ESHAPE, 1, "the spatial axes of x %s are empty or too large",
                    cvl_shape_text(x, text));
  y->shape = (cvl_shape){.ndim = 2, .dim = {x->dim[0], x->dim[x->ndim - 1]}};
  return 0;
}

extern const cvl_op cvl_op_pool_scatter, cvl_op_pool_gather, cvl_op_avg_pool_data;

static cvl_pool_options sized(const cvl_args *a) {
  cvl_pool_options o = {0};
  const cvl_shape *x = &a->in[0]->shape;
  if (a->op->options != NULL)
    o = *(const cvl_pool_options *)a->options; /* the global ones have none */
  o.size.n = x->ndim - 2;
  for (int i = 0; i < o.size.n; i++) o.size.v[i] = x->dim[1 + i];
  return o;
}

static cvl_tensor *max_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  cvl_pool_options o = sized(a);
  (void)y, (void)i;
  return cvl_call(s, &cvl_op_pool_scatter, &o, 2, gy, a->saved[0]);
}
static cvl_tensor *scatter_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                               int i) {
  (void)y;
  return i == 0 ? cvl_call(s, &cvl_op_pool_gather, a->options, 2, gy, a->in[1]) : NULL;
}
static cvl_tensor *gather_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                              int i) {
  (void)y;
  return i == 0 ? cvl_call(s, &cvl_op_pool_scatter, a->options, 2, gy, a->in[1]) : NULL;
}

static cvl_tensor *avg_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  cvl_pool_options o = sized(a);
  (void)y, (void)i;
  return cvl_call(s, &cvl_op_avg_pool_data, &o, 1, gy);
}
static cvl_tensor *avg_data_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                                int i) {
  static const cvl_op *const ops[] = {&cvl_op_avg_pool1d, &cvl_op_avg_pool2d, &cvl_op_avg_pool3d};
  (void)y, (void)i;
  if (gy == NULL) return NULL;
  if (a->in[0]->shape.ndim == 2) return cvl_call(s, &cvl_op_global_avg_pool, NULL, 1, gy);
  return cvl_call(s, ops[gy->shape.ndim - 3], a->options, 1, gy);
}

#define P cvl_pool_options
#define POOL_SIZE \
  CVL_SIZES(P, pool_size, 2, "size of the window, one number or one per spatial axis")
#define STRIDES CVL_SIZES(P, strides, 0, "step of the window; pool_size when left out")
#define PADDING           \
  CVL_PADDING(P, padding, \
              "\"valid\" (none), \"same\", a number, {h, w} or {{top, bottom}, {left, right}}")
#define CEIL \
  CVL_FLAG(P, ceil_mode, 0, "round the output size up: the last window may hang over the end")
#define COUNT CVL_FLAG(P, count_padding, 0, "divide by the places inside the padding too")
#define SIZE CVL_SHAPE(P, size, "spatial sizes of the result")

#define MAX                                                                           \
  .n_in = 1, .floating = true, .drops = CVL_DROP_ALL, .shape = shape, .vjp = max_vjp, \
  CVL_OPTIONS(P, POOL_SIZE, STRIDES, PADDING, CEIL)
#define AVG                                                                           \
  .n_in = 1, .floating = true, .drops = CVL_DROP_ALL, .shape = shape, .vjp = avg_vjp, \
  CVL_OPTIONS(P, POOL_SIZE, STRIDES, PADDING, CEIL, COUNT)
#define INTERNAL \
  .internal = true, .floating = true, CVL_OPTIONS(P, POOL_SIZE, STRIDES, PADDING, CEIL, COUNT, SIZE)

#define SIZES                                                                                                          \
  "Each spatial size becomes floor((in - pool_size + before + after) / stride) + 1, with ceil in place of floor with " \
  "ceil_mode, or ceil(in / stride) with padding = \"same\"."
#define MAX_DOC(name, x)                                                                          \
  name "(x, {pool_size = 2, strides = pool_size, padding = \"valid\", ceil_mode = false}) -> y\n" \
       "The largest of each window of x " x                                                       \
       ", channel by channel; padding never wins. The gradient goes to the first of "             \
       "equal maxima. " SIZES
#define AVG_DOC(name, x)                                                                                             \
  name                                                                                                               \
      "(x, {pool_size = 2, strides = pool_size, padding = \"valid\", ceil_mode = false, count_padding = false}) -> " \
      "y\nThe mean of each window of x " x                                                                           \
      ", channel by channel, over the places inside the input, or with "                                             \
      "count_padding also those inside the padding. " SIZES

CVL_OP(max_pool1d, .doc = MAX_DOC("max_pool1d", "{N, L, C}"), MAX,
  CVL_SAMPLES("max_pool1d(randn{2, 7, 3})", "max_pool1d(randn{1, 5, 2}, {pool_size = 3, strides = 2, padding = \"same\"})"),
  CVL_REJECTS({"max_pool1d(randn{2, 7})", "expected x {N, length, C}, got {2, 7}"}));
CVL_OP(max_pool2d, .doc = MAX_DOC("max_pool2d", "{N, H, W, C}"), MAX,
  CVL_SAMPLES("max_pool2d(randn{2, 4, 5, 3})", "max_pool2d(randn{1, 5, 5, 2}, {pool_size = 3, strides = 2, padding = \"same\"})",
              "max_pool2d(randn{1, 5, 4, 1}:transpose(2, 3), {pool_size = {2, 3}, strides = {1, 2}, padding = 1, ceil_mode = true})"),
  CVL_REJECTS({"max_pool2d(randn{2, 4, 3})", "expected x {N, height, width, C}, got {2, 4, 3}"},
              {"max_pool2d(randn{1, 2, 4, 3}, {pool_size = 3})", "height: floor((2 + 0 + 0 - (1*(3 - 1) + 1))/3) + 1 < 1"},
              {"max_pool2d(randn{1, 4, 4, 3}, {padding = 2})", "must be smaller than the window of 2"}));
CVL_OP(max_pool3d, .doc = MAX_DOC("max_pool3d", "{N, D, H, W, C}"), MAX,
  CVL_SAMPLES("max_pool3d(randn{1, 3, 4, 2, 2}, {strides = 1})"),
  CVL_REJECTS({"max_pool3d(randn{2, 4, 4, 3})", "expected x {N, depth, height, width, C}"}));

CVL_OP(avg_pool1d, .doc = AVG_DOC("avg_pool1d", "{N, L, C}"), AVG,
  CVL_SAMPLES("avg_pool1d(randn{2, 7, 3})", "avg_pool1d(randn{1, 5, 2}, {pool_size = 3, strides = 2, padding = \"same\"})"),
  CVL_REJECTS({"avg_pool1d(randn{2, 7})", "expected x {N, length, C}, got {2, 7}"}));
CVL_OP(avg_pool2d, .doc = AVG_DOC("avg_pool2d", "{N, H, W, C}"), AVG,
  CVL_SAMPLES("avg_pool2d(randn{2, 4, 5, 3})",
              "avg_pool2d(randn{1, 5, 5, 2}, {pool_size = 3, strides = 2, padding = 1, count_padding = true, ceil_mode = true})",
              "avg_pool2d(randn{1, 5, 4, 1}:transpose(2, 3), {pool_size = {2, 3}, strides = {1, 2}, padding = \"same\"})"),
  CVL_REJECTS({"avg_pool2d(randn{2, 4, 3})", "expected x {N, height, width, C}, got {2, 4, 3}"},
              {"avg_pool2d(randn{1, 4, 4, 3}, {pool_size = 5})", "height: floor((4 + 0 + 0"}));
CVL_OP(avg_pool3d, .doc = AVG_DOC("avg_pool3d", "{N, D, H, W, C}"), AVG,
  CVL_SAMPLES("avg_pool3d(randn{1, 3, 4, 2, 2}, {strides = 1})"),
  CVL_REJECTS({"avg_pool3d(randn{2, 4, 4, 3})", "expected x {N, depth, height, width, C}"}));

CVL_OP(global_max_pool,
  .doc = "global_max_pool(x) -> y\nThe largest of each channel over all spatial axes: x {N, (spatial), C}, y {N, C}.",
  .n_in = 1, .floating = true, .drops = CVL_DROP_ALL, .shape = global_shape, .vjp = max_vjp,
  CVL_SAMPLES("global_max_pool(randn{2, 3, 4, 5})", "global_max_pool(randn{2, 6, 3})"),
  CVL_REJECTS({"global_max_pool(randn{2, 3})", "expected x {N, (spatial), C}, got {2, 3}"}));
CVL_OP(global_avg_pool,
  .doc = "global_avg_pool(x) -> y\nThe mean of each channel over all spatial axes: x {N, (spatial), C}, y {N, C}.",
  .n_in = 1, .floating = true, .drops = CVL_DROP_ALL, .shape = global_shape, .vjp = avg_vjp,
  CVL_SAMPLES("global_avg_pool(randn{2, 3, 4, 5})", "global_avg_pool(randn{2, 6, 3})"),
  CVL_REJECTS({"global_avg_pool(randn{2, 3})", "expected x {N, (spatial), C}, got {2, 3}"}));

CVL_OP(pool_scatter,
  .doc = "pool_scatter(gy, place, {size, ...}) -> gx\nThe gradient of a max-pooling: gy at the places of the maxima.",
  .n_in = 2, .drops = CVL_DROP_X0 | CVL_DROP_Y, INTERNAL, .shape = shape_of_input, .vjp = scatter_vjp);
CVL_OP(pool_gather,
  .doc = "pool_gather(x, place, {...}) -> y\nx at the places of the maxima of another max-pooling.",
  .n_in = 2, .drops = CVL_DROP_X0 | CVL_DROP_Y, INTERNAL, .shape = shape_of_output, .vjp = gather_vjp);
CVL_OP(avg_pool_data,
  .doc = "avg_pool_data(gy, {size, ...}) -> gx\nThe gradient of an average pooling.",
  .n_in = 1, .drops = CVL_DROP_ALL, INTERNAL, .shape = shape_of_input, .vjp = avg_data_vjp);
#endif

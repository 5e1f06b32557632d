/*
** y = upsample(x; size, mode)      x {N, (spatial), C}   y {N, (spatial size), C}: each spatial axis `size` times as long
**   nearest:  y[o] = x[floor(o / size)]
**   bilinear: y[o] = (1 - t) x[i] + t x[i + 1], i + t = (o + 1/2) / size - 1/2 within the input, axis by axis (linear on
**             one spatial axis): pixels are squares with their centres at half-integers, as TensorFlow 2 and PyTorch with
**             align_corners = false have it.
*/
#include "ops/upsample.h"

#include "base/mem.h"
#include "base/pool.h"
#include "ops/window.h"

#ifndef CVL_DESCRIBE

typedef cvl_upsample_tap tap;

typedef struct {
  int64_t in[CVL_MAX_SPATIAL], out[CVL_MAX_SPATIAL], C, in_size, out_size;
  const tap *taps[CVL_MAX_SPATIAL];
  const real *from;
  real *to;
} job;

enum { GRAIN = 8192 };

/* Up to 8 corners of input around output (o0, o1, o2) as offsets into an image, and their weights. */
static int corners(const job *j, int64_t o0, int64_t o1, int64_t o2, int64_t offset[8],
                   real weight[8]) {
  const tap *a = &j->taps[0][o0], *b = &j->taps[1][o1], *c = &j->taps[2][o2];
  int n = 0;
  for (int k = 0; k < 8; k++) {
    int u = k >> 2, v = k >> 1 & 1, w = k & 1;
    real all = (u ? (real)a->t : 1 - (real)a->t) * (v ? (real)b->t : 1 - (real)b->t) *
               (w ? (real)c->t : 1 - (real)c->t);
    if (all == 0) continue; /* also beyond the end, where t is 0 */
    offset[n] = (((a->i + u) * j->in[1] + b->i + v) * j->in[2] + c->i + w) * j->C;
    weight[n++] = all;
  }
  return n;
}

#define FOR_OUTPUTS(j)                           \
  for (int64_t o0 = 0; o0 < (j)->out[0]; o0++)   \
    for (int64_t o1 = 0; o1 < (j)->out[1]; o1++) \
      for (int64_t o2 = 0; o2 < (j)->out[2]; o2++)

static void up(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t image = first; image < last; image++) {
    const real *x = j->from + image * j->in_size * j->C;
    real *restrict y = j->to + image * j->out_size * j->C;
    FOR_OUTPUTS(j) {
      int64_t offset[8];
      real weight[8];
      int n = corners(j, o0, o1, o2, offset, weight);
      for (int64_t c = 0; c < j->C; c++) y[c] = weight[0] * x[offset[0] + c];
      for (int k = 1; k < n; k++) {
        const real *restrict v = x + offset[k];
        real w = weight[k];
        for (int64_t c = 0; c < j->C; c++) y[c] += w * v[c];
      }
      y += j->C;
    }
  }
}

static void down(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t image = first; image < last; image++) {
    const real *restrict gy = j->from + image * j->out_size * j->C;
    real *gx = j->to + image * j->in_size * j->C;
    for (int64_t c = 0; c < j->in_size * j->C; c++) gx[c] = 0;
    FOR_OUTPUTS(j) {
      int64_t offset[8];
      real weight[8];
      int n = corners(j, o0, o1, o2, offset, weight);
      for (int k = 0; k < n; k++) {
        real *restrict g = gx + offset[k];
        real w = weight[k];
        for (int64_t c = 0; c < j->C; c++) g[c] += w * gy[c];
      }
      gy += j->C;
    }
  }
}

/* x and y: the shapes of the small and the large tensor. */
static int run(const cvl_args *a, const cvl_shape *x, const cvl_shape *y, const cvl_tensor *from,
               cvl_tensor *to, cvl_range_body *body, cvl_err *e) {
  const cvl_upsample_options *o = a->options;
  job j = {.C = x->dim[x->ndim - 1],
           .in_size = 1,
           .out_size = 1,
           .from = cvl_data(from),
           .to = cvl_data(to)};
  int axes = x->ndim - 2;
  int64_t work, total = 0;
  tap *taps;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    int axis = i - (CVL_MAX_SPATIAL - axes);
    j.in[i] = axis < 0 ? 1 : x->dim[1 + axis];
    j.out[i] = axis < 0 ? 1 : y->dim[1 + axis];
    j.in_size *= j.in[i];
    j.out_size *= j.out[i];
    total += j.out[i];
  }
  if ((taps = cvl_alloc_array((size_t)total, sizeof *taps)) == NULL)
    return cvl_fail_memory(e, total * (long long)sizeof *taps);
  total = 0;
  for (int i = 0; i < CVL_MAX_SPATIAL; i++) {
    j.taps[i] = taps + total;
    for (int64_t k = 0; k < j.out[i]; k++)
      taps[total++] = cvl_upsample_find(k, j.in[i], j.out[i], o->mode);
  }
  work = j.out_size * j.C;
  cvl_parallel_range(x->dim[0], work > 0 ? GRAIN / work + 1 : 1, body, &j);
  cvl_free(taps);
  return 0;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, up, e);
}
static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  return gx[0] == NULL ? 0 : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], down, e);
}
CVL_KERNELS(upsample, forward, backward)

static int data_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &y->shape, &a->in[0]->shape, a->in[0], y, down, e);
}
static int data_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                         cvl_tensor *const *gx, cvl_err *e) {
  (void)y;
  return gx[0] == NULL ? 0 : run(a, &gy->shape, &gx[0]->shape, gy, gx[0], up, e);
}
CVL_KERNELS(upsample_data, data_forward, data_backward)

#else
#include "ops/call.h"

static int factors(const cvl_shape *x, const cvl_upsample_options *o, int64_t f[CVL_MAX_SPATIAL],
                   cvl_err *e) {
  cvl_window w;
  if (cvl_window_init(&w, x, x->ndim - 2, e) != 0) return -1;
  if (cvl_window_spread(&w, &o->size, "size", w.stride, e) != 0) return -1;
  for (int i = 0; i < w.axes; i++) f[i] = w.stride[CVL_MAX_SPATIAL - w.axes + i];
  return 0;
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  int64_t f[CVL_MAX_SPATIAL];
  if (factors(&a->in[0]->shape, a->options, f, e) != 0) return -1;
  y->shape = a->in[0]->shape;
  for (int i = 0; i < y->shape.ndim - 2; i++)
    if (__builtin_mul_overflow(y->shape.dim[1 + i], f[i], &y->shape.dim[1 + i]))
      return cvl_fail(e, CVL_ESHAPE, 1, "size: a factor of %lld makes an axis of more than 2^63",
                      (long long)f[i]);
  return 0;
}

static int data_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  int64_t f[CVL_MAX_SPATIAL];
  if (factors(&a->in[0]->shape, a->options, f, e) != 0) return -1;
  y->shape = a->in[0]->shape;
  for (int i = 0; i < y->shape.ndim - 2; i++) {
    if (y->shape.dim[1 + i] % f[i] != 0)
      return cvl_fail(e, CVL_ESHAPE, 1, "axis %d of gy, %lld, is no multiple of the factor %lld",
                      i + 2, (long long)y->shape.dim[1 + i], (long long)f[i]);
    y->shape.dim[1 + i] /= f[i];
  }
  return 0;
}

extern const cvl_op cvl_op_upsample_data;

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  (void)y, (void)i;
  return cvl_call(s, &cvl_op_upsample_data, a->options, 1, gy);
}
static cvl_tensor *data_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  (void)y, (void)i;
  return cvl_call(s, &cvl_op_upsample, a->options, 1, gy);
}

#define O cvl_upsample_options
static const char *const modes[] = {"nearest", "bilinear", NULL};
#define OPTIONS                                                                                    \
  CVL_OPTIONS(O,                                                                                   \
              CVL_SIZES(O, size, 2, "how many times as long, one number or one per spatial axis"), \
              CVL_CHOICE(O, mode, CVL_UPSAMPLE_NEAREST, modes,                                     \
                         "\"nearest\" or \"bilinear\" (linear on one axis)"))

CVL_OP(upsample,
  .doc = "upsample(x, {size = 2, mode = \"nearest\"}) -> y\n"
         "Makes each spatial axis of x {N, (spatial), C} size times as long, by repetition or linearly between pixel "
         "centres (half-pixel centres, as TensorFlow 2 and PyTorch with align_corners = false).",
  .n_in = 1, .floating = true, .drops = CVL_DROP_ALL, OPTIONS, .shape = shape, .vjp = vjp,
  CVL_SAMPLES("upsample(randn{2, 3, 2, 3})", "upsample(randn{1, 3, 4, 2}, {size = {2, 3}, mode = \"bilinear\"})",
              "upsample(randn{2, 3, 4}:transpose(2, 3), {size = 3, mode = \"bilinear\"})", "upsample(randn{1, 1, 2, 2, 1})"),
  CVL_REJECTS({"upsample(randn{2, 3})", "1 to 3 spatial axes between N and C, got {2, 3}"},
              {"upsample(randn{1, 2, 2, 1}, {size = {1, 2, 3}})", "size must be one number or 2"},
              {"upsample(randn{1, 2, 2, 1}, {mode = \"cubic\"})", "cubic"}));
CVL_OP(upsample_data,
  .doc = "upsample_data(gy, {size, mode}) -> gx\nThe gradient of upsample.",
  .n_in = 1, .internal = true, .floating = true, .drops = CVL_DROP_ALL, OPTIONS, .shape = data_shape, .vjp = data_vjp);
#endif

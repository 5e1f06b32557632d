/*
** y = max_pool1d/2d/3d(x; pool_size, strides, padding, ceil_mode)       the largest of each window, NaN if there is one
** y = avg_pool1d/2d/3d(x; ..., count_padding)                           the mean of each window
** y = global_avg_pool(x), global_max_pool(x)                            over all spatial axes: {N, (spatial), C} -> {N, C}
**   x {N, (spatial), C}   y {N, (spatial), C}      sizes: ops/window.h
** Padding never wins a maximum. An average counts the places inside the input, or with count_padding also those inside
** the padding. Forward of max_pool saves the place of each maximum within its window (the first of equals) where a
** gradient may be asked for, which goes there.
*/
#include "ops/pool.h"

#ifndef CVL_DESCRIBE
#include "ops/pool_rows.h"

#define BACKWARD(name)                                                          \
  static int name(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy, \
                  cvl_tensor *const *gx, cvl_err *e)

static int max_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  if (a->taped && (a->saved[0] = cvl_tensor_new(&y->shape, CVL_I32, cvl_device_of(y), e)) == NULL)
    return -1;
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, a->saved[0],
             a->taped ? max_and_place_row : max_only_row, false, e);
}
BACKWARD(max_backward) {
  (void)y;
  return gx[0] == NULL
             ? 0
             : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], a->saved[0], scatter_row, true, e);
}
CVL_KERNELS(max_pool1d, max_pool, max_backward)
CVL_KERNELS(max_pool2d, max_pool, max_backward)
CVL_KERNELS(max_pool3d, max_pool, max_backward)
CVL_KERNELS(global_max_pool, max_pool, max_backward)

/* pool_scatter(gy, place) -> gx and pool_gather(x, place) -> y are each other's gradients. */
static int scatter(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &y->shape, &a->in[0]->shape, a->in[0], y, a->in[1], scatter_row, true, e);
}
BACKWARD(scatter_backward) {
  (void)y;
  return gx[0] == NULL
             ? 0
             : run(a, &gy->shape, &gx[0]->shape, gy, gx[0], a->in[1], gather_row, false, e);
}
CVL_KERNELS(pool_scatter, scatter, scatter_backward)

static int gather(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, a->in[1], gather_row, false, e);
}
BACKWARD(gather_backward) {
  (void)y;
  return gx[0] == NULL
             ? 0
             : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], a->in[1], scatter_row, true, e);
}
CVL_KERNELS(pool_gather, gather, gather_backward)

static int avg_pool(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &a->in[0]->shape, &y->shape, a->in[0], y, NULL, avg_row, false, e);
}
BACKWARD(avg_backward) {
  (void)y;
  return gx[0] == NULL ? 0
                       : run(a, &gx[0]->shape, &gy->shape, gy, gx[0], NULL, avg_grad_row, true, e);
}
CVL_KERNELS(avg_pool1d, avg_pool, avg_backward)
CVL_KERNELS(avg_pool2d, avg_pool, avg_backward)
CVL_KERNELS(avg_pool3d, avg_pool, avg_backward)
CVL_KERNELS(global_avg_pool, avg_pool, avg_backward)

static int avg_data(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return run(a, &y->shape, &a->in[0]->shape, a->in[0], y, NULL, avg_grad_row, true, e);
}
BACKWARD(avg_data_backward) {
  (void)y;
  return gx[0] == NULL ? 0 : run(a, &gy->shape, &gx[0]->shape, gy, gx[0], NULL, avg_row, false, e);
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

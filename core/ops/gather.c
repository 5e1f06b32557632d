/*
** index_select(x, positions, axis = 1)    y[.., i, ..] = x[.., positions[i], ..]; positions of any
**                                         shape take the axis's place
** gather(x, positions, axis)              y[i, j] = x[positions[i, j], j] for axis 1, and so on; y
**                                         has the positions' shape
** one_hot(labels, class_count)            {...} -> {..., class_count}: 1 at the label, else 0
** Their gradients add into zeros, each element in the order of its positions, so that the bits
** never vary.
*/
/* CVL_EVERY_DTYPE */
#include "ops/gather.h"
#include "ops/position.h"
#include "tensor/half.h"

#ifdef CVL_REAL
#include <string.h>

#include "base/pool.h"

enum { GRAIN = 16384, /* elements that are worth another thread */ COLUMNS = 256 };

/* One tensor is {outer, n, inner} and holds the places, the other {outer, m, inner}, one slab for
** each position. */
typedef struct {
  const cvl_tensor *positions;
  const real *from;
  real *to;
  int64_t n, m, inner;
  int64_t tiles, columns; /* pieces of `inner`, and elements in one */
  cvl_shape index, place; /* gather: the shapes of the positions and of x */
  int axis;
} job;

static void copy_slabs(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t u = first; u < last; u++) { /* u counts outer * m slabs */
    int64_t p = cvl_position_of(j->positions, u % j->m, j->n);
    memcpy(j->to + u * j->inner, j->from + (u / j->m * j->n + p) * j->inner,
           (size_t)j->inner * sizeof(real));
  }
}

/* A unit is a piece of `inner` of one outer index: it meets all positions, in order. */
static void add_slabs(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t u = first; u < last; u++) {
    int64_t column = u % j->tiles * j->columns, outer = u / j->tiles;
    int64_t columns = j->inner - column < j->columns ? j->inner - column : j->columns;
    for (int64_t i = 0; i < j->m; i++) {
      int64_t p = cvl_position_of(j->positions, i, j->n);
      const real *restrict g = j->from + (outer * j->m + i) * j->inner + column;
      real *restrict to = j->to + (outer * j->n + p) * j->inner + column;
      for (int64_t c = 0; c < columns; c++) to[c] = (real)(to[c] + g[c]);
    }
  }
}

static void sizes(job *j, const cvl_shape *x, int axis) {
  j->n = x->dim[axis];
  j->inner = 1;
  for (int i = axis + 1; i < x->ndim; i++) j->inner *= x->dim[i];
  j->axis = axis;
}

static int select_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *x = a->in[0];
  int axis = cvl_at_axis(a, e);
  job j = {.positions = a->in[1], .from = cvl_data(x), .to = cvl_data(y), .m = cvl_count(a->in[1])};
  if (axis < 0) return -1;
  sizes(&j, &x->shape, axis);
  if (cvl_positions_check(a->in[1], j.n, axis, 2, e) != 0) return -1;
  if (cvl_count(y) > 0)
    cvl_parallel_range(cvl_count(y) / j.inner, GRAIN / j.inner + 1, copy_slabs, &j);
  return 0;
}
CVL_KERNELS(index_select, select_forward, NULL)

static int index_add(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *g = a->in[0];
  job j = {.positions = a->in[1], .from = cvl_data(g), .to = cvl_data(y), .m = cvl_count(a->in[1])};
  (void)e;
  sizes(&j, &y->shape, (int)((const cvl_at_options *)a->options)->axis);
  memset(j.to, 0, (size_t)cvl_count(y) * sizeof(real));
  if (cvl_count(g) == 0) return 0;
  j.columns = j.inner < COLUMNS ? j.inner : COLUMNS;
  j.tiles = (j.inner + j.columns - 1) / j.columns;
  cvl_parallel_range(cvl_count(g) / (j.m * j.inner) * j.tiles, GRAIN / (j.m * j.columns) + 1,
                     add_slabs, &j);
  return 0;
}
CVL_KERNELS(index_add, index_add, NULL)

/* Lines first..last-1 of the positions along the axis, each with its line of x. */
static void run_lines(const job *j, int64_t first, int64_t last, bool adds) {
  int64_t at[CVL_MAX_DIM];
  for (int64_t line = first; line < last; line++) {
    int64_t left = line, index = 0, place = 0, index_step = 1, place_step = 1, index_axis = 1,
            place_axis = 1;
    for (int d = j->index.ndim - 1; d >= 0; d--) {
      int64_t dim = d == j->axis ? 1 : j->index.dim[d];
      at[d] = left % dim;
      left /= dim;
      index += at[d] * index_step;
      place += at[d] * place_step;
      if (d == j->axis) index_axis = index_step, place_axis = place_step;
      index_step *= j->index.dim[d];
      place_step *= j->place.dim[d];
    }
    for (int64_t i = 0; i < j->m; i++) {
      int64_t k = index + i * index_axis;
      int64_t p = place + cvl_position_of(j->positions, k, j->n) * place_axis;
      if (adds)
        j->to[p] = (real)(j->to[p] + j->from[k]);
      else
        j->to[k] = j->from[p];
    }
  }
}

static void take_lines(void *context, int64_t first, int64_t last) {
  run_lines(context, first, last, false);
}
static void add_lines(void *context, int64_t first, int64_t last) {
  run_lines(context, first, last, true);
}

static int gather(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *x = a->in[0];
  int axis = cvl_at_axis(a, e);
  job j = {.positions = a->in[1],
           .from = cvl_data(x),
           .to = cvl_data(y),
           .index = y->shape,
           .place = x->shape};
  if (axis < 0) return -1;
  sizes(&j, &x->shape, axis);
  if (cvl_positions_check(a->in[1], j.n, axis, 2, e) != 0) return -1;
  if ((j.m = y->shape.dim[axis]) > 0)
    cvl_parallel_range(cvl_count(y) / j.m, GRAIN / j.m + 1, take_lines, &j);
  return 0;
}
CVL_KERNELS(gather, gather, NULL)

static int scatter_add(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *g = a->in[0];
  int axis = (int)((const cvl_at_options *)a->options)->axis;
  job j = {.positions = a->in[1],
           .from = cvl_data(g),
           .to = cvl_data(y),
           .index = g->shape,
           .place = y->shape};
  (void)e;
  sizes(&j, &y->shape, axis);
  memset(j.to, 0, (size_t)cvl_count(y) * sizeof(real));
  if ((j.m = g->shape.dim[axis]) > 0)
    cvl_parallel_range(cvl_count(g) / j.m, GRAIN / j.m + 1, add_lines, &j);
  return 0;
}
CVL_KERNELS(scatter_add, scatter_add, NULL)

#if !CVL_FLOATING
static int one_hot(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  int64_t n = ((const cvl_one_hot_options *)a->options)->class_count, count = cvl_count(a->in[0]);
  void *p = cvl_data(y);
  if (cvl_labels_check(a->in[0], n, 1, e) != 0) return -1;
  memset(p, 0, (size_t)(count * n) * cvl_dtype_size(y->dtype));
  for (int64_t i = 0; i < count; i++) {
    int64_t at = i * n + cvl_position(a->in[0], i);
    switch (y->dtype) {
    case CVL_F32:
      ((float *)p)[at] = 1;
      break;
    case CVL_F64:
      ((double *)p)[at] = 1;
      break;
    case CVL_I32:
      ((int32_t *)p)[at] = 1;
      break;
    case CVL_I64:
      ((int64_t *)p)[at] = 1;
      break;
    case CVL_BF16:
    case CVL_F16:
      ((uint16_t *)p)[at] = cvl_half_from_f32(y->dtype, 1);
      break;
    default:
      ((uint8_t *)p)[at] = 1;
      break;
    }
  }
  return 0;
}
CVL_KERNELS(one_hot, one_hot, NULL)
#endif

#elif defined CVL_DESCRIBE
extern const cvl_op cvl_op_index_select, cvl_op_index_add, cvl_op_gather, cvl_op_scatter_add,
    cvl_op_one_hot;

/* Calls the op that is the gradient of a's, or a's op on a gradient of that one. */
static cvl_tensor *turn(cvl_scope *s, const cvl_args *a, const cvl_op *op, cvl_tensor *g) {
  cvl_at_options o = {.shape = a->in[0]->shape};
  if ((o.axis = cvl_at_axis(a, s->e)) < 0) return NULL;
  return cvl_call(s, op, &o, 2, g, a->in[1]);
}

static int shape_given(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->shape = ((const cvl_at_options *)a->options)->shape;
  return 0;
}

static int select_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape, *p = &a->in[1]->shape;
  int axis = cvl_at_axis(a, e), ndim = x->ndim - 1 + p->ndim;
  if (axis < 0 || cvl_positions_check_type(a->in[1], 2, e) != 0) return -1;
  if (ndim > CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 0, "at most %d axes are possible, got %d", CVL_MAX_DIM, ndim);
  y->shape.ndim = ndim;
  for (int i = 0; i < p->ndim; i++) y->shape.dim[axis + i] = p->dim[i];
  for (int i = axis + 1; i < x->ndim; i++) y->shape.dim[i - 1 + p->ndim] = x->dim[i];
  return 0;
}

cvl_tensor *cvl_index_select(cvl_scope *s, cvl_tensor *x, cvl_tensor *positions, int64_t axis) {
  return cvl_call(s, &cvl_op_index_select, &(cvl_at_options){.axis = axis}, 2, x, positions);
}

#define VJP(name, op)                                                                              \
  static cvl_tensor *name(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) { \
    return (void)y, (void)i, turn(s, a, &cvl_op_##op, gy);                                         \
  }
VJP(select_vjp, index_add)
VJP(index_add_vjp, index_select)
VJP(gather_vjp, scatter_add)
VJP(scatter_add_vjp, gather)

CVL_OP(index_select,
  .doc = "index_select(x, positions, axis = 1) -> y\n"
         "The slices of x at the positions along an axis. positions are integers of any shape, "
         "counted from 1 or from the end; their axes take the axis's place.",
  .n_in = 2, .position_in = 2, .drops = CVL_DROP_X0 | CVL_DROP_Y, .shape = select_shape,
  .vjp = select_vjp,
  CVL_OPTIONS(cvl_at_options, CVL_AXIS(cvl_at_options, axis, CVL_ANY, "the axis; the first when left out")),
  CVL_SAMPLES("index_select(randn{4, 3}, tensor({4, 1, 1}, \"int64\"))",
              "index_select(randn{2, 3}, tensor({{3, -1}, {1, 2}}, \"int32\"), 2)",
              "index_select(randn{3, 2}:transpose(1, 2), tensor({2}, \"int64\"), {axis = 1})"),
  CVL_REJECTS({"index_select(randn{2, 3}, tensor({1, 4}, \"int64\"), 2)",
               "position 4 (element 2) is out of range: axis 2 has 3 elements, counted from 1"},
              {"index_select(randn{2, 3}, tensor({-3}, \"int64\"), 1)",
               "position -3 (element 1) is out of range"},
              {"index_select(randn{2, 3}, tensor({1}, \"int64\"), 3)",
               "axis 3 is out of range: the tensor has 2 axes"}));
CVL_OP(index_add,
  .doc = "index_add(g, positions, axis, shape) -> y\n"
         "The gradient of index_select: slices of g added into zeros.",
  .n_in = 2, .internal = true, .option_bytes = sizeof(cvl_at_options),
  .drops = CVL_DROP_X0 | CVL_DROP_Y,
  .shape = shape_given, .vjp = index_add_vjp);

static int gather_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[0]->shape, *p = &a->in[1]->shape;
  char tx[CVL_SHAPE_TEXT], tp[CVL_SHAPE_TEXT];
  int axis = cvl_at_axis(a, e);
  bool fits = x->ndim == p->ndim;
  if (axis < 0 || cvl_positions_check_type(a->in[1], 2, e) != 0) return -1;
  for (int i = 0; fits && i < x->ndim; i++) fits = i == axis || p->dim[i] <= x->dim[i];
  y->shape = *p;
  if (fits) return 0;
  return cvl_fail(e, CVL_ESHAPE, 2,
                  "positions of x's shape %s, or smaller, expected, any size on axis %d; got %s",
                  cvl_shape_text(x, tx), axis + 1, cvl_shape_text(p, tp));
}

CVL_OP(gather,
  .doc = "gather(x, positions, axis) -> y\n"
         "y[i, j] = x[positions[i, j], j] for axis 1, x[i, positions[i, j]] for axis 2, and so on. "
         "positions count from 1 or from the end, and y has their shape.",
  .n_in = 2, .position_in = 2, .drops = CVL_DROP_X0 | CVL_DROP_Y, .shape = gather_shape,
  .vjp = gather_vjp,
  CVL_OPTIONS(cvl_at_options,
    CVL_AXIS(cvl_at_options, axis, CVL_REQUIRED, "the axis that positions count along")),
  CVL_SAMPLES("gather(randn{3, 2}, tensor({{3, 1}, {3, -1}}, \"int64\"), 1)",
              "gather(randn{2, 3}, tensor({{2}, {3}}, \"int32\"), 2)",
              "gather(randn{3, 2}:transpose(1, 2), tensor({{1, 1, 2}}, \"int64\"), {axis = 1})"),
  CVL_REJECTS({"gather(randn{2, 3}, tensor({{4}, {1}}, \"int64\"), 2)",
               "position 4 (element 1) is out of range: axis 2 has 3 elements, counted from 1"},
              {"gather(randn{2, 3}, tensor({1}, \"int64\"), 2)",
               "positions of x's shape {2, 3}, or smaller, expected"},
              {"gather(randn{2, 3}, randn{2, 3}, 2)", "float32"}));
CVL_OP(scatter_add,
  .doc = "scatter_add(g, positions, axis, shape) -> y\n"
         "The gradient of gather: elements of g added into zeros.",
  .n_in = 2, .internal = true, .option_bytes = sizeof(cvl_at_options),
  .drops = CVL_DROP_X0 | CVL_DROP_Y,
  .shape = shape_given, .vjp = scatter_add_vjp);

static int one_hot_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_one_hot_options *o = a->options;
  if (cvl_positions_check_type(a->in[0], 1, e) != 0) return -1;
  if (o->class_count < 1)
    return cvl_fail(e, CVL_EARG, 0, "class_count must be positive, got %lld",
                    (long long)o->class_count);
  if (y->shape.ndim == CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 1, "labels with at most %d axes expected, got %d",
                    CVL_MAX_DIM - 1, CVL_MAX_DIM);
  y->shape.dim[y->shape.ndim++] = o->class_count;
  y->dtype = o->dtype < 0 ? CVL_F32 : (cvl_dtype)o->dtype;
  return 0;
}

cvl_tensor *cvl_one_hot(cvl_scope *s, cvl_tensor *labels, int64_t class_count, cvl_dtype dtype) {
  return cvl_call(s, &cvl_op_one_hot, &(cvl_one_hot_options){class_count, (int)dtype}, 1, labels);
}

CVL_OP(one_hot,
  .doc = "one_hot(labels, class_count, {dtype = \"float32\"}) -> y\n"
         "labels {...}, integers that start at 1, become {..., class_count}: 1 at the label, else "
         "0.",
  .n_in = 1, .position_in = 1, .drops = CVL_DROP_ALL, .shape = one_hot_shape,
  CVL_OPTIONS(cvl_one_hot_options,
    CVL_INTEGER(cvl_one_hot_options, class_count, 0, CVL_REQUIRED, "how many classes there are"),
    CVL_DTYPE(cvl_one_hot_options, dtype, CVL_ANY, "of the result; float32 when left out")),
  CVL_SAMPLES("one_hot(tensor({3, 1}, \"int64\"), 3)",
              "one_hot(tensor({{2}, {1}}, \"int32\"), 2, {dtype = \"bool\"})"),
  CVL_REJECTS({"one_hot(tensor({3, 4}, \"int64\"), 3)",
               "label 4 of sample 2 is out of range: labels start at 1 and there are 3 classes"},
              {"one_hot(tensor({1}, \"int64\"), 0)", "class_count must be positive, got 0"},
              {"one_hot(randn{2}, 3)", "float32"}));
#endif

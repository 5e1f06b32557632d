/*
** Parts of a tensor, as views.
**   slice(x, axis, first, last, step)    elements first, first + step, ... up to last, which
**                                        belongs to it, as in string.sub
**   select(x, axis, position)            one position of an axis, which y no longer has
**   diagonal(x)                          elements [.., i, i] of the last two axes
** Their gradients are put into zeros.
*/
#ifdef CVL_DESCRIBE
#include "ops/slice.h"

#include <string.h>

/* Which part of a tensor of that shape; all counted from 0. */
typedef struct {
  cvl_shape shape;
  int64_t axis, first, count, step;
} part_options;

/* A part of x as a tensor over the same data. */
static void take_part(const part_options *o, cvl_tensor *x) {
  if (o->count > 0) x->offset += o->first * x->stride[o->axis];
  if (o->count > 1) x->stride[o->axis] *= o->step; /* else the step may be larger than any axis */
  x->shape.dim[o->axis] = o->count;
}

/* y with another shape and other strides: where values are put. */
static cvl_tensor place_in(cvl_tensor *y, const cvl_shape *shape) {
  cvl_tensor place = {
      .dtype = y->dtype, .shape = *shape, .offset = y->offset, .storage = y->storage};
  memcpy(place.stride, y->stride, sizeof place.stride);
  return place;
}

static int unpart_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  cvl_tensor place = place_in(y, &y->shape);
  take_part(a->options, &place);
  return cvl_tensor_clear(y, e) != 0 ? -1 : cvl_tensor_copy(&place, a->in[0], e);
}
static const cvl_kernels unpart_kernels = {.forward = unpart_forward};

static int undiagonal_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  cvl_tensor place = place_in(y, &a->in[0]->shape);
  int last = y->shape.ndim - 1;
  place.stride[last - 1] = y->stride[last - 1] + y->stride[last];
  return cvl_tensor_clear(y, e) != 0 ? -1 : cvl_tensor_copy(&place, a->in[0], e);
}
static const cvl_kernels undiagonal_kernels = {.forward = undiagonal_forward};

extern const cvl_op cvl_op_part, cvl_op_unpart, cvl_op_diagonal, cvl_op_undiagonal;

typedef struct {
  int64_t axis, first, last, step; /* as the user writes them, from 1 or from the end */
} slice_options;

typedef struct {
  int64_t axis, position;
} select_options;

#define LEFT_OUT ((double)INT64_MIN)

static cvl_tensor *part_of(cvl_scope *s, cvl_tensor *x, const cvl_op *op, const part_options *o) {
  part_options same = *o;
  return cvl_call(s, op, &same, 1, x);
}

cvl_tensor *cvl_slice(cvl_scope *s, cvl_tensor *x, int axis, int64_t first, int64_t count,
                      int64_t step) {
  part_options o = {.axis = axis, .first = first, .count = count, .step = step};
  if (x == NULL) return NULL;
  o.shape = x->shape;
  return part_of(s, x, &cvl_op_part, &o);
}

/* ------------------------------------------------------------------ the part, and back to zeros */

static int part(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return (void)e, take_part(a->options, y), 0;
}

static cvl_tensor *part_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  return (void)y, (void)i, part_of(s, gy, &cvl_op_unpart, a->options);
}

static int unpart_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->shape = ((const part_options *)a->options)->shape;
  return 0;
}

static cvl_tensor *unpart_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                              int i) {
  return (void)y, (void)i, part_of(s, gy, &cvl_op_part, a->options);
}

CVL_OP(part,
  .doc = "part(x) -> y\nWhat slice and select are made of.",
  .n_in = 1, .internal = true, .strided = true, .option_bytes = sizeof(part_options),
  .drops = CVL_DROP_ALL, .view = part,
  .vjp = part_vjp);
CVL_OP(unpart,
  .doc = "unpart(g) -> y\n"
         "Zeros with g in place of a part: the gradient of slice and select.",
  .n_in = 1, .internal = true, .strided = true, .option_bytes = sizeof(part_options),
  .drops = CVL_DROP_ALL, .anywhere = &unpart_kernels,
  .shape = unpart_shape, .vjp = unpart_vjp);

/* -------------------------------------------------------------------------------- slice, select */

/* A position as the user writes it, from 0; -1 with an error when there is none such. */
static int64_t position(int64_t p, int64_t n, int axis, const char *what, cvl_err *e) {
  if (p > 0 && p <= n) return p - 1;
  if (p < 0 && p >= -n) return p + n;
  return cvl_fail(e, CVL_EARG, 0,
                  "%s %lld is out of range: axis %d has %lld elements, counted from 1", what,
                  (long long)p, axis + 1, (long long)n);
}

static cvl_tensor *slice(cvl_scope *s, const cvl_args *a) {
  const slice_options *o = a->options;
  cvl_tensor *x = a->in[0];
  int axis = cvl_axis(o->axis, x->shape.ndim, "axis", s->e);
  int64_t n, step = o->step, first, last, count;
  if (axis < 0) return NULL;
  if (step == 0 || step == INT64_MIN) {
    cvl_fail(s->e, CVL_EARG, 0, "step must not be 0");
    return NULL;
  }
  n = x->shape.dim[axis];
  first =
      o->first == INT64_MIN ? (step > 0 ? 0 : n - 1) : position(o->first, n, axis, "first", s->e);
  last = o->last == INT64_MIN ? (step > 0 ? n - 1 : 0) : position(o->last, n, axis, "last", s->e);
  if (cvl_scope_failed(s)) return NULL;
  count = step > 0 ? (last - first) / step + 1 : (first - last) / -step + 1;
  if (step > 0 ? last < first : first < last) count = 0;
  return cvl_slice(s, x, axis, first, count, step);
}

CVL_OP(slice,
  .doc = "slice(x, axis, first = 1, last = -1, step = 1) -> y\n"
         "A view of the elements first, first + step, ... up to last, which belongs to it. "
         "Positions count from 1 or from the end; a negative step goes backwards (from the end to "
         "the start unless told). A part of x that lies the other way round is empty.",
  .n_in = 1, .strided = true, .compose = slice,
  CVL_OPTIONS(slice_options,
    CVL_AXIS(slice_options, axis, CVL_REQUIRED, "the axis"),
    CVL_INTEGER(slice_options, first, LEFT_OUT, CVL_ANY,
                "the first position; where `step` starts when left out"),
    CVL_INTEGER(slice_options, last, LEFT_OUT, CVL_ANY,
                "the last position; where `step` ends when left out"),
    CVL_INTEGER(slice_options, step, 1, CVL_ANY, "distance between positions; not 0")),
  CVL_SAMPLES("slice(randn{4, 3}, 1, 2, 3)", "slice(randn{4, 3}, 2, 1, -1, 2)",
              "slice(randn{4, 1}, {axis = 1, step = -1})",
              "slice(randn{3, 4}:transpose(1, 2), 1, -1, 2, -2)"),
  CVL_REJECTS({"slice(randn{4, 3}, 2, 2, 4)",
              "last 4 is out of range: axis 2 has 3 elements, counted from 1"},
              {"slice(randn{4, 3}, 1, 0)",
               "first 0 is out of range: axis 1 has 4 elements, counted from 1"},
              {"slice(randn{4, 3}, 3, 1, 1)", "axis 3 is out of range: the tensor has 2 axes"},
              {"slice(randn{4, 3}, 1, 1, 2, 0)", "step must not be 0"}));

extern const cvl_op cvl_op_squeeze;

static cvl_tensor *select_one(cvl_scope *s, const cvl_args *a) {
  const select_options *o = a->options;
  cvl_tensor *x = a->in[0];
  int axis = cvl_axis(o->axis, x->shape.ndim, "axis", s->e);
  int64_t at = axis < 0 ? -1 : position(o->position, x->shape.dim[axis], axis, "position", s->e);
  if (at < 0) return NULL;
  return cvl_call(s, &cvl_op_squeeze, &(int64_t){axis}, 1, cvl_slice(s, x, axis, at, 1, 1));
}

CVL_OP(select,
  .doc = "select(x, axis, position) -> y\n"
         "A view of one position of an axis, which y does not have; from 1, or from the end.",
  .n_in = 1, .strided = true, .compose = select_one,
  CVL_OPTIONS(select_options,
    CVL_AXIS(select_options, axis, CVL_REQUIRED, "the axis that goes"),
    CVL_INTEGER(select_options, position, 0, CVL_REQUIRED, "the position on it")),
  CVL_SAMPLES("select(randn{4, 3}, 1, 2)", "select(randn{2, 1, 3}, -1, -1)",
              "select(randn{3, 2}:transpose(1, 2), 1, 1)"),
  CVL_REJECTS({"select(randn{4, 3}, 1, 5)",
              "position 5 is out of range: axis 1 has 4 elements, counted from 1"},
              {"select(randn{4, 3}, 3, 1)", "axis 3 is out of range: the tensor has 2 axes"},
              {"select(randn{4, 3}, 1)", "option 'position' is missing"}));

/* ------------------------------------------------------------------------------------- diagonal */

static int diagonal(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  int last = y->shape.ndim - 1;
  char text[CVL_SHAPE_TEXT];
  if (last < 1)
    return cvl_fail(e, CVL_ESHAPE, 1, "at least 2 axes expected, got a tensor %s",
                    cvl_shape_text(&a->in[0]->shape, text));
  if (y->shape.dim[last] < y->shape.dim[last - 1]) y->shape.dim[last - 1] = y->shape.dim[last];
  y->stride[last - 1] += y->stride[last];
  y->shape.ndim--;
  return 0;
}

static cvl_tensor *diagonal_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                                int i) {
  cvl_shape shape = a->in[i]->shape;
  return (void)y, cvl_call(s, &cvl_op_undiagonal, &shape, 1, gy);
}

static int undiagonal_shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->shape = *(const cvl_shape *)a->options;
  return 0;
}

static cvl_tensor *undiagonal_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                                  int i) {
  return (void)a, (void)y, (void)i, cvl_call(s, &cvl_op_diagonal, NULL, 1, gy);
}

CVL_OP(diagonal,
  .doc = "diagonal(x) -> y\n"
         "A view of the elements [.., i, i]: x {..., M, N}, y {..., min(M, N)}.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = diagonal, .vjp = diagonal_vjp,
  CVL_SAMPLES("diagonal(randn{3, 3})", "diagonal(randn{2, 3, 2})",
              "diagonal(randn{3, 2}:transpose(1, 2))"),
  CVL_REJECTS({"diagonal(randn{3})", "at least 2 axes expected, got a tensor {3}"}));
CVL_OP(undiagonal,
  .doc = "undiagonal(g) -> y\nZeros with g on the diagonal: the gradient of diagonal.",
  .n_in = 1, .internal = true, .strided = true, .option_bytes = sizeof(cvl_shape),
  .drops = CVL_DROP_ALL, .anywhere = &undiagonal_kernels,
  .shape = undiagonal_shape, .vjp = undiagonal_vjp);

static cvl_tensor *diag(cvl_scope *s, const cvl_args *a) {
  cvl_tensor *x = a->in[0];
  cvl_shape square = x->shape;
  if (x->shape.ndim == 2) return cvl_call(s, &cvl_op_diagonal, NULL, 1, x);
  if (x->shape.ndim != 1) {
    cvl_fail(s->e, CVL_ESHAPE, 1, "a vector or a matrix expected, got %d axes", x->shape.ndim);
    return NULL;
  }
  square.dim[square.ndim++] = x->shape.dim[0];
  return cvl_call(s, &cvl_op_undiagonal, &square, 1, x);
}

CVL_OP(diag,
  .doc = "diag(x) -> y\n"
         "The diagonal of a matrix; of a vector, the matrix that has it there and 0 elsewhere.",
  .n_in = 1, .strided = true, .compose = diag,
  CVL_SAMPLES("diag(randn{3})", "diag(randn{3, 2})", "diag(randn{3, 3}:transpose(1, 2))"),
  CVL_REJECTS({"diag(randn{2, 2, 2})", "a vector or a matrix expected, got 3 axes"}));
#endif

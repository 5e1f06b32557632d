/*
** The elements of x in another arrangement.
**   flip(x, axis)                  an axis backwards; a view
**   roll(x, shift, axis)           an axis turned by `shift` places; what leaves at the end comes
**                                  in at the start
**   tile(x, counts)                x as a whole, counts[i] times along axis i; more counts than
**                                  axes make new ones in front
**   repeat_each(x, count, axis)    each slice `count` times in a row
*/
#ifdef CVL_DESCRIBE
#include "ops/slice.h"
#include "ops/view.h"

extern const cvl_op cvl_op_concat;

static cvl_tensor *flip(cvl_scope *s, const cvl_args *a) {
  const cvl_axis_options *o = a->options;
  cvl_tensor *x = a->in[0];
  int axis = cvl_axis(o->axis, x->shape.ndim, "axis", s->e);
  if (axis < 0) return NULL;
  return cvl_slice(s, x, axis, x->shape.dim[axis] - 1, x->shape.dim[axis], -1);
}

CVL_OP(flip,
  .doc = "flip(x, axis) -> y\nA view with an axis backwards.",
  .n_in = 1, .strided = true, .compose = flip,
  CVL_OPTIONS(cvl_axis_options, CVL_AXIS(cvl_axis_options, axis, CVL_REQUIRED, "the axis")),
  CVL_SAMPLES("flip(randn{2, 3}, 2)", "flip(randn{3, 1}, 1)",
              "flip(randn{3, 2}:transpose(1, 2), -1)"),
  CVL_REJECTS({"flip(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"}));

typedef struct {
  int64_t shift, axis;
} roll_options;

static cvl_tensor *roll(cvl_scope *s, const cvl_args *a) {
  const roll_options *o = a->options;
  cvl_axis_options along = {o->axis};
  cvl_tensor *x = a->in[0], *end, *start;
  int axis = cvl_axis(o->axis, x->shape.ndim, "axis", s->e);
  int64_t n, shift;
  if (axis < 0) return NULL;
  n = x->shape.dim[axis];
  shift = n > 0 ? o->shift % n : 0;
  if (shift < 0) shift += n;
  end = cvl_slice(s, x, axis, n - shift, shift, 1);
  start = cvl_slice(s, x, axis, 0, n - shift, 1);
  return cvl_call(s, &cvl_op_concat, &along, 2, end, start);
}

CVL_OP(roll,
  .doc = "roll(x, shift, axis) -> y\n"
         "An axis turned by `shift` places: what leaves at the end comes in at the start; a "
         "negative shift turns the other way.",
  .n_in = 1, .strided = true, .compose = roll,
  CVL_OPTIONS(roll_options,
    CVL_INTEGER(roll_options, shift, 0, CVL_REQUIRED, "by how many places"),
    CVL_AXIS(roll_options, axis, CVL_REQUIRED, "the axis")),
  CVL_SAMPLES("roll(randn{2, 3}, 1, 2)", "roll(randn{4, 1}, -5, 1)",
              "roll(randn{3, 2}:transpose(1, 2), 2, -1)"),
  CVL_REJECTS({"roll(randn{2, 3}, 1, 3)", "axis 3 is out of range: the tensor has 2 axes"},
              {"roll(randn{2, 3}, 1)", "option 'axis' is missing"}));

/* x {.., before, after, ..} with axis `axis` of size 1 repeated `count` times, then joined with the
** next one. */
static cvl_tensor *repeated(cvl_scope *s, cvl_tensor *x, const cvl_shape *with_axis, int axis,
                            int64_t count, int joined) {
  cvl_shape wide = *with_axis, out = {0};
  wide.dim[axis] = count;
  if ((x = cvl_expand(s, cvl_reshape(s, x, with_axis), &wide)) == NULL) return NULL; /* too large */
  for (int i = 0; i < wide.ndim; i++)
    if (i == joined + 1)
      out.dim[out.ndim - 1] *= wide.dim[i];
    else
      out.dim[out.ndim++] = wide.dim[i];
  return cvl_reshape(s, x, &out);
}

/* The shape of x with an axis of size 1 put before axis `axis`, or an error. */
static int make_room(const cvl_shape *x, int axis, cvl_shape *y, cvl_err *e) {
  if (x->ndim == CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 1, "at most %d axes expected, got %d", CVL_MAX_DIM - 1, x->ndim);
  *y = (cvl_shape){.ndim = x->ndim + 1};
  for (int i = 0; i < y->ndim; i++)
    y->dim[i] = i < axis ? x->dim[i] : i == axis ? 1 : x->dim[i - 1];
  return 0;
}

typedef struct {
  cvl_ints counts;
} tile_options;

static cvl_tensor *tile(cvl_scope *s, const cvl_args *a) {
  const tile_options *o = a->options;
  cvl_tensor *y = a->in[0];
  cvl_shape shape = {.ndim = o->counts.n > y->shape.ndim ? o->counts.n : y->shape.ndim};
  int extra = shape.ndim - y->shape.ndim, first = shape.ndim - o->counts.n;
  for (int i = 0; i < shape.ndim; i++) shape.dim[i] = i < extra ? 1 : y->shape.dim[i - extra];
  y = cvl_reshape(s, y, &shape);
  for (int i = first; y != NULL && i < shape.ndim; i++) {
    cvl_shape wide;
    if (o->counts.v[i - first] == 1) continue;
    if (make_room(&y->shape, i, &wide, s->e) != 0) return NULL;
    y = repeated(s, y, &wide, i, o->counts.v[i - first], i);
  }
  return y;
}

CVL_OP(tile,
  .doc = "tile(x, counts) -> y\n"
         "x as a whole, counts[i] times along axis i; fewer counts than axes are for the last "
         "ones, more make new axes in front.",
  .n_in = 1, .strided = true, .compose = tile,
  CVL_OPTIONS(tile_options, {"counts", CVL_OPT_SIZES, offsetof(tile_options, counts), 0,
              CVL_REQUIRED, NULL,
                             "how often along each axis"}),
  CVL_SAMPLES("tile(randn{2, 3}, {2, 1})", "tile(randn{2}, {2, 3})",
              "tile(randn{3, 2}:transpose(1, 2), {2})"),
  CVL_REJECTS({"tile(randn{2}, {0})", "counts must be positive, got 0"}));

typedef struct {
  int64_t count, axis;
} repeat_options;

static cvl_tensor *repeat_each(cvl_scope *s, const cvl_args *a) {
  const repeat_options *o = a->options;
  cvl_tensor *x = a->in[0];
  cvl_shape wide;
  int axis = cvl_axis(o->axis, x->shape.ndim, "axis", s->e);
  if (axis < 0) return NULL;
  if (o->count < 0) {
    cvl_fail(s->e, CVL_EARG, 0, "count must be 0 or more, got %lld", (long long)o->count);
    return NULL;
  }
  if (make_room(&x->shape, axis + 1, &wide, s->e) != 0) return NULL;
  return repeated(s, x, &wide, axis + 1, o->count, axis);
}

CVL_OP(repeat_each,
  .doc = "repeat_each(x, count, axis) -> y\nEach slice of an axis `count` times in a row.",
  .n_in = 1, .strided = true, .compose = repeat_each,
  CVL_OPTIONS(repeat_options,
    CVL_INTEGER(repeat_options, count, 0, CVL_REQUIRED, "how often"),
    CVL_AXIS(repeat_options, axis, CVL_REQUIRED, "the axis")),
  CVL_SAMPLES("repeat_each(randn{2, 3}, 2, 1)", "repeat_each(randn{2, 1}, 3, -1)",
              "repeat_each(randn{3, 2}:transpose(1, 2), 2, 1)"),
  CVL_REJECTS({"repeat_each(randn{2, 3}, 2, 3)", "axis 3 is out of range: the tensor has 2 axes"},
              {"repeat_each(randn{2, 3}, 1 << 62, 1)", "larger than any memory"},
              {"repeat_each(randn{2, 3}, -1, 1)", "count must be 0 or more, got -1"}));
#endif

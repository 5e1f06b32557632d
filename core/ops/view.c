/*
** Other shapes over the same data.
**   reshape(x, shape)     the same elements in row-major order; one size may be -1. Copies only
**                         where strides cannot say it
**   flatten(x, axis = 1)  the axes from `axis` on become one
**   permute(x, axes)      y's axis i is x's axis axes[i]
**   transpose(x, a, b)    two axes change places
**   expand(x, shape)      axes of size 1, and new ones in front, are repeated without a copy; -1
**                         keeps a size
**   squeeze(x, axis)      drops an axis of size 1, or all of them
**   unsqueeze(x, axis)    a new axis of size 1 at `axis` of the result
**   identity(x)           x
*/
#ifdef CVL_DESCRIBE
#include "ops/view.h"

extern const cvl_op cvl_op_view, cvl_op_reshape, cvl_op_expand, cvl_op_permute, cvl_op_transpose;

#define VJP(name) \
  static cvl_tensor *name(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i)

static cvl_shape_options sizes_of(const cvl_shape *shape) {
  cvl_shape_options o = {{.n = shape->ndim}};
  for (int i = 0; i < shape->ndim; i++) o.shape.v[i] = shape->dim[i];
  return o;
}

cvl_tensor *cvl_reshape(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape) {
  cvl_shape_options o = sizes_of(shape);
  return cvl_call(s, &cvl_op_reshape, &o, 1, x);
}

cvl_tensor *cvl_expand(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape) {
  cvl_shape_options o = sizes_of(shape);
  return cvl_call(s, &cvl_op_expand, &o, 1, x);
}

cvl_tensor *cvl_transpose(cvl_scope *s, cvl_tensor *x, int64_t a, int64_t b) {
  return cvl_call(s, &cvl_op_transpose, &(cvl_two_axes_options){a, b}, 1, x);
}

cvl_tensor *cvl_unreduce(cvl_scope *s, cvl_tensor *y, const bool axes[CVL_MAX_DIM],
                         const cvl_shape *shape) {
  cvl_shape kept = *shape;
  for (int i = 0; i < kept.ndim; i++)
    if (axes[i]) kept.dim[i] = 1;
  return cvl_expand(s, cvl_reshape(s, y, &kept), shape);
}

VJP(back_to_shape) { return (void)y, cvl_reshape(s, gy, &a->in[i]->shape); }

/* -------------------------------------------------------------------------------------- reshape */

/* x's shape from the user's, with -1 worked out. */
static int target(const cvl_shape *x, const cvl_ints *wanted, cvl_shape *y, cvl_err *e) {
  char tx[CVL_SHAPE_TEXT], ty[CVL_SHAPE_TEXT];
  int64_t count = cvl_shape_count(x), known = 1;
  int free_axis = -1;
  bool fits = true;
  y->ndim = wanted->n;
  for (int i = 0; i < wanted->n; i++) {
    y->dim[i] = wanted->v[i];
    if (wanted->v[i] == -1) {
      if (free_axis >= 0)
        return cvl_fail(e, CVL_ESHAPE, 0, "one size at most may be -1, got %s",
                        cvl_shape_text(y, ty));
      free_axis = i;
    } else if (wanted->v[i] < 0 || __builtin_mul_overflow(known, wanted->v[i], &known)) {
      fits = false;
      known = 0;
    }
  }
  cvl_shape_text(y, ty);
  if (free_axis >= 0) {
    fits = fits && known > 0 && count % known == 0;
    if (fits) y->dim[free_axis] = count / known;
  } else {
    fits = fits && known == count;
  }
  if (fits) return 0;
  return cvl_fail(e, CVL_ESHAPE, 0, "a tensor %s has %lld elements, which do not fill the shape %s",
                  cvl_shape_text(x, tx), (long long)count, ty);
}

/*
** Strides over x's data for another shape of as many elements, or false when a copy is needed. Axes
** of x are taken in groups that lie evenly in memory; each must be used up by whole axes of y.
*/
static bool restride(const cvl_tensor *x, const cvl_shape *to, int64_t stride[CVL_MAX_DIM]) {
  int axis = to->ndim - 1;
  int64_t group = 1, used = 1;
  if (cvl_count(x) == 0) return cvl_shape_strides(to, stride), true;
  for (int i = x->shape.ndim - 1; i >= 0; i--) {
    int64_t base;
    if (x->shape.dim[i] == 1) continue;
    base = x->stride[i];
    group = x->shape.dim[i];
    while (i > 0 && (x->shape.dim[i - 1] == 1 || x->stride[i - 1] == base * group))
      group *= x->shape.dim[--i];
    for (used = 1; axis >= 0 && (used < group || to->dim[axis] == 1); axis--) {
      stride[axis] = base * used;
      used *= to->dim[axis];
    }
    if (used != group) return false;
  }
  for (; axis >= 0; axis--) stride[axis] = 1; /* sizes of 1 are left */
  return true;
}

/* The tensor over the same data; only ever asked for shapes that restride can do. */
static int view(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_shape_options *o = a->options;
  cvl_shape shape;
  if (target(&a->in[0]->shape, &o->shape, &shape, e) != 0) return -1;
  if (!restride(a->in[0], &shape, y->stride))
    return cvl_fail(e, CVL_ESHAPE, 0, "a view of these strides is not possible; reshape copies");
  y->shape = shape;
  return 0;
}

CVL_OP(view,
  .doc = "view(x, shape) -> y\nThe part of reshape that needs no copy.",
  .n_in = 1, .internal = true, .strided = true, .drops = CVL_DROP_ALL, .view = view,
  .vjp = back_to_shape,
  CVL_OPTIONS(cvl_shape_options, CVL_SHAPE(cvl_shape_options, shape, "sizes; one may be -1")),
  CVL_SAMPLES("view(randn{2, 3}, {3, 2})"));

static cvl_tensor *reshape_to(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape) {
  cvl_shape_options o = sizes_of(shape);
  int64_t stride[CVL_MAX_DIM];
  if (cvl_shape_equal(&x->shape, shape)) return x;
  if (!restride(x, shape, stride)) x = cvl_contiguous(s, x);
  return cvl_call(s, &cvl_op_view, &o, 1, x);
}

static cvl_tensor *reshape(cvl_scope *s, const cvl_args *a) {
  const cvl_shape_options *o = a->options;
  cvl_shape shape;
  return target(&a->in[0]->shape, &o->shape, &shape, s->e) != 0 ? NULL
                                                                : reshape_to(s, a->in[0], &shape);
}

CVL_OP(reshape,
  .doc = "reshape(x, shape) -> y\n"
         "The same elements, in row-major order, in another shape; one size may be -1, what is "
         "left. A view of x where its strides allow it, else a copy.",
  .n_in = 1, .strided = true, .compose = reshape,
  CVL_OPTIONS(cvl_shape_options, CVL_SHAPE(cvl_shape_options, shape, "sizes; one may be -1")),
  CVL_SAMPLES("reshape(randn{2, 3}, {3, 2})", "reshape(randn{2, 1, 6}, {-1, 3})",
              "reshape(randn{2, 3}:transpose(1, 2), {6})", "reshape(randn{1}, {})"),
  CVL_REJECTS({"reshape(randn{2, 3}, {4, 2})",
              "{2, 3} has 6 elements, which do not fill the shape {4, 2}"},
              {"reshape(randn{2, 3}, {-1, 4})", "do not fill the shape {-1, 4}"},
              {"reshape(randn{2, 3}, {-1, -1})", "one size at most may be -1, got {-1, -1}"}));

static cvl_tensor *flatten(cvl_scope *s, const cvl_args *a) {
  const cvl_axis_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape;
  cvl_shape shape = {1, {1}};
  if (x->ndim > 0) {
    int axis = cvl_axis(o->axis == CVL_NO_AXIS ? 0 : o->axis, x->ndim, "axis", s->e);
    if (axis < 0) return NULL;
    shape.ndim = axis + 1;
    for (int i = 0; i < x->ndim; i++)
      if (i <= axis)
        shape.dim[i] = x->dim[i];
      else
        shape.dim[axis] *= x->dim[i];
  }
  return reshape_to(s, a->in[0], &shape);
}

CVL_OP(flatten,
  .doc = "flatten(x, axis = 1) -> y\n"
         "The axes from `axis` on become one, in row-major order: flatten(x, 2) of {N, H, W, C} is "
         "{N, H*W*C}.",
  .n_in = 1, .strided = true, .compose = flatten,
  CVL_OPTIONS(cvl_axis_options,
    CVL_AXIS(cvl_axis_options, axis, CVL_ANY, "the first axis to be joined")),
  CVL_SAMPLES("flatten(randn{2, 3, 2}, 2)", "flatten(randn{2, 3})"),
  CVL_REJECTS({"flatten(randn{2, 3}, 3)", "axis 3 is out of range: the tensor has 2 axes"}));

/* ---------------------------------------------------------------------------- order of the axes */

static int permute(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_axes_options *o = a->options;
  const cvl_tensor *x = a->in[0];
  bool seen[CVL_MAX_DIM] = {false};
  if (o->axes.n != x->shape.ndim)
    return cvl_fail(e, CVL_ESHAPE, 0, "as many axes as the tensor has expected, %d, got %d",
                    x->shape.ndim, o->axes.n);
  for (int i = 0; i < o->axes.n; i++) {
    int axis = cvl_axis(o->axes.v[i], x->shape.ndim, "axis", e);
    if (axis < 0) return -1;
    if (seen[axis])
      return cvl_fail(e, CVL_EARG, 0, "each axis once expected, got axis %d twice", axis + 1);
    seen[axis] = true;
    y->shape.dim[i] = x->shape.dim[axis];
    y->stride[i] = x->stride[axis];
  }
  return 0;
}

VJP(permute_vjp) {
  const cvl_axes_options *o = a->options;
  cvl_axes_options back = {{.n = o->axes.n}};
  (void)y;
  for (int k = 0; k < o->axes.n; k++) {
    int64_t axis = o->axes.v[k];
    back.axes.v[axis < 0 ? axis + a->in[i]->shape.ndim : axis] = k;
  }
  return cvl_call(s, &cvl_op_permute, &back, 1, gy);
}

CVL_OP(permute,
  .doc = "permute(x, axes) -> y\n"
         "A view with the axes in another order: y's axis i is x's axis axes[i]. permute(x, {1, 4, "
         "2, 3}) takes {N, H, W, C} to {N, C, H, W}.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = permute, .vjp = permute_vjp,
  CVL_OPTIONS(cvl_axes_options, CVL_AXES(cvl_axes_options, axes, CVL_REQUIRED, "every axis once")),
  CVL_SAMPLES("permute(randn{2, 3, 4}, {3, 1, 2})", "permute(randn{2, 1, 3}, {2, -1, 1})"),
  CVL_REJECTS({"permute(randn{2, 3}, {1})", "as many axes as the tensor has expected, 2, got 1"},
              {"permute(randn{2, 3}, {1, 1})", "each axis once expected, got axis 1 twice"},
              {"permute(randn{2, 3}, {1, 3})", "axis 3 is out of range: the tensor has 2 axes"}));

static int transpose(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_two_axes_options *o = a->options;
  const cvl_tensor *x = a->in[0];
  int p = cvl_axis(o->a == CVL_NO_AXIS ? -2 : o->a, x->shape.ndim, "axis", e), q;
  if (p < 0 || (q = cvl_axis(o->b == CVL_NO_AXIS ? -1 : o->b, x->shape.ndim, "axis", e)) < 0)
    return -1;
  y->shape.dim[p] = x->shape.dim[q];
  y->shape.dim[q] = x->shape.dim[p];
  y->stride[p] = x->stride[q];
  y->stride[q] = x->stride[p];
  return 0;
}

VJP(transpose_vjp) { return (void)y, (void)i, cvl_call(s, &cvl_op_transpose, a->options, 1, gy); }

CVL_OP(transpose,
  .doc = "transpose(x, a = -2, b = -1) -> y\n"
         "A view in which axes a and b have changed places.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = transpose, .vjp = transpose_vjp,
  CVL_OPTIONS(cvl_two_axes_options,
    CVL_AXIS(cvl_two_axes_options, a, CVL_ANY, "an axis; the last but one when left out"),
    CVL_AXIS(cvl_two_axes_options, b, CVL_ANY, "the other; the last when left out")),
  CVL_SAMPLES("transpose(randn{2, 3, 4}, 1, 3)", "transpose(randn{2, 3})",
              "transpose(randn{2, 1, 3}, -1, 1)"),
  CVL_REJECTS({"transpose(randn{2, 3}, 1, 3)", "axis 3 is out of range: the tensor has 2 axes"},
              {"transpose(randn{2})", "axis -2 is out of range: the tensor has 1 axes"}));

/* ----------------------------------------------------------------------------------- sizes of 1 */

static int expand(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_shape_options *o = a->options;
  const cvl_tensor *x = a->in[0];
  char tx[CVL_SHAPE_TEXT], ty[CVL_SHAPE_TEXT];
  int extra = o->shape.n - x->shape.ndim;
  bool fits = extra >= 0;
  y->shape.ndim = o->shape.n;
  for (int i = 0; i < o->shape.n; i++) y->shape.dim[i] = o->shape.v[i];
  cvl_shape_text(&y->shape, ty);
  for (int i = 0; fits && i < o->shape.n; i++) {
    int64_t own = i < extra ? 1 : x->shape.dim[i - extra], size = o->shape.v[i];
    if (size == -1 && i >= extra) size = own;
    fits = size >= 0 && (own == size || own == 1);
    y->shape.dim[i] = size;
    y->stride[i] = i < extra || (own == 1 && size != 1) ? 0 : x->stride[i - extra];
  }
  if (!fits)
    return cvl_fail(
        e, CVL_ESHAPE, 0,
        "a tensor %s does not expand to %s: only axes of size 1, and new ones in front, can",
        cvl_shape_text(&x->shape, tx), ty);
  return cvl_shape_check(&y->shape, (int64_t)cvl_dtype_size(x->dtype), e);
}

VJP(expand_vjp) { return (void)y, cvl_sum_to(s, gy, &a->in[i]->shape); }

CVL_OP(expand,
  .doc = "expand(x, shape) -> y\n"
         "A view in which axes of size 1 are repeated; new axes may be added in front; -1 keeps a "
         "size. No copy is made.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = expand, .vjp = expand_vjp,
  CVL_OPTIONS(cvl_shape_options, CVL_SHAPE(cvl_shape_options, shape, "sizes; -1 keeps one")),
  CVL_SAMPLES("expand(randn{2, 1}, {2, 3})", "expand(randn{3}, {2, -1})",
              "expand(randn{1, 2}:transpose(1, 2), {2, 2})"),
  CVL_REJECTS({"expand(randn{2, 3}, {2, 4})", "{2, 3} does not expand to {2, 4}"},
              {"expand(randn{2, 3}, {3})", "{2, 3} does not expand to {3}"}));

static int squeeze(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_axis_options *o = a->options;
  const cvl_tensor *x = a->in[0];
  int only = -1, n = 0;
  if (o->axis != CVL_NO_AXIS) {
    if ((only = cvl_axis(o->axis, x->shape.ndim, "axis", e)) < 0) return -1;
    if (x->shape.dim[only] != 1)
      return cvl_fail(e, CVL_ESHAPE, 0, "an axis of size 1 expected, axis %d has size %lld",
                      only + 1, (long long)x->shape.dim[only]);
  }
  for (int i = 0; i < x->shape.ndim; i++) {
    if (only >= 0 ? i == only : x->shape.dim[i] == 1) continue;
    y->shape.dim[n] = x->shape.dim[i];
    y->stride[n++] = x->stride[i];
  }
  y->shape.ndim = n;
  return 0;
}

CVL_OP(squeeze,
  .doc = "squeeze(x, axis = nil) -> y\n"
         "A view without the axis, which has size 1; without all of those when none is named.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = squeeze, .vjp = back_to_shape,
  CVL_OPTIONS(cvl_axis_options,
    CVL_AXIS(cvl_axis_options, axis, CVL_ANY, "the axis; all of size 1 when left out")),
  CVL_SAMPLES("squeeze(randn{2, 1, 3}, 2)", "squeeze(randn{1, 2, 1})"),
  CVL_REJECTS({"squeeze(randn{2, 1}, 1)", "an axis of size 1 expected, axis 1 has size 2"},
              {"squeeze(randn{2, 1}, 3)", "axis 3 is out of range: the tensor has 2 axes"}));

static int unsqueeze(const cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_axis_options *o = a->options;
  const cvl_tensor *x = a->in[0];
  int ndim = x->shape.ndim + 1, axis;
  if (ndim > CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 0, "at most %d axes are possible, got %d", CVL_MAX_DIM, ndim);
  if (o->axis >= ndim || o->axis < -ndim)
    return cvl_fail(e, CVL_EARG, 0, "axis %lld is out of range: the result has %d axes",
                    (long long)(o->axis >= 0 ? o->axis + 1 : o->axis), ndim);
  axis = (int)(o->axis < 0 ? o->axis + ndim : o->axis);
  for (int i = ndim - 1; i > axis; i--) {
    y->shape.dim[i] = x->shape.dim[i - 1];
    y->stride[i] = x->stride[i - 1];
  }
  y->shape.dim[axis] = 1;
  y->stride[axis] = axis + 1 < ndim ? y->shape.dim[axis + 1] * y->stride[axis + 1] : 1;
  y->shape.ndim = ndim;
  return 0;
}

CVL_OP(unsqueeze,
  .doc = "unsqueeze(x, axis) -> y\n"
         "A view with a new axis of size 1, which is axis `axis` of y.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .view = unsqueeze, .vjp = back_to_shape,
  CVL_OPTIONS(cvl_axis_options,
    CVL_AXIS(cvl_axis_options, axis, CVL_REQUIRED, "where the new axis goes")),
  CVL_SAMPLES("unsqueeze(randn{2, 3}, 2)", "unsqueeze(randn{2}, -1)"),
  CVL_REJECTS({"unsqueeze(randn{2}, 3)", "axis 3 is out of range: the result has 2 axes"}));

static cvl_tensor *itself(cvl_scope *s, const cvl_args *a) { return (void)s, a->in[0]; }

CVL_OP(identity,
  .doc = "identity(x) -> y\nx itself: the activation of a layer that has none.",
  .n_in = 1, .strided = true, .compose = itself,
  CVL_SAMPLES("identity(randn{2, 3})"), CVL_REJECTS({"identity(nil)", "tensor expected, got nil"}));
#endif

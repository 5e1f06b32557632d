/*
** pad(x, pads, {mode = "constant", value = 0}) -> y      more elements before and after, pads =
**                                                        {{before, after}, ...}
**   constant   value                          a 1 2 3  ->  v v 1 2 3 v
**   reflect    mirrored without the edge      a 1 2 3  ->  3 2 1 2 3 2
**   replicate  the edge again                 a 1 2 3  ->  1 1 1 2 3 3
*/
#ifdef CVL_DESCRIBE
#include "ops/pad.h"

#include <string.h>

#include "ops/gather.h"
#include "ops/slice.h"

typedef cvl_pad_options pad_options;

enum { CONSTANT, REFLECT, REPLICATE };

static int pad_constant(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const pad_options *o = a->options;
  cvl_tensor middle = {
      .dtype = y->dtype, .shape = a->in[0]->shape, .offset = y->offset, .storage = y->storage};
  memcpy(middle.stride, y->stride, sizeof middle.stride);
  for (int i = 0; i < y->shape.ndim; i++) middle.offset += o->pads.before[i] * y->stride[i];
  if (cvl_tensor_fill(y, o->value, e) != 0) return -1;
  return cvl_tensor_copy(&middle, a->in[0], e);
}
static const cvl_kernels pad_constant_kernels = {.forward = pad_constant};

extern const cvl_op cvl_op_pad_constant;

static int check(const cvl_args *a, cvl_shape *y, cvl_err *e) {
  const pad_options *o = a->options;
  const cvl_shape *x = &a->in[0]->shape;
  char text[CVL_SHAPE_TEXT];
  if (o->pads.n != x->ndim)
    return cvl_fail(e, CVL_ESHAPE, 0,
                    "one pair {before, after} for each of the %d axes of %s expected, got %d",
                    x->ndim, cvl_shape_text(x, text), o->pads.n);
  *y = *x;
  for (int i = 0; i < x->ndim; i++) {
    int64_t more = o->pads.before[i] > o->pads.after[i] ? o->pads.before[i] : o->pads.after[i];
    int64_t most = o->mode == REFLECT ? x->dim[i] - 1 : x->dim[i] > 0 ? INT64_MAX : 0;
    if (o->mode != CONSTANT && more > (most > 0 ? most : 0))
      return cvl_fail(e, CVL_ESHAPE, 0,
                      "axis %d has %lld elements: too few for padding {%lld, %lld} in mode %s",
                      i + 1, (long long)x->dim[i], (long long)o->pads.before[i],
                      (long long)o->pads.after[i], o->mode == REFLECT ? "reflect" : "replicate");
    if (__builtin_add_overflow(y->dim[i], o->pads.before[i], &y->dim[i]) ||
        __builtin_add_overflow(y->dim[i], o->pads.after[i], &y->dim[i]))
      return cvl_fail(e, CVL_ESHAPE, 0, "padding {%lld, %lld} is larger than any memory",
                      (long long)o->pads.before[i], (long long)o->pads.after[i]);
  }
  return 0;
}

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) { return check(a, &y->shape, e); }

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const pad_options *o = a->options;
  const cvl_shape *x = &a->in[i]->shape;
  (void)y;
  for (int d = 0; d < x->ndim; d++)
    if (o->pads.before[d] + o->pads.after[d] > 0)
      gy = cvl_slice(s, gy, d, o->pads.before[d], x->dim[d], 1);
  return gy;
}

static const char *const modes[] = {"constant", "reflect", "replicate", NULL};

#define OPTIONS                                                                               \
  CVL_OPTIONS(                                                                                \
      pad_options, CVL_PAIRS(pad_options, pads, "{{before, after}, ...}, one pair per axis"), \
      CVL_CHOICE(pad_options, mode, CONSTANT, modes,                                          \
                 "\"constant\", \"reflect\" (without the edge) or \"replicate\" (the edge)"), \
      CVL_NUMBER(pad_options, value, 0, CVL_ANY, "what is put there in mode constant"))

CVL_OP(pad_constant,
  .doc = "pad_constant(x, pads, {value = 0}) -> y\npad in mode constant.",
  .n_in = 1, .internal = true, .strided = true, .drops = CVL_DROP_ALL, .shape = shape, .vjp = vjp,
  .anywhere = &pad_constant_kernels, OPTIONS,
  CVL_SAMPLES("pad_constant(randn{2, 3}, {{1, 0}, {0, 2}})"));

/* Which element of an axis stands at each position of the padded one. */
static cvl_tensor *sources(cvl_scope *s, const cvl_tensor *x, int axis, const pad_options *o) {
  int64_t n = x->shape.dim[axis], before = o->pads.before[axis],
          size = n + before + o->pads.after[axis];
  cvl_shape shape = {1, {size}};
  cvl_tensor *p = cvl_tensor_new(&shape, CVL_I64, NULL, s->e), *there;
  if (p == NULL) return NULL;
  for (int64_t i = 0; i < size; i++) {
    int64_t at = i - before;
    if (at < 0) at = o->mode == REFLECT ? -at : 0;
    if (at >= n) at = o->mode == REFLECT ? 2 * (n - 1) - at : n - 1;
    ((int64_t *)cvl_data(p))[i] = at;
  }
  if (cvl_device_of(x) == cvl_cpu()) return cvl_scope_own(s, p);
  there = cvl_tensor_clone(p, cvl_device_of(x), s->e);
  cvl_release(p);
  return cvl_scope_own(s, there);
}

static cvl_tensor *pad(cvl_scope *s, const cvl_args *a) {
  const pad_options *o = a->options;
  cvl_tensor *y = a->in[0];
  cvl_shape padded;
  if (check(a, &padded, s->e) != 0 ||
      cvl_shape_check(&padded, (int64_t)cvl_dtype_size(y->dtype), s->e) != 0)
    return NULL;
  if (o->mode == CONSTANT) return cvl_call(s, &cvl_op_pad_constant, o, 1, y);
  for (int d = 0; y != NULL && d < padded.ndim; d++)
    if (o->pads.before[d] + o->pads.after[d] > 0)
      y = cvl_index_select(s, y, sources(s, y, d, o), d);
  return y;
}

CVL_OP(pad,
  .doc = "pad(x, pads, {mode = \"constant\", value = 0}) -> y\n"
         "More elements before and after: pads = {{before, after}, ...}, one pair per axis. Modes: "
         "constant (value), reflect (mirrored, without the edge) and replicate (the edge again).",
  .n_in = 1, .strided = true, .compose = pad, OPTIONS,
  CVL_SAMPLES("pad(randn{2, 3}, {{1, 0}, {0, 2}})",
              "pad(randn{2, 3}, {{0, 0}, {2, 1}}, \"reflect\")",
              "pad(randn{1, 3}, {{2, 1}, {1, 1}}, {mode = \"replicate\"})",
              "pad(randn{3, 2}:transpose(1, 2), {{1, 1}, {1, 1}}, {value = 3})"),
  CVL_REJECTS({"pad(randn{2, 3}, {{1, 1}})",
              "one pair {before, after} for each of the 2 axes of {2, 3} expected, got 1"},
              {"pad(randn{2, 3}, {{0, 0}, {3, 0}}, \"reflect\")",
               "axis 2 has 3 elements: too few for padding {3, 0} in mode reflect"},
              {"pad(randn{2, 3}, {{0, 0}, {1, 1}}, \"wrap\")",
               "one of constant, reflect, replicate"}));
#endif

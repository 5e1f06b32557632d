/* From an op's shapes and options to its sizes: what shape rules and kernels, the CPU's and the plugin's, both need. */
#include <inttypes.h>

#include "ops/conv.h"
#include "ops/matmul.h"
#include "ops/pool.h"

int cvl_conv_window(cvl_window *g, const cvl_shape *x, const cvl_shape *w,
                    const cvl_conv_options *o, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  int axes = x->ndim - 2;
  int64_t C = x->dim[x->ndim - 1], K;
  if (cvl_window_init(g, x, axes, e) != 0) return -1;
  if (w->ndim != axes + 2)
    return cvl_fail(e, CVL_ESHAPE, 2,
                    "expected w with %d spatial axes, channels and filters, got %s", axes,
                    cvl_shape_text(w, text));
  K = w->dim[axes + 1];
  if (o->groups < 1)
    return cvl_fail(e, CVL_EARG, 0, "groups must be positive, got %" PRId64, o->groups);
  if (C % o->groups != 0 || K % o->groups != 0)
    return cvl_fail(e, CVL_ESHAPE, 0,
                    "groups %" PRId64 " must divide the %" PRId64 " channels of x and the %" PRId64
                    " filters of w",
                    o->groups, C, K);
  if (w->dim[axes] * o->groups != C) {
    cvl_shape want = *w;
    char got[CVL_SHAPE_TEXT];
    want.dim[axes] = C / o->groups;
    return cvl_fail(e, CVL_ESHAPE, 2,
                    "expected w %s for %" PRId64 " channels in %" PRId64 " group%s, got %s",
                    cvl_shape_text(&want, text), C, o->groups, o->groups == 1 ? "" : "s",
                    cvl_shape_text(w, got));
  }
  for (int i = 0; i < axes; i++) g->filter[CVL_MAX_SPATIAL - axes + i] = w->dim[i];
  if (cvl_window_spread(g, &o->strides, "strides", g->stride, e) != 0) return -1;
  if (cvl_window_spread(g, &o->dilations, "dilations", g->dilation, e) != 0) return -1;
  return cvl_window_conv(g, &o->padding, e);
}

int cvl_pool_window(cvl_window *w, const cvl_shape *x, int axes, const cvl_pool_options *o,
                    cvl_err *e) {
  const cvl_ints *strides = o->strides.n == 1 && o->strides.v[0] == 0 ? &o->pool_size : &o->strides;
  if (cvl_window_init(w, x, axes, e) != 0) return -1;
  if (cvl_window_spread(w, &o->pool_size, "pool_size", w->filter, e) != 0) return -1;
  if (cvl_window_spread(w, strides, "strides", w->stride, e) != 0) return -1;
  if (w->filter[0] * w->filter[1] > INT32_MAX ||
      w->filter[0] * w->filter[1] * w->filter[2] > INT32_MAX)
    return cvl_fail(e, CVL_EARG, 0, "pool_size is too large"); /* places are 32-bit numbers */
  return cvl_window_pool(w, &o->padding, o->ceil_mode, e);
}

int cvl_matmul_sizes_of(const cvl_shape *a, const cvl_shape *b, cvl_matmul_sizes *z, cvl_err *e) {
  char ta[CVL_SHAPE_TEXT], tb[CVL_SHAPE_TEXT];
  cvl_shape la = *a, lb = *b;
  int64_t inner;
  if (a->ndim < 1 || b->ndim < 1)
    return cvl_fail(e, CVL_ESHAPE, a->ndim < 1 ? 1 : 2,
                    "at least 1 axis expected, got a tensor {}");
  z->M = a->ndim > 1 ? a->dim[a->ndim - 2] : 1;
  z->K = a->dim[a->ndim - 1];
  z->N = b->ndim > 1 ? b->dim[b->ndim - 1] : 1;
  inner = b->dim[b->ndim > 1 ? b->ndim - 2 : 0];
  if (inner != z->K)
    return cvl_fail(e, CVL_ESHAPE, 2, "%lld expected on %s axis of b to fit a %s, got b %s",
                    (long long)z->K, b->ndim > 1 ? "the last but one" : "the",
                    cvl_shape_text(a, ta), cvl_shape_text(b, tb));
  la.ndim = a->ndim > 2 ? a->ndim - 2 : 0;
  lb.ndim = b->ndim > 2 ? b->ndim - 2 : 0;
  return cvl_shape_broadcast(&la, &lb, &z->batch, e);
}

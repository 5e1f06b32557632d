/*
** z = conv_pool(x, w, b; conv's options, relu, max, window)
**   z = pool(act(conv(x, w) + b))      act: relu or the identity   pool: the mean or the largest of windows side by side
**   x {N, (spatial), C}   w {(spatial), C, K}   b {K} or nil   z {N, (conv's spatial / window), K}, rounded down
** Convolutions of few channels spend as much on their results' activation and pooling, forward and backward, as on their
** sums. Here these results never leave the first caches: forward keeps a bit for each, whether z's gradient reaches it.
** One or two spatial axes, strides 1. layers/joined.h uses it where it pays.
*/
#include "ops/conv_pool.h"

enum { X, W, B };

#ifndef CVL_DESCRIBE
#ifdef CVL_DTYPE_F32
#include "ops/conv_pool_problem.h"

static int problem(cvl_conv_pool *p, const cvl_args *a, const cvl_tensor *x, const cvl_tensor *w,
                   cvl_err *e) {
  return cvl_conv_pool_problem(p, &x->shape, &w->shape, a->options, e);
}

static int forward(cvl_args *a, cvl_tensor *z, cvl_err *e) {
  const cvl_tensor *x = a->in[X], *w = a->in[W], *b = a->in[B];
  cvl_shape bytes = {.ndim = 1};
  cvl_conv_pool p;
  if (problem(&p, a, x, w, e) != 0) return -1;
  if (a->taped) {
    bytes.dim[0] = cvl_conv_pool_marks(&p) * (int64_t)sizeof(uint16_t);
    if ((a->saved[0] = cvl_tensor_new(&bytes, CVL_U8, NULL, e)) == NULL) return -1;
  }
  return cvl_conv_pool_forward(&p, cvl_data(x), cvl_data(w), b != NULL ? cvl_data(b) : NULL,
                               a->taped ? cvl_data(a->saved[0]) : NULL, cvl_data(z), e);
}

static real *data_or_null(const cvl_tensor *x) { return x != NULL ? cvl_data(x) : NULL; }

static int backward(const cvl_args *a, const cvl_tensor *z, const cvl_tensor *gz,
                    cvl_tensor *const *gx, cvl_err *e) {
  cvl_conv_pool p;
  (void)z;
  if (problem(&p, a, a->in[X], a->in[W], e) != 0) return -1;
  return cvl_conv_pool_backward(&p, cvl_data(a->in[X]), cvl_data(a->in[W]), cvl_data(a->saved[0]),
                                cvl_data(gz), a->add >> X & 1, data_or_null(gx[X]),
                                data_or_null(gx[W]), data_or_null(gx[B]), e);
}
CVL_KERNELS_ADDING(conv_pool, forward, backward, 1 << X)

#endif
#else
#include "ops/call.h"
#include "ops/conv_pool_problem.h"

static int shape(const cvl_args *a, cvl_meta *z, cvl_err *e) {
  cvl_conv_pool p;
  int axes = a->in[X]->shape.ndim - 2;
  if (cvl_conv_pool_problem(&p, &a->in[X]->shape, &a->in[W]->shape, a->options, e) != 0) return -1;
  for (int i = 0; i < axes; i++) {
    int d = CVL_MAX_SPATIAL - axes + i;
    z->shape.dim[1 + i] = p.conv.out[d] / p.window[d];
  }
  z->shape.dim[axes + 1] = p.conv.K;
  return 0;
}

bool cvl_conv_pool_options_for(cvl_conv_pool_options *o, const cvl_tensor *x, const cvl_tensor *w,
                               const cvl_conv_options *conv, bool relu, bool max,
                               const cvl_pool_options *pool) {
  cvl_window g, v;
  cvl_shape y;
  cvl_conv_pool p;
  cvl_err e = {0};
  int axes = x->shape.ndim - 2, n = w->shape.ndim;
  *o = (cvl_conv_pool_options){.conv = *conv, .relu = relu, .max = max, .window.n = axes};
  if (x->dtype != w->dtype || cvl_op_kernels(&cvl_op_conv_pool, x, NULL) == NULL || axes < 1 ||
      axes > 2 || n != axes + 2 || conv->groups != 1 ||
      cvl_conv_window(&g, &x->shape, &w->shape, conv, &e) != 0)
    return false;
  for (int i = 0; i < axes; i++) o->window.v[i] = 1;
  if (pool != NULL) {
    cvl_window_shape(&g, x->shape.dim[0], w->shape.dim[n - 1], &y);
    if (cvl_pool_window(&v, &y, axes, pool, &e) != 0) return false;
    for (int d = 0; d < CVL_MAX_SPATIAL; d++)
      if (v.before[d] != 0 || v.stride[d] != v.filter[d] || v.out[d] * v.filter[d] > v.in[d])
        return false;
    o->window = cvl_window_ints(&v, v.filter);
  }
  return cvl_conv_pool_problem(&p, &x->shape, &w->shape, o, &e) == 0 && cvl_conv_pool_suits(&p);
}

extern const cvl_op cvl_op_avg_pool_data;

/* d z / d y as numbers: where the marks are set the reciprocal of how many share a window. */
static cvl_tensor *shares(cvl_scope *s, const cvl_args *a, const cvl_conv_pool *p) {
  const cvl_conv_pool_options *o = a->options;
  const cvl_shape *x = &a->in[X]->shape, *w = &a->in[W]->shape;
  cvl_shape y;
  cvl_window g;
  cvl_tensor *t;
  if (cvl_conv_window(&g, x, w, &o->conv, s->e) != 0) return NULL;
  cvl_window_shape(&g, x->dim[0], p->conv.K, &y);
  if ((t = cvl_scope_own(s, cvl_tensor_new(&y, CVL_F32, NULL, s->e))) == NULL) return NULL;
  cvl_conv_pool_shares(p, cvl_data(a->saved[0]), g.out, cvl_data(t));
  return o->max ? cvl_mul_scalar(s, t, (double)(p->window[1] * p->window[2])) : t;
}

/* gz spread evenly over its windows, as by a mean, times what of it arrives; then the convolution's own. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *z, cvl_tensor *gz, int i) {
  const cvl_conv_pool_options *o = a->options;
  static const cvl_op *const convs[] = {&cvl_op_conv1d, &cvl_op_conv2d};
  cvl_conv_pool p;
  cvl_args conv = {.n_in = 3, .in = a->in, .options = &o->conv};
  cvl_pool_options pool = {.pool_size = o->window, .strides = o->window};
  cvl_tensor *share, *gy;
  if (gz == NULL || cvl_conv_pool_problem(&p, &a->in[X]->shape, &a->in[W]->shape, o, s->e) != 0 ||
      (share = shares(s, a, &p)) == NULL)
    return NULL;
  pool.size.n = o->window.n;
  for (int d = 0; d < pool.size.n; d++) pool.size.v[d] = share->shape.dim[1 + d];
  gy = cvl_mul(s, cvl_call(s, &cvl_op_avg_pool_data, &pool, 1, gz), share);
  if (gy == NULL) return NULL;
  return convs[o->window.n - 1]->vjp(s, &conv, z, gy, i);
}

#define O cvl_conv_pool_options
CVL_OP(conv_pool,
  .doc = "conv_pool(x, w, b, {...}) -> z\npool(act(conv(x, w) + b)), of windows side by side, in one pass.",
  .n_in = 3, .n_optional = 1, .internal = true, .floating = true, .drops = CVL_DROP_X2 | CVL_DROP_Y,
  .shape = shape, .vjp = vjp,
  CVL_OPTIONS(O, CVL_SIZES(O, conv.strides, 1, "conv's"), CVL_PADDING(O, conv.padding, "conv's"),
              CVL_SIZES(O, conv.dilations, 1, "conv's"), CVL_INTEGER(O, conv.groups, 1, CVL_POSITIVE, "conv's"),
              CVL_FLAG(O, relu, 0, "a ReLU before the pooling"), CVL_FLAG(O, max, 0, "the largest, not the mean"),
              CVL_SIZES(O, window, 1, "of the pooling")));
#endif

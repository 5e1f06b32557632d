/*
** y = affine(x, w, b; activation)
**   y = act(x w + b)      x {..., K}   w {K, N}   b {N} or nil   y {..., N}      act: the identity or relu
**   gz = gy where y > 0 (relu), gy   gx = gz w'   gw = x' gz   gb = the sum of gz over all but its last axis
** A dense layer in one call: what matmul, add and relu would do in three, and their gradients in six, with a pass over
** memory for each. On the CPU in float32 and float64; layers/dense.c uses it where there is a kernel.
*/
#include "ops/affine.h"

enum { X, W, B };

#ifndef CVL_DESCRIBE
#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "ops/bias_rows.h"

enum { GRAIN = 1 << 14 /* elements that are worth another thread */ };

typedef struct {
  int64_t M, N, K; /* x {M, K}, w {K, N}, y {M, N} */
} sizes;

static sizes sizes_of(const cvl_tensor *w, const cvl_tensor *y) {
  sizes z = {.N = w->shape.dim[1], .K = w->shape.dim[0]};
  z.M = z.N > 0 ? cvl_count(y) / z.N : 0;
  return z;
}

#ifdef CVL_DTYPE_F32
typedef cvl_gemm product;
static int multiply(product *g, bool bf16, cvl_err *e) {
  g->bf16 = bf16;
  return cvl_sgemm(g, e);
}
#else
typedef cvl_gemm_f64 product;
static int multiply(product *g, bool bf16, cvl_err *e) {
  (void)bf16, (void)e;
  cvl_dgemm(g);
  return 0;
}
#endif

typedef struct {
  const real *y, *gy;
  real *to;
} rectified;

static void rectify(void *context, int64_t first, int64_t last) {
  real *to = ((const rectified *)context)->to;
  for (int64_t i = first; i < last; i++) to[i] = to[i] <= 0 ? 0 : to[i]; /* NaN stays */
}

static void mask(void *context, int64_t first, int64_t last) {
  const rectified *r = context;
  const real *y = r->y, *gy = r->gy;
  real *restrict to = r->to;
  for (int64_t i = first; i < last; i++) to[i] = y[i] > 0 ? gy[i] : 0;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_affine_options *o = a->options;
  sizes z = sizes_of(a->in[W], y);
  product g = {.M = z.M, .N = z.N, .K = z.K, .a = cvl_data(a->in[X]), .b = cvl_data(a->in[W])};
  g.a_row = z.K, g.a_col = 1, g.b_row = z.N, g.b_col = 1;
  g.c = cvl_data(y), g.c_row = z.N;
  g.bias = a->in[B] != NULL ? cvl_data(a->in[B]) : NULL;
  if (multiply(&g, cvl_precision_bf16(a->precision, CVL_PRECISION_BF16_FULL), e) != 0) return -1;
  if (o->activation == CVL_AFFINE_RELU)
    cvl_parallel_range(z.M * z.N, GRAIN, rectify, &(rectified){.to = cvl_data(y)});
  return 0;
}

/* From gz, the gradient before the activation. */
static int differentiate(const cvl_args *a, const sizes *z, const real *gz, cvl_tensor *const *gx,
                         cvl_err *e) {
  bool bf16 = cvl_precision_bf16(a->precision, CVL_PRECISION_BF16);
  if (gx[X] != NULL) {
    product g = {.M = z->M, .N = z->K, .K = z->N, .a = gz, .b = cvl_data(a->in[W])};
    g.a_row = z->N, g.a_col = 1, g.b_row = 1, g.b_col = z->N;
    g.c = cvl_data(gx[X]), g.c_row = z->K;
    g.accumulate = a->add >> X & 1;
    if (multiply(&g, bf16, e) != 0) return -1;
  }
  if (gx[W] != NULL) {
    product g = {.M = z->K, .N = z->N, .K = z->M, .a = cvl_data(a->in[X]), .b = gz};
    g.a_row = 1, g.a_col = z->K, g.b_row = z->N, g.b_col = 1;
    g.c = cvl_data(gx[W]), g.c_row = z->N;
    if (multiply(&g, bf16, e) != 0) return -1;
  }
  return gx[B] != NULL ? sum_bias(gz, z->M, z->N, cvl_data(gx[B]), e) : 0;
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  const cvl_affine_options *o = a->options;
  sizes z = sizes_of(gx[W] != NULL ? gx[W] : a->in[W], gy);
  rectified r = {.y = cvl_data(y), .gy = cvl_data(gy)};
  float *scratch;
  int rc;
  if (o->activation == CVL_AFFINE_IDENTITY) return differentiate(a, &z, r.gy, gx, e);
  if ((scratch = cvl_scratch_take(z.M * z.N * (int64_t)(sizeof(real) / sizeof *scratch), e)) ==
      NULL)
    return -1;
  r.to = (real *)(void *)scratch;
  cvl_parallel_range(z.M * z.N, GRAIN, mask, &r);
  rc = differentiate(a, &z, r.to, gx, e);
  cvl_scratch_give(scratch);
  return rc;
}
CVL_KERNELS_ADDING(affine, forward, backward, 1 << X)

#else
#include <inttypes.h>

#include "ops/call.h"

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  const cvl_shape *x = &a->in[X]->shape, *w = &a->in[W]->shape;
  char text[CVL_SHAPE_TEXT];
  if (x->ndim < 1 || w->ndim != 2 || x->dim[x->ndim - 1] != w->dim[0])
    return cvl_fail(e, CVL_ESHAPE, W + 1, "expected w {%" PRId64 ", N}, got %s",
                    x->ndim > 0 ? x->dim[x->ndim - 1] : 0, cvl_shape_text(w, text));
  if (a->in[B] != NULL && (a->in[B]->shape.ndim != 1 || a->in[B]->shape.dim[0] != w->dim[1]))
    return cvl_fail(e, CVL_ESHAPE, B + 1, "expected b {%" PRId64 "}, got %s", w->dim[1],
                    cvl_shape_text(&a->in[B]->shape, text));
  for (int i = W; i <= B; i++)
    if (a->in[i] != NULL && a->in[i]->dtype != a->in[X]->dtype)
      return cvl_fail(e, CVL_EDTYPE, i + 1, "expected %s, the type of x, got %s",
                      cvl_dtype_name(a->in[X]->dtype), cvl_dtype_name(a->in[i]->dtype));
  y->shape.dim[y->shape.ndim - 1] = w->dim[1];
  return 0;
}

extern const cvl_op cvl_op_matmul, cvl_op_relu;

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cvl_affine_options *o = a->options;
  if (o->activation == CVL_AFFINE_RELU) gy = cvl_op_relu.vjp(s, a, y, gy, 0);
  if (gy == NULL) return NULL;
  return i == B ? cvl_sum_to(s, gy, &a->in[B]->shape) : cvl_op_matmul.vjp(s, a, y, gy, i);
}

static const char *const activations[] = {"identity", "relu", NULL};

CVL_OP(affine,
  .doc = "affine(x, w, b, {activation = \"identity\"}) -> y\nact(x w + b) in one call.",
  .n_in = 3, .n_optional = 1, .internal = true, .floating = true, .drops = CVL_DROP_X2, .shape = shape, .vjp = vjp,
  CVL_OPTIONS(cvl_affine_options, CVL_CHOICE(cvl_affine_options, activation, CVL_AFFINE_IDENTITY, activations,
                                             "\"identity\" or \"relu\"")));
#endif

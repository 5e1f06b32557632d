/*
** y = matmul(a, b)
**   a {..., M, K}   b {..., K, N}   y {..., M, N}      leading axes are broadcast, as NumPy's
**                                                      matmul does
**   a {K}: as {1, K}, and y loses its M; b {K}: as {K, 1}, and y loses its N
** Any strides. float32: kernels/gemm.h; float64: OpenBLAS; integers: plain loops.
*/
/* CVL_EVERY_DTYPE */
#include "ops/matmul.h"

#if defined CVL_REAL || defined CVL_DESCRIBE
typedef cvl_matmul_sizes sizes;
#endif

#ifdef CVL_REAL
#include <stdatomic.h>

#include "base/pool.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"

/* One operand: where its matrices start, and its steps in elements. */
typedef struct {
  const real *data;
  int64_t row, col, batch[CVL_MAX_DIM];
} operand;

typedef struct {
  sizes z;
  operand a, b;
  real *y;
  bool bf16; /* operands rounded to bfloat16 */
  atomic_bool failed;
  cvl_err *e; /* of the first that failed */
} job;

static operand operand_of(const cvl_tensor *x, int64_t row, int64_t col, const cvl_shape *batch) {
  operand o = {.data = cvl_data(x), .row = row, .col = col};
  int own = x->shape.ndim > 2 ? x->shape.ndim - 2 : 0;
  for (int i = 0; i < own; i++)
    if (x->shape.dim[i] != 1) o.batch[batch->ndim - own + i] = x->stride[i];
  return o;
}

#if defined CVL_DTYPE_F32
static int product(const job *j, const real *a, const real *b, real *y, cvl_err *e) {
  cvl_gemm g = {.M = j->z.M, .N = j->z.N, .K = j->z.K, .a = a, .b = b, .c = y, .c_row = j->z.N};
  g.a_row = j->a.row, g.a_col = j->a.col, g.b_row = j->b.row, g.b_col = j->b.col;
  g.bf16 = j->bf16;
  return cvl_sgemm(&g, e);
}
#elif defined CVL_DTYPE_F64
static int product(const job *j, const real *a, const real *b, real *y, cvl_err *e) {
  cvl_gemm_f64 g = {.M = j->z.M, .N = j->z.N, .K = j->z.K, .a = a, .b = b, .c = y, .c_row = j->z.N};
  (void)e;
  g.a_row = j->a.row, g.a_col = j->a.col, g.b_row = j->b.row, g.b_col = j->b.col;
  cvl_dgemm(&g);
  return 0;
}
#else
static int product(const job *j, const real *a, const real *b, real *y, cvl_err *e) {
  (void)e;
  for (int64_t m = 0; m < j->z.M; m++, y += j->z.N) {
    for (int64_t n = 0; n < j->z.N; n++) y[n] = 0;
    for (int64_t k = 0; k < j->z.K; k++) {
      real x = a[m * j->a.row + k * j->a.col];
      for (int64_t n = 0; n < j->z.N; n++) y[n] = (real)(y[n] + x * b[k * j->b.row + n * j->b.col]);
    }
  }
  return 0;
}
#endif

static void one(void *context, int64_t index, int worker) {
  job *j = context;
  const real *a = j->a.data, *b = j->b.data;
  int64_t left = index;
  cvl_err e = {0};
  (void)worker;
  for (int i = j->z.batch.ndim - 1; i >= 0; i--) {
    int64_t at = left % j->z.batch.dim[i];
    a += at * j->a.batch[i];
    b += at * j->b.batch[i];
    left /= j->z.batch.dim[i];
  }
  if (product(j, a, b, j->y + index * j->z.M * j->z.N, &e) != 0 &&
      !atomic_exchange(&j->failed, true))
    *j->e = e;
}

/* Products of many rows with one matrix are one product, when the rows of all of them are evenly
** spaced. */
static void join_rows(job *j) {
  int last = j->z.batch.ndim - 1;
  for (int i = 0; i <= last; i++)
    if (j->b.batch[i] != 0) return;
  while (last >= 0 && j->a.batch[last] == j->a.row * j->z.M) {
    j->z.M *= j->z.batch.dim[last--];
    j->z.batch.ndim--;
  }
}

static int matmul(cvl_args *args, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *a = args->in[0], *b = args->in[1];
  int na = a->shape.ndim, nb = b->shape.ndim;
  job j = {.y = cvl_data(y), .e = e, .bf16 = args->precision == CVL_PRECISION_BF16_FULL};
  int64_t batches;
  if (cvl_matmul_sizes_of(&a->shape, &b->shape, &j.z, e) != 0) return -1;
  j.a = operand_of(a, na > 1 ? a->stride[na - 2] : j.z.K, a->stride[na - 1], &j.z.batch);
  j.b = operand_of(b, b->stride[nb > 1 ? nb - 2 : 0], nb > 1 ? b->stride[nb - 1] : 1, &j.z.batch);
  if (cvl_count(y) == 0) return 0;
  join_rows(&j);
  batches = cvl_shape_count(&j.z.batch);
  if (batches >= 4) { /* a product on each thread */
    cvl_parallel(batches, one, &j);
  } else { /* all threads on each product */
    for (int64_t i = 0; i < batches && !j.failed; i++) one(&j, i, 0);
  }
  return j.failed ? -1 : 0;
}
CVL_KERNELS(matmul, matmul, NULL)

#elif defined CVL_DESCRIBE
#include "ops/view.h"

extern const cvl_op cvl_op_matmul;

static int shape(const cvl_args *args, cvl_meta *y, cvl_err *e) {
  const cvl_tensor *a = args->in[0], *b = args->in[1];
  sizes z;
  if (y->dtype == CVL_BOOL)
    return cvl_fail(e, CVL_EDTYPE, 1, "numbers expected, got bool: cast them");
  if (cvl_matmul_sizes_of(&a->shape, &b->shape, &z, e) != 0) return -1;
  y->shape = z.batch;
  if (y->shape.ndim + 2 > CVL_MAX_DIM)
    return cvl_fail(e, CVL_ESHAPE, 0, "at most %d axes are possible, got %d", CVL_MAX_DIM,
                    y->shape.ndim + 2);
  if (a->shape.ndim > 1) y->shape.dim[y->shape.ndim++] = z.M;
  if (b->shape.ndim > 1) y->shape.dim[y->shape.ndim++] = z.N;
  return 0;
}

/* x as a matrix of the wanted sizes behind its leading axes, all in one when `flat`. */
static cvl_tensor *as_matrix(cvl_scope *s, cvl_tensor *x, const cvl_shape *batch, int64_t rows,
                             int64_t columns, bool flat) {
  cvl_shape shape = *batch;
  if (flat)
    shape = (cvl_shape){1, {rows * cvl_shape_count(batch)}};
  else
    shape.dim[shape.ndim++] = rows;
  shape.dim[shape.ndim++] = columns;
  return cvl_reshape(s, x, &shape);
}

/* ga = gy b', gb = a' gy; summed over the leading axes along which the operand was repeated. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *args, cvl_tensor *y, cvl_tensor *gy, int i) {
  cvl_tensor *a = args->in[0], *b = args->in[1], *g;
  cvl_shape la = {0}, lb = {0}, as_2d;
  bool flat =
      i == 1 && b->shape.ndim <= 2; /* then the sum over the leading axes is part of the product */
  sizes z;
  (void)y;
  if (cvl_matmul_sizes_of(&a->shape, &b->shape, &z, s->e) != 0) return NULL;
  if (a->shape.ndim > 2) la = a->shape, la.ndim -= 2;
  if (b->shape.ndim > 2) lb = b->shape, lb.ndim -= 2;
  gy = as_matrix(s, gy, &z.batch, z.M, z.N, flat);
  a = as_matrix(s, a, &la, z.M, z.K, flat);
  b = as_matrix(s, b, &lb, z.K, z.N, false);
  if (i == 0)
    g = cvl_call(s, &cvl_op_matmul, NULL, 2, gy, cvl_transpose(s, b, -2, -1));
  else
    g = cvl_call(s, &cvl_op_matmul, NULL, 2, cvl_transpose(s, a, -2, -1), gy);
  if (cvl_scope_failed(s)) return NULL;
  as_2d = i == 0 ? a->shape : b->shape;
  return cvl_reshape(s, cvl_sum_to(s, g, &as_2d), &args->in[i]->shape);
}

CVL_OP(matmul,
  .doc = "matmul(a, b) -> y\n"
         "The matrix product: a {..., M, K}, b {..., K, N}, y {..., M, N}; leading axes are "
         "broadcast. A vector {K} on the left is a row, on the right a column, and that axis is "
         "not in y.",
  .n_in = 2, .strided = true, .promotes = true, .drops = CVL_DROP_Y, .shape = shape, .vjp = vjp,
  CVL_SAMPLES("matmul(randn{2, 3}, randn{3, 4})", "matmul(randn{3}, randn{3, 2})",
              "matmul(randn{2, 3}, randn{3})",
              "matmul(randn{3}, randn{3})", "matmul(randn{2, 1, 2, 3}, randn{4, 3, 2})",
              "matmul(randn{2, 3, 4}, randn{4, 2})",
              "matmul(randn{3, 2}:transpose(1, 2), randn{4, 3}:transpose(1, 2))",
              "matmul(randn{1, 3}, randn{3, 1})"),
  CVL_REJECTS({"matmul(randn{2, 3}, randn{4, 2})",
              "3 expected on the last but one axis of b to fit a {2, 3}, got b {4, 2}"},
              {"matmul(randn{2, 2, 3}, randn{3, 3, 2})", "do not broadcast"},
              {"matmul(randn{}, randn{3})", "at least 1 axis expected, got a tensor {}"}));
#endif

/* matmul on the device: cuBLAS for float32 and float64, the own kernel of matmul.cu for the rest. Any strides. */
#include "cuda/blas.h"
#include "cuda/matmul.h"
#include "cuda/op.h"
#include "cuda/rounded.h"
#include "ops/matmul.h"

static void set_batch(const cvl_tensor *x, const cvl_shape *batch, int64_t *step) {
  int own = x->shape.ndim > 2 ? x->shape.ndim - 2 : 0;
  for (int i = 0; i < batch->ndim; i++) step[i] = 0;
  for (int i = 0; i < own; i++)
    if (x->shape.dim[i] != 1) step[batch->ndim - own + i] = x->stride[i];
}

/* Products of many rows with one matrix are one product, when the rows of all of them are evenly spaced. */
static void join_rows(cvl_cuda_product *p) {
  int last = p->batch.ndim - 1;
  for (int i = 0; i <= last; i++)
    if (p->b.batch[i] != 0) return;
  while (last >= 0 && p->a.batch[last] == p->a.row * p->M) {
    p->M *= p->batch.dim[last--];
    p->batch.ndim--;
  }
}

/* Elements from an operand's first one to its last, the gaps between them included. */
static int64_t span(int64_t rows, int64_t columns, int64_t row, int64_t col, const int64_t *step,
                    const cvl_shape *batch) {
  int64_t last = (rows - 1) * row + (columns - 1) * col;
  for (int i = 0; i < batch->ndim; i++) last += (batch->dim[i] - 1) * step[i];
  return last + 1;
}

/* By cuBLAS, or by the own kernel where that says no. */
static int product(cvl_cuda *d, cvl_dtype type, const cvl_cuda_product *p, cvl_err *e) {
  int rc = cvl_dtype_floating(type) ? cvl_cuda_blas_product(d, type, p, e) : 1;
  return rc == 1 ? CVL_CUDA(e, cvl_cuda_matmul(type, p, d->stream)) : rc;
}

/* Of float32, its operands rounded to `half`; multiplied as float32 where that is not multiplied. */
static int rounded_product(cvl_cuda *d, cvl_dtype half, const cvl_cuda_product *p, cvl_err *e) {
  cvl_cuda_product q = *p;
  cvl_cuda_rounded a = {0}, b = {0};
  int rc = -1;
  if (cvl_cuda_rounded_make(&a, d, half,
                            span(p->M, p->K, p->a.row, p->a.col, p->a.batch, &p->batch), p->a.data,
                            e) != 0 ||
      cvl_cuda_rounded_make(&b, d, half,
                            span(p->K, p->N, p->b.row, p->b.col, p->b.batch, &p->batch), p->b.data,
                            e) != 0)
    goto done;
  q.a.data = a.half, q.b.data = b.half;
  rc = cvl_cuda_multiplies(d, half) ? cvl_cuda_blas_product(d, half, &q, e) : 1;
  if (rc <= 0) goto done;
  rc = -1;
  if (cvl_cuda_rounded_widen(&a, d, e) != 0 || cvl_cuda_rounded_widen(&b, d, e) != 0) goto done;
  q.a.data = a.wide, q.b.data = b.wide;
  rc = product(d, CVL_F32, &q, e);
done:
  cvl_cuda_rounded_free(&a, d);
  cvl_cuda_rounded_free(&b, d);
  return rc;
}

static int matmul(cvl_args *args, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *a = args->in[0], *b = args->in[1];
  const int na = a->shape.ndim, nb = b->shape.ndim;
  cvl_cuda *d = cvl_cuda_for(y, e);
  cvl_cuda_product p = {.y = cvl_data(y)};
  cvl_matmul_sizes z;
  cvl_dtype operands;
  int rc;
  if (d == NULL || cvl_matmul_sizes_of(&a->shape, &b->shape, &z, e) != 0) return -1;
  if (cvl_count(y) == 0) return 0;
  p.M = z.M, p.N = z.N, p.K = z.K, p.batch = z.batch;
  p.a.data = cvl_data(a), p.b.data = cvl_data(b);
  p.a.row = na > 1 ? a->stride[na - 2] : z.K, p.a.col = a->stride[na - 1];
  p.b.row = b->stride[nb > 1 ? nb - 2 : 0], p.b.col = nb > 1 ? b->stride[nb - 1] : 1;
  set_batch(a, &p.batch, p.a.batch);
  set_batch(b, &p.batch, p.b.batch);
  join_rows(&p);
  operands = cvl_cuda_operands(y->dtype, args->precision, CVL_PRECISION_BF16_FULL);
  if (cvl_dtype_half(operands) && p.K > 0)
    rc = rounded_product(d, operands, &p, e);
  else
    rc = product(d, y->dtype, &p, e);
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
}

CVL_CUDA_KERNELS(matmul, matmul, NULL)
CVL_CUDA_INTEGER_KERNELS(matmul, matmul)

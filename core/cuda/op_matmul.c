/* matmul on the device: cuBLAS for float32 and float64, the own kernel of matmul.cu for the rest. Any strides. */
#include "cuda/blas.h"
#include "cuda/matmul.h"
#include "cuda/op.h"
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

static int matmul(cvl_args *args, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *a = args->in[0], *b = args->in[1];
  const int na = a->shape.ndim, nb = b->shape.ndim;
  cvl_cuda *d = cvl_cuda_for(y, e);
  cvl_cuda_product p = {.y = cvl_data(y)};
  cvl_matmul_sizes z;
  int rc = 1;
  if (d == NULL || cvl_matmul_sizes_of(&a->shape, &b->shape, &z, e) != 0) return -1;
  if (cvl_count(y) == 0) return 0;
  p.M = z.M, p.N = z.N, p.K = z.K, p.batch = z.batch;
  p.a.data = cvl_data(a), p.b.data = cvl_data(b);
  p.a.row = na > 1 ? a->stride[na - 2] : z.K, p.a.col = a->stride[na - 1];
  p.b.row = b->stride[nb > 1 ? nb - 2 : 0], p.b.col = nb > 1 ? b->stride[nb - 1] : 1;
  set_batch(a, &p.batch, p.a.batch);
  set_batch(b, &p.batch, p.b.batch);
  join_rows(&p);
  if (cvl_dtype_floating(y->dtype)) rc = cvl_cuda_blas_product(d, y->dtype, &p, e);
  if (rc == 1) rc = CVL_CUDA(e, cvl_cuda_matmul(y->dtype, &p, d->stream));
  return rc == 0 ? cvl_cuda_launched(d, e) : -1;
}

CVL_CUDA_KERNELS(matmul, matmul, NULL)
CVL_CUDA_INTEGER_KERNELS(matmul, matmul)

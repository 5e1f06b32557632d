/* See ops/triangle.c. CVL_EVERY_DTYPE */
#include "cuda/kernel.cuh"

extern "C" {
#include "ops/triangle.h"
}

__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    triangle_kernel(int64_t count, int64_t M, int64_t N, int64_t k, bool upper, const real *x,
                    real *y) {
  const int64_t i = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (i >= count) return;
  const int64_t cut = i / N % M + k + !upper; /* elements before it are of the lower side */
  y[i] = (i % N < cut) != upper ? x[i] : 0;
}

static int cut(cvl_args *a, cvl_tensor *y, bool upper, cvl_err *e) {
  const cvl_shape *s = &y->shape;
  const int64_t count = cvl_count(y), M = s->dim[s->ndim - 2], N = s->dim[s->ndim - 1];
  int64_t k = ((const cvl_triangle_options *)a->options)->k;
  cvl_cuda *d = cvl_cuda_on(y, e);
  if (d == NULL) return -1;
  if (count == 0) return 0;
  k = k < -M ? -M : k > N ? N : k;
  triangle_kernel<<<cvl_cuda_blocks(count, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
      count, M, N, k, upper, (const real *)cvl_data(a->in[0]), (real *)cvl_data(y));
  return cvl_cuda_launched(d, e);
}
static int tril(cvl_args *a, cvl_tensor *y, cvl_err *e) { return cut(a, y, false, e); }
static int triu(cvl_args *a, cvl_tensor *y, cvl_err *e) { return cut(a, y, true, e); }
CVL_KERNELS(tril, tril, NULL)
CVL_KERNELS(triu, triu, NULL)

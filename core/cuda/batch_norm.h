/*
** BatchNorm on the device: launchers, as in conv.h. x, y and residual {rows, C}, everything else {C} unless it says otherwise.
** Sums over the rows: of chunks of rows first, then of the chunks in their order in double, so that the bits are the same
** every time. `sums` has room for 2 * cvl_cuda_norm_chunks(rows) * C doubles.
*/
#ifndef CVL_CUDA_BATCH_NORM_H
#define CVL_CUDA_BATCH_NORM_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

int64_t cvl_cuda_norm_chunks(int64_t rows);

/* Mean and 1 / sqrt(var + epsilon) of the batch, and running = momentum running + (1 - momentum) batch. */
cudaError_t cvl_cuda_norm_moments(cvl_dtype type, int64_t rows, int64_t C, double momentum,
                                  double epsilon, const void *x, double *sums, void *mean,
                                  void *rstd, void *running_mean, void *running_var,
                                  cudaStream_t stream);
/* The same of the running statistics, which stay. */
cudaError_t cvl_cuda_norm_running(cvl_dtype type, int64_t C, double epsilon,
                                  const void *running_mean, const void *running_var, void *mean,
                                  void *rstd, cudaStream_t stream);
/* y = act((x - mean) rstd scale + offset + residual); residual may be NULL */
cudaError_t cvl_cuda_norm_apply(cvl_dtype type, int64_t rows, int64_t C, bool relu, const void *x,
                                const void *mean, const void *rstd, const void *scale,
                                const void *offset, const void *residual, void *y,
                                cudaStream_t stream);

/* Norms with given statistics as part of a convolution: factor {K} = scale / sqrt(var + epsilon), w = factor filter, of
** `count` elements, and shift {K} = offset + (bias - mean) factor. bias may be NULL. */
typedef struct cvl_cuda_norm {
  const void *scale, *offset, *mean, *var;
  double epsilon;
} cvl_cuda_norm;
cudaError_t cvl_cuda_norm_fold(cvl_dtype type, int64_t count, int64_t K, const cvl_cuda_norm *norm,
                               const void *filter, const void *bias, void *factor, void *shift,
                               void *w, cudaStream_t stream);

/* The backward pass, as ops/batch_norm.c has it: sums; what they give; gx. Any result may be NULL. */
typedef struct cvl_cuda_norm_backward {
  int64_t rows, C;
  bool relu, training;
  const void *x, *y, *gy, *mean, *rstd, *scale;
  double *sums;
  void *channel; /* {3, C}: scratch */
  void *gx, *gscale, *goffset, *gmean, *gvar, *gresidual;
} cvl_cuda_norm_backward;
cudaError_t cvl_cuda_norm_gradient(cvl_dtype type, const cvl_cuda_norm_backward *b,
                                   cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

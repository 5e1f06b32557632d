/*
** Pooling on the device: launchers, as in conv.h. Every result is gathered by one thread, in a fixed order: the gradients
** too, from the windows that a pixel lies in. x {N, in..., C}   y {N, out..., C}   place {N, out..., C}, as in ops/pool.c
*/
#ifndef CVL_CUDA_POOL_H
#define CVL_CUDA_POOL_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cvl_cuda_pool {
  int64_t N, C;
  int64_t in[3], filter[3], out[3], stride[3], before[3], after[3];
  bool count_padding;
} cvl_cuda_pool;

cudaError_t cvl_cuda_max_pool(cvl_dtype type, const cvl_cuda_pool *p, const void *x, void *y,
                              int32_t *place, cudaStream_t stream);
/* gx gets gy at the places of the maxima; y takes x there. */
cudaError_t cvl_cuda_pool_scatter(cvl_dtype type, const cvl_cuda_pool *p, const void *gy,
                                  const int32_t *place, void *gx, cudaStream_t stream);
cudaError_t cvl_cuda_pool_gather(cvl_dtype type, const cvl_cuda_pool *p, const void *x,
                                 const int32_t *place, void *y, cudaStream_t stream);
cudaError_t cvl_cuda_avg_pool(cvl_dtype type, const cvl_cuda_pool *p, const void *x, void *y,
                              cudaStream_t stream);
cudaError_t cvl_cuda_avg_pool_data(cvl_dtype type, const cvl_cuda_pool *p, const void *gy, void *gx,
                                   cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

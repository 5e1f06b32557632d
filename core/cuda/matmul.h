/* Matrix products of any strides and element type on the device: a launcher, as in conv.h. */
#ifndef CVL_CUDA_MATMUL_H
#define CVL_CUDA_MATMUL_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "tensor/dtype.h"
#include "tensor/shape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y {batch..., M, N} = a {batch..., M, K} b {batch..., K, N}; y is dense, the steps of a and b are in elements. */
typedef struct cvl_cuda_product {
  int64_t M, N, K;
  cvl_shape batch;
  struct {
    const void *data;
    int64_t row, col, batch[CVL_MAX_DIM];
  } a, b;
  void *y;
} cvl_cuda_product;

/* cudaErrorInvalidValue when a size does not fit into 32 bits. */
cudaError_t cvl_cuda_matmul(cvl_dtype type, const cvl_cuda_product *p, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

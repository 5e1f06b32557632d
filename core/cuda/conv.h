/*
** Convolution without cuDNN, and what cuDNN needs around it. Launchers: they put work on a stream, check nothing but
** cudaGetLastError, and return it. `type` is float32 or float64; memory is dense and on the device.
*/
#ifndef CVL_CUDA_CONV_H
#define CVL_CUDA_CONV_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv.h"
#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the sizes are within what the following three count with: 32 bits. */
bool cvl_cuda_conv_fits(const cvl_conv *c);

/* The three maps as of kernels/conv.h, as implicit matrix products. backward_filter wants `partial` for
** cvl_cuda_conv_splits(c) * taps * C/groups * K elements, unless there is one split. */
cudaError_t cvl_cuda_conv_forward(cvl_dtype type, const cvl_conv *c, const void *x, const void *w,
                                  void *y, cudaStream_t stream);
cudaError_t cvl_cuda_conv_backward_data(cvl_dtype type, const cvl_conv *c, const void *gy,
                                        const void *w, void *gx, cudaStream_t stream);
int64_t cvl_cuda_conv_splits(const cvl_conv *c);
cudaError_t cvl_cuda_conv_backward_filter(cvl_dtype type, const cvl_conv *c, const void *x,
                                          const void *gy, void *gw, void *partial,
                                          cudaStream_t stream);

/* to {columns, rows} = from {rows, columns} transposed: filters between {taps, C, K} and cuDNN's {K, taps, C}. */
cudaError_t cvl_cuda_transpose(cvl_dtype type, const void *from, int64_t rows, int64_t columns,
                               void *to, cudaStream_t stream);

/* Images within images: `inner` {N, inner_size, C} lies in `outer` {N, outer_size, C} from `shift` on. */
typedef struct cvl_cuda_box {
  int64_t N, C, inner_size[3], outer_size[3], shift[3];
} cvl_cuda_box;
/* The outer one gets the inner one and zeros around it; or the inner one its part of the outer. */
cudaError_t cvl_cuda_pad(cvl_dtype type, const cvl_cuda_box *b, const void *inner, void *outer,
                         cudaStream_t stream);
cudaError_t cvl_cuda_crop(cvl_dtype type, const cvl_cuda_box *b, const void *outer, void *inner,
                          cudaStream_t stream);

/* y {rows, K} = act(y + residual {rows, K} + shift {K}); residual and shift may be NULL, act is the identity or ReLU. */
cudaError_t cvl_cuda_finish(cvl_dtype type, int64_t rows, int64_t K, const void *residual,
                            const void *shift, bool relu, void *y, cudaStream_t stream);
/* gb {K} = the sums of gy {rows, K} over its rows: parts of them, then the parts, each in its order, in double.
** `sums` has room for cvl_cuda_column_parts(rows) * K doubles. */
int64_t cvl_cuda_column_parts(int64_t rows);
cudaError_t cvl_cuda_sum_columns(cvl_dtype type, int64_t rows, int64_t K, const void *gy,
                                 double *sums, void *gb, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

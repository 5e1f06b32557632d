/*
** Softmax and its cross-entropy on the device: launchers, as in conv.h. Sums are made in double, in a fixed order.
*/
#ifndef CVL_CUDA_SOFTMAX_H
#define CVL_CUDA_SOFTMAX_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x, y {outer, n, inner}, along the middle axis; y = ln of it when `logarithm`. */
cudaError_t cvl_cuda_softmax(cvl_dtype type, int64_t outer, int64_t n, int64_t inner,
                             bool logarithm, const void *x, void *y, cudaStream_t stream);
cudaError_t cvl_cuda_softmax_gradient(cvl_dtype type, int64_t outer, int64_t n, int64_t inner,
                                      bool logarithm, const void *y, const void *gy, void *gx,
                                      cudaStream_t stream);

/* The terms of ops/cross_entropy.c. logits {rows, C}; either labels {rows}, integers of label_type, or distribution
** {rows, C}. */
typedef struct cvl_cuda_cross_entropy {
  int64_t rows, C;
  double smoothing;
  const void *logits, *labels, *distribution;
  cvl_dtype label_type;
} cvl_cuda_cross_entropy;

/* lse {rows}, loss {rows} in double; *bad, which the caller has cleared, becomes 1 + the number of a row whose label is
** out of range; its loss is NaN. */
cudaError_t cvl_cuda_cross_entropy_rows(cvl_dtype type, const cvl_cuda_cross_entropy *p, void *lse,
                                        double *loss, int64_t *bad, cudaStream_t stream);
/* y, of `type`: every loss (each), or scale * their sum. */
cudaError_t cvl_cuda_cross_entropy_reduce(cvl_dtype type, int64_t rows, bool each, double scale,
                                          const double *loss, void *y, cudaStream_t stream);
/* gy: one number (gy_step 0) or one per row (1). glogits, gdistribution may be NULL. */
cudaError_t cvl_cuda_cross_entropy_gradient(cvl_dtype type, const cvl_cuda_cross_entropy *p,
                                            const void *lse, const void *gy, int gy_step,
                                            double scale, void *glogits, void *gdistribution,
                                            cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

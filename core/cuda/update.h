/*
** Updates of optimizers on the device: launchers, as in conv.h. All parameters of one step in one launch: they are cut
** into chunks of fixed size, a block each, and a block finds its parameter in a table that lies on the device.
*/
#ifndef CVL_CUDA_UPDATE_H
#define CVL_CUDA_UPDATE_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/update.h"
#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CVL_CUDA_UPDATE_CHUNK = 4096, CVL_CUDA_UPDATE_STATES = 3 };

/* One parameter. */
typedef struct cvl_cuda_run {
  int64_t count, first; /* elements; number of its first chunk */
  const void *g;
  void *w, *state[CVL_CUDA_UPDATE_STATES];
  cvl_gradient_rule gradient;
  double lr;           /* Adam: over 1 - beta1^t */
  double square_scale; /* Adam: 1 / (1 - beta2^t) */
} cvl_cuda_run;

typedef struct cvl_cuda_runs {
  const cvl_cuda_run *run; /* {n}, on the device */
  int n;
  int64_t chunks;      /* of all of them */
  const double *scale; /* on the device: every gradient is multiplied by it; or NULL */
} cvl_cuda_runs;

static inline int64_t cvl_cuda_update_chunks(int64_t count) {
  return (count + CVL_CUDA_UPDATE_CHUNK - 1) / CVL_CUDA_UPDATE_CHUNK;
}

/* As kernels/update.h has them. */
cudaError_t cvl_cuda_sgd(cvl_dtype type, const cvl_cuda_runs *r, double momentum, bool nesterov,
                         cudaStream_t stream);
cudaError_t cvl_cuda_adam(cvl_dtype type, const cvl_cuda_runs *r, double beta1, double beta2,
                          double epsilon, cudaStream_t stream);

/* squares {n}: the sum of g^2 of each; `partial` has room for chunks. In double, in a fixed order. */
cudaError_t cvl_cuda_squares(cvl_dtype type, const cvl_cuda_runs *r, double *partial,
                             double *squares, cudaStream_t stream);
/* *scale = most / norm where norm, the root of the sum of squares {n}, is larger than `most`, else 1. */
cudaError_t cvl_cuda_clip_scale(int n, double most, const double *squares, double *scale,
                                cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif

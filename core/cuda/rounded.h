/*
** Operands of products in two bytes: copies of float32 memory as bfloat16 or float16, and those as float32 again for what
** takes no others. Both are memory of the cache.
*/
#ifndef CVL_CUDA_ROUNDED_H
#define CVL_CUDA_ROUNDED_H

#include "cuda/runtime.h"
#include "ops/precision.h"
#include "tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Launchers: n elements of float32 to the type `half`, rounded to nearest even, and back. */
cudaError_t cvl_cuda_narrow(cvl_dtype half, const float *from, int64_t n, uint16_t *to,
                            cudaStream_t stream);
cudaError_t cvl_cuda_widen(cvl_dtype half, const uint16_t *from, int64_t n, float *to,
                           cudaStream_t stream);

#ifdef __cplusplus
}
#endif

typedef struct cvl_cuda_rounded {
  cvl_dtype type;
  int64_t n;
  uint16_t *half;
  float *wide; /* NULL until cvl_cuda_rounded_widen */
} cvl_cuda_rounded;

/* The type that a pass rounds operands of float32 to, from the precision `least` on: float32 when it does not. */
static inline cvl_dtype cvl_cuda_operands(cvl_dtype type, cvl_precision p, cvl_precision least) {
  if (type != CVL_F32) return type;
  if (p == CVL_PRECISION_F16) return CVL_F16;
  return cvl_precision_bf16(p, least) ? CVL_BF16 : CVL_F32;
}

/* Whether the device multiplies this type: bfloat16 from compute capability 8.0 on. */
static inline bool cvl_cuda_multiplies(const cvl_cuda *d, cvl_dtype type) {
  return type != CVL_BF16 || d->major >= 8;
}

/* r.half: room for n elements, or `from` rounded when that is not NULL. r was zeroed; is freed in any case. */
int cvl_cuda_rounded_make(cvl_cuda_rounded *r, cvl_cuda *d, cvl_dtype half, int64_t n,
                          const float *from, cvl_err *e);
/* r.wide: the rounded numbers as float32. */
int cvl_cuda_rounded_widen(cvl_cuda_rounded *r, cvl_cuda *d, cvl_err *e);
void cvl_cuda_rounded_free(cvl_cuda_rounded *r, cvl_cuda *d);

#endif

/* cast: see ops/copy.c. CVL_EVERY_DTYPE, CVL_HALF */
#include "cuda/elementwise.cuh"

extern "C" {
#include "ops/cast.h"
}

#define CAST(type, name)                                                   \
  struct to_##name {                                                       \
    typedef type result;                                                   \
    __device__ type operator()(char *const *p) const {                     \
      return cvl_to_##name(cvl_from_stored(CVL_ON_DEVICE(cvl_stored, 1))); \
    }                                                                      \
  };
CAST(float, f32)
CAST(double, f64)
CAST(int32_t, i32)
CAST(int64_t, i64)
CAST(uint8_t, u8)
CAST(uint8_t, bool)
CAST(uint16_t, bf16)
CAST(uint16_t, f16)

static int cast(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  const cvl_tensor *operands[] = {y, a->in[0]};
  switch (y->dtype) {
  case CVL_F32:
    return cvl_each<2>(&y->shape, operands, to_f32(), e);
  case CVL_F64:
    return cvl_each<2>(&y->shape, operands, to_f64(), e);
  case CVL_I32:
    return cvl_each<2>(&y->shape, operands, to_i32(), e);
  case CVL_I64:
    return cvl_each<2>(&y->shape, operands, to_i64(), e);
  case CVL_U8:
    return cvl_each<2>(&y->shape, operands, to_u8(), e);
  case CVL_BF16:
    return cvl_each<2>(&y->shape, operands, to_bf16(), e);
  case CVL_F16:
    return cvl_each<2>(&y->shape, operands, to_f16(), e);
  default:
    return cvl_each<2>(&y->shape, operands, to_bool(), e);
  }
}
CVL_KERNELS(cast, cast, NULL)

#ifndef CVL_OPS_CAST_H
#define CVL_OPS_CAST_H

#include "ops/op.h"

typedef struct {
  int dtype; /* a cvl_dtype */
} cvl_cast_options;

#ifdef CVL_REAL
#include "ops/math.h"
#include "tensor/half.h"

/* One element in another type. */
#if CVL_FLOATING /* out of range is undefined in C: saturate, and NaN becomes 0 */
#define CVL_WHOLE_(type, low, high) \
  (x >= (real)(high) ? (high) : x <= (real)(low) ? (low) : x == x ? (type)x : 0)
#else
#define CVL_WHOLE_(type, low, high) (type)(x)
#endif
CVL_INLINE_ float cvl_to_f32(real x) { return (float)x; }
CVL_INLINE_ double cvl_to_f64(real x) { return (double)x; }
CVL_INLINE_ int32_t cvl_to_i32(real x) { return CVL_WHOLE_(int32_t, INT32_MIN, INT32_MAX); }
CVL_INLINE_ int64_t cvl_to_i64(real x) { return CVL_WHOLE_(int64_t, INT64_MIN, INT64_MAX); }
CVL_INLINE_ uint8_t cvl_to_u8(real x) { return CVL_WHOLE_(uint8_t, 0, UINT8_MAX); }
CVL_INLINE_ uint8_t cvl_to_bool(real x) { return x != 0; }
#if defined CVL_DTYPE_F64 || defined CVL_DTYPE_I32
#define CVL_NARROW_(x) cvl_half_odd((double)(x)) /* rounded once, not twice */
#else
#define CVL_NARROW_(x) (float)(x)
#endif
CVL_INLINE_ uint16_t cvl_to_bf16(real x) { return cvl_bf16_from_f32(CVL_NARROW_(x)); }
CVL_INLINE_ uint16_t cvl_to_f16(real x) { return cvl_f16_from_f32(CVL_NARROW_(x)); }

/* An element as `real`: of the halves that is float. */
#if defined CVL_DTYPE_BF16
typedef uint16_t cvl_stored;
CVL_INLINE_ real cvl_from_stored(cvl_stored x) { return cvl_bf16_to_f32(x); }
#elif defined CVL_DTYPE_F16
typedef uint16_t cvl_stored;
CVL_INLINE_ real cvl_from_stored(cvl_stored x) { return cvl_f16_to_f32(x); }
#else
typedef real cvl_stored;
CVL_INLINE_ real cvl_from_stored(cvl_stored x) { return x; }
#endif
#endif

#endif

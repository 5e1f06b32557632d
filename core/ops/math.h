/*
** Functions of one real number for op formulas. The float32 ones have no branches and no calls, so that the compiler
** turns loops over them into vector code; the float64 ones, used for references and gradient checks, are libm's.
*/
#ifndef CVL_OPS_MATH_H
#define CVL_OPS_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifndef __cplusplus /* which has overloaded functions instead */
#include <tgmath.h>
#endif

#include "base/portable.h"

#define CVL_INLINE_ CVL_BOTH static inline __attribute__((always_inline, unused))

CVL_INLINE_ float cvl_bits_to_f32(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

CVL_INLINE_ uint32_t cvl_f32_to_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

/* e^x within 2 ulp. x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7. Results below 2^-126
** may be flushed to 0. */
CVL_INLINE_ float cvl_exp_f32(float x) {
  const float magic = 0x1.8p23f; /* adding it leaves the rounded integer in the low bits */
  float c = x > 89.0f ? 89.0f : x, t, n, r, p;
  int32_t k;
  c = c < -104.0f ? -104.0f : c;
  t = c * 0x1.715476p0f + magic;
  k = (int32_t)(cvl_f32_to_bits(t) - cvl_f32_to_bits(magic));
  n = t - magic;
  r = c - n * 0x1.62e400p-1f; /* ln 2 in two parts, the first short enough to be exact times n */
  r = r - n * 0x1.7f7d1cp-20f;
  p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  /* 2^k in two factors: k may be 128, or below the exponents that normal numbers have */
  p *= cvl_bits_to_f32((uint32_t)((k >> 1) + 127) << 23);
  return p * cvl_bits_to_f32((uint32_t)(k - (k >> 1) + 127) << 23);
}

/* ln x within 2 ulp. x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1). */
CVL_INLINE_ float cvl_log_f32(float x) {
  int tiny = x < 0x1p-126f; /* subnormal, zero or negative */
  uint32_t u = cvl_f32_to_bits(tiny ? x * 0x1p24f : x), v = u - 0x3f3504f3u;
  int32_t k = (int32_t)v >> 23;
  float n = (float)(k - (tiny ? 24 : 0)), m = cvl_bits_to_f32(u - ((uint32_t)k << 23));
  float f = m - 1.0f, s = f / (m + 1.0f), q = s * s, p, y;
  p = 2.0f / 11;
  p = p * q + 2.0f / 9;
  p = p * q + 2.0f / 7;
  p = p * q + 2.0f / 5;
  p = p * q + 2.0f / 3;
  /* 2 s = f - s f, exact where it matters, near m = 1 */
  y = n * 0x1.62e400p-1f + (f - (s * f - (s * q * p + n * 0x1.7f7d1cp-20f)));
  y = x == INFINITY ? INFINITY : y;
  y = x == 0.0f ? -INFINITY : y;
  return x < 0.0f || x != x ? NAN : y;
}

/* tanh x: by its odd Taylor polynomial near 0, elsewhere from e^-2|x|, which never overflows. */
CVL_INLINE_ float cvl_tanh_f32(float x) {
  float a = fabsf(x), q = x * x, e = cvl_exp_f32(-2.0f * a), big = (1.0f - e) / (1.0f + e), p;
  p = -929569.0f / 638512875;
  p = p * q + 21844.0f / 6081075;
  p = p * q - 1382.0f / 155925;
  p = p * q + 62.0f / 2835;
  p = p * q - 17.0f / 315;
  p = p * q + 2.0f / 15;
  p = p * q - 1.0f / 3;
  return a < 0.5f ? x + x * q * p : copysignf(big, x);
}

CVL_INLINE_ float cvl_sigmoid_f32(float x) {
  float e = cvl_exp_f32(-fabsf(x)), y = 1.0f / (1.0f + e);
  return x >= 0 ? y : e * y;
}

CVL_INLINE_ double cvl_sigmoid_f64(double x) {
  double e = (exp)(-fabs(x)), y = 1 / (1 + e);
  return x >= 0 ? y : e * y;
}

/* e^x - 1 without cancellation near 0: 2 t / (1 - t) with t = tanh(x / 2). */
CVL_INLINE_ float cvl_expm1_f32(float x) {
  float t = cvl_tanh_f32(0.5f * x);
  return x > 1.0f ? cvl_exp_f32(x) - 1.0f : 2.0f * t / (1.0f - t);
}

/* ln(1 + x): what 1 + x lost by rounding is put back to first order. */
CVL_INLINE_ float cvl_log1p_f32(float x) {
  float u = 1.0f + x, lost = x - (u - 1.0f), y = cvl_log_f32(u);
  return u > 0.0f && u < INFINITY ? y + lost / u : y;
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^-|x| in [0, 1]; ln(1 + e) = 2 artanh(s), s = e / (2 + e) <= 1/3. */
CVL_INLINE_ float cvl_softplus_f32(float x) {
  float e = cvl_exp_f32(-fabsf(x)), s = e / (2.0f + e), q = s * s, p;
  p = 2.0f / 15;
  p = p * q + 2.0f / 13;
  p = p * q + 2.0f / 11;
  p = p * q + 2.0f / 9;
  p = p * q + 2.0f / 7;
  p = p * q + 2.0f / 5;
  p = p * q + 2.0f / 3;
  p = p * q + 2.0f;
  return (x > 0.0f ? x : 0.0f) + s * p;
}

CVL_INLINE_ double cvl_softplus_f64(double x) { return (x > 0 ? x : 0) + (log1p)((exp)(-fabs(x))); }

/* erf x within 2e-7: Taylor below 1, above it Abramowitz & Stegun 1964, 7.1.26. */
CVL_INLINE_ float cvl_erf_f32(float x) {
  float a = fabsf(x), q = x * x, t = 1.0f / (1.0f + 0.3275911f * a), p, r;
  p = 1.0f / 76204800; /* 1 / (n! (2 n + 1)), n = 10 down to 1, signs alternating */
  p = p * q - 1.0f / 6894720;
  p = p * q + 1.0f / 685440;
  p = p * q - 1.0f / 75600;
  p = p * q + 1.0f / 9360;
  p = p * q - 1.0f / 1320;
  p = p * q + 1.0f / 216;
  p = p * q - 1.0f / 42;
  p = p * q + 1.0f / 10;
  p = p * q - 1.0f / 3;
  p = 1.12837917f * (x + x * q * p);
  r = 1.061405429f;
  r = r * t - 1.453152027f;
  r = r * t + 1.421413741f;
  r = r * t - 0.284496736f;
  r = r * t + 0.254829592f;
  return a < 1.0f ? p : copysignf(1.0f - r * t * cvl_exp_f32(-q), x);
}

/* The ones that formulas call, for `real`. Integer kernels that need them are never made. */
CVL_INLINE_ double cvl_exp_f64(double x) { return (exp)(x); }
CVL_INLINE_ double cvl_log_f64(double x) { return (log)(x); }
CVL_INLINE_ double cvl_tanh_f64(double x) { return (tanh)(x); }
CVL_INLINE_ double cvl_expm1_f64(double x) { return (expm1)(x); }
CVL_INLINE_ double cvl_log1p_f64(double x) { return (log1p)(x); }
CVL_INLINE_ double cvl_erf_f64(double x) { return (erf)(x); }
#ifdef __cplusplus
#define CVL_OVERLOAD_(name)                                 \
  CVL_INLINE_ float name(float x) { return name##_f32(x); } \
  CVL_INLINE_ double name(double x) { return name##_f64(x); }
extern "C++" { /* kernel files include the core as C */
CVL_OVERLOAD_(cvl_exp)
CVL_OVERLOAD_(cvl_log)
CVL_OVERLOAD_(cvl_tanh)
CVL_OVERLOAD_(cvl_expm1)
CVL_OVERLOAD_(cvl_log1p)
CVL_OVERLOAD_(cvl_erf)
CVL_OVERLOAD_(cvl_softplus)
CVL_OVERLOAD_(cvl_sigmoid)
}
#else
#define cvl_exp(x) _Generic((x), float : cvl_exp_f32, default : cvl_exp_f64)(x)
#define cvl_log(x) _Generic((x), float : cvl_log_f32, default : cvl_log_f64)(x)
#define cvl_tanh(x) _Generic((x), float : cvl_tanh_f32, default : cvl_tanh_f64)(x)
#define cvl_expm1(x) _Generic((x), float : cvl_expm1_f32, default : cvl_expm1_f64)(x)
#define cvl_log1p(x) _Generic((x), float : cvl_log1p_f32, default : cvl_log1p_f64)(x)
#define cvl_erf(x) _Generic((x), float : cvl_erf_f32, default : cvl_erf_f64)(x)
#define cvl_softplus(x) _Generic((x), float : cvl_softplus_f32, default : cvl_softplus_f64)(x)
#define cvl_sigmoid(x) _Generic((x), float : cvl_sigmoid_f32, default : cvl_sigmoid_f64)(x)
#endif

#endif

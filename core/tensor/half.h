/*
** The two types of two bytes, which a tensor holds as uint16_t: bfloat16, the upper half of a float32 (8 bits of exponent,
** 7 of fraction), and float16, IEEE 754's binary16 (5 and 10). They are for storage: what is computed is computed in
** float32. Conversions round to nearest, ties to even; NaN stays NaN, with its sign and the upper bits of its payload.
*/
#ifndef CVL_TENSOR_HALF_H
#define CVL_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

#include "tensor/dtype.h"

#ifdef __CUDACC__
#define CVL_HALF_ static inline __host__ __device__
#else
#define CVL_HALF_ static inline
#endif

CVL_HALF_ uint32_t cvl_half_bits_(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

CVL_HALF_ float cvl_half_float_(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

CVL_HALF_ float cvl_bf16_to_f32(uint16_t x) { return cvl_half_float_((uint32_t)x << 16); }

CVL_HALF_ uint16_t cvl_bf16_from_f32(float x) {
  uint32_t u = cvl_half_bits_(x);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

CVL_HALF_ float cvl_f16_to_f32(uint16_t x) {
  uint32_t sign = (uint32_t)(x & 0x8000) << 16, rest = x & 0x7fff;
  if (rest < 0x400) /* below 2^-14 there is no leading one: whole multiples of 2^-24 */
    return cvl_half_float_(sign | cvl_half_bits_((float)(int)rest * 0x1p-24f));
  return cvl_half_float_(sign | ((rest << 13) + (rest < 0x7c00 ? 0x38000000 : 0x70000000)));
}

CVL_HALF_ uint16_t cvl_f16_from_f32(float x) {
  uint32_t u = cvl_half_bits_(x), sign = u >> 16 & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff));
  if (u >= 0x47800000)
    return (uint16_t)(sign | 0x7c00); /* 2^16; the last before it are carried to infinity below */
  if (u <
      0x38800000) /* 2^-14: the last bit of a sum from 0.5 on is 2^-24, and the sum is rounded as it should be */
    return (uint16_t)(sign | (cvl_half_bits_(cvl_half_float_(u) + 0.5f) - 0x3f000000));
  return (uint16_t)(sign | (u - 0x38000000 + 0xfff + (u >> 13 & 1)) >> 13);
}

/* To float32 on the way to a half: an inexact result has its last bit set, so that it is not rounded to a tie that x is
** not (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd"). */
CVL_HALF_ float cvl_half_odd(double x) {
  float f = (float)x;
  double back = (double)f;
  uint32_t u = cvl_half_bits_(f);
  if (back == x || x != x) return f;
  if (x < 0 ? back < x : back > x) u--;
  return cvl_half_float_(u | 1);
}

/* Of the type t, CVL_BF16 or CVL_F16. */
CVL_HALF_ float cvl_half_to_f32(cvl_dtype t, uint16_t x) {
  return t == CVL_BF16 ? cvl_bf16_to_f32(x) : cvl_f16_to_f32(x);
}

CVL_HALF_ uint16_t cvl_half_from_f32(cvl_dtype t, float x) {
  return t == CVL_BF16 ? cvl_bf16_from_f32(x) : cvl_f16_from_f32(x);
}

#endif

/* f16 and bf16: to float exactly, and back with the rounding that an operation asks for. */
#ifndef CUDASIM_PTX_FLOAT16_H
#define CUDASIM_PTX_FLOAT16_H

#include "ptx/types.h"

#include <cmath>
#include <cstring>

namespace cudasim::ptx {

template <class To, class From> To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From), "the same number of bits");
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

inline float to_float(Bfloat x) { return bits_as<float>(static_cast<uint32_t>(x.bits) << 16); }

inline float to_float(Half x) {
  const uint32_t magnitude = x.bits & 0x7fffu, sign = (x.bits & 0x8000u) << 16;
  const float finite = bits_as<float>(magnitude << 13) * 0x1p112f; /* subnormals too */
  const uint32_t bits =
      magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : bits_as<uint32_t>(finite);
  return bits_as<float>(bits | sign);
}

/* To nearest, ties to even; a NaN becomes the canonical one. */
inline Bfloat to_bfloat(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  return {static_cast<uint16_t>(x != x ? 0x7fffu : rounded)};
}

inline Half to_half(float x) {
  const uint32_t bits = bits_as<uint32_t>(x), sign = bits >> 16 & 0x8000u,
                 magnitude = bits & 0x7fffffffu;
  uint32_t result;
  if (magnitude > 0x7f800000u) return {0x7fff};
  if (magnitude >= 0x47800000u) { /* 65536 and above */
    result = 0x7c00;
  } else if (magnitude < 0x38800000u) { /* below 2^-14: the unit of 0.5 is the unit of subnormals */
    result = bits_as<uint32_t>(bits_as<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    result = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  }
  return {static_cast<uint16_t>(result | sign)};
}

template <class H> H from_float(float x);
template <> inline Half from_float<Half>(float x) { return to_half(x); }
template <> inline Bfloat from_float<Bfloat>(float x) { return to_bfloat(x); }

/* Rounded to odd: inexact results get an odd last bit, so that rounding them again to fewer bits is right
** (Boldo and Melquiond 2008). `above`: the float is larger in magnitude than what it stands for. */
template <class F, class Bits> F made_odd(F x, bool above) {
  Bits bits = bits_as<Bits>(x);
  return bits_as<F>(static_cast<Bits>((bits - above) | 1));
}

inline float to_float_odd(double x) {
  const float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || x != x) return f;
  return made_odd<float, uint32_t>(f, std::fabs(static_cast<double>(f)) > std::fabs(x));
}

/* a * b + c of halves, rounded to odd: the product is exact in double, the sum's error is Knuth's. */
inline float fma_odd(float a, float b, float c) {
  const double p = static_cast<double>(a) * b, s = p + c;
  const double part = s - p, error = (p - (s - part)) + (c - part);
  if (error == 0 || error != error) return to_float_odd(s);
  return to_float_odd(made_odd<double, uint64_t>(s, (s > 0) == (error < 0)));
}

} // namespace cudasim::ptx

#endif

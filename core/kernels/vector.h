/*
** Vectors of floats as wide as the instructions that this file is compiled for, in GCC's vector extensions. Included by
** the *_isa.c files only: each is compiled once per ISA, with -DCVL_ISA_SUFFIX=_avx2 and the like.
*/
#ifndef CVL_KERNELS_VECTOR_H
#define CVL_KERNELS_VECTOR_H

#include <stdint.h>
#ifdef __SSE__
#include <immintrin.h>
#endif

#ifndef CVL_ISA_SUFFIX
#error "compile with -DCVL_ISA_SUFFIX=_baseline, _avx2 or _avx512"
#endif

#ifndef CVL_LANES
#if defined(__AVX512F__)
#define CVL_LANES 16
#elif defined(__AVX__)
#define CVL_LANES 8
#else
#define CVL_LANES 4
#endif
#endif

enum { LANES = CVL_LANES };

typedef float vec __attribute__((vector_size(CVL_LANES * 4)));
typedef float vec_u
    __attribute__((vector_size(CVL_LANES * 4), aligned(4), may_alias)); /* at any address */
typedef int32_t ivec __attribute__((vector_size(CVL_LANES * 4)));
typedef float half_vec __attribute__((vector_size(CVL_LANES * 2))); /* half as many */
typedef float half_vec_u __attribute__((vector_size(CVL_LANES * 2), aligned(4), may_alias));

#define CVL_JOIN_(a, b) a##b
#define CVL_JOIN(a, b) CVL_JOIN_(a, b)
#define CVL_ISA_NAME(name) CVL_JOIN(name, CVL_ISA_SUFFIX)

#define INLINE static inline __attribute__((always_inline))

/* The compiler takes pointer p for another one from here on: what is unrolled steps along it, where GCC would else make all
** addresses first, and for these put vectors from registers into memory. */
#define FORGET(p) __asm__("" : "+r"(p))
/* Vector v stays in a register for all that it is multiplied with, where GCC would else load it for each. */
#ifdef __SSE__
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v) ((void)(v))
#endif

INLINE vec load(const float *p) { return *(const vec_u *)p; }
INLINE void store(float *p, vec v) { *(vec_u *)p = v; }
/* Past the caches, when a vector is a whole line of them: for results that are larger than the last one. Needs an aligned
** address; whoever wrote so calls cvl_past_end() (tile.h) before other
** threads read. */
INLINE void stream(float *p, vec v) {
#ifdef __AVX512F__
  _mm512_stream_ps(p, (__m512)v);
#else
  store(p, v);
#endif
}
INLINE half_vec load_half(const float *p) { return *(const half_vec_u *)p; }
INLINE void store_half(float *p, half_vec v) { *(half_vec_u *)p = v; }
INLINE half_vec low_half(vec v) {
#if defined(__AVX512F__)
  return (half_vec)_mm512_castps512_ps256((__m512)v);
#elif defined(__AVX__)
  return (half_vec)_mm256_castps256_ps128((__m256)v);
#else
  return (half_vec){v[0], v[1]};
#endif
}
INLINE vec splat(float x) { return x - (vec){0}; }

/* A comparison's result as bits, that of the first lane lowest, and back. */
INLINE unsigned bits_of(ivec m) {
#if defined(__AVX512DQ__)
  return _mm512_movepi32_mask((__m512i)m);
#elif defined(__AVX__)
  return (unsigned)_mm256_movemask_ps((__m256)m);
#elif defined(__SSE__)
  return (unsigned)_mm_movemask_ps((__m128)m);
#else
  unsigned bits = 0;
  for (int i = 0; i < LANES; i++) bits |= (unsigned)(m[i] & 1) << i;
  return bits;
#endif
}
INLINE ivec lanes_of(unsigned bits) {
#if defined(__AVX512DQ__)
  return (ivec)_mm512_movm_epi32((__mmask16)bits);
#else
  ivec bit = {0};
  for (int i = 0; i < LANES; i++) bit[i] = 1 << i;
  return (bit & (int32_t)bits) != 0;
#endif
}

/* The first n floats, 0 <= n < LANES; the rest is zero, and stays as it is where it is stored. */
#if defined(__AVX512F__)
INLINE vec load_part(const float *p, int64_t n) {
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void store_part(float *p, vec v, int64_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif defined(__AVX__)
INLINE __m256i lanes_before(int64_t n) {
  static const int32_t all[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i_u *)(all + LANES - n));
}
INLINE vec load_part(const float *p, int64_t n) {
  return (vec)_mm256_maskload_ps(p, lanes_before(n));
}
INLINE void store_part(float *p, vec v, int64_t n) {
  _mm256_maskstore_ps(p, lanes_before(n), (__m256)v);
}
#else
INLINE vec load_part(const float *p, int64_t n) {
  vec v = {0};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void store_part(float *p, vec v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
}
#endif

/* A whole vector when n >= LANES, which the compiler knows in the loops that matter, else the first n floats. */
INLINE vec load_n(const float *p, int64_t n) { return n >= LANES ? load(p) : load_part(p, n); }
INLINE void store_n(float *p, vec v, int64_t n) {
  if (n >= LANES)
    store(p, v);
  else
    store_part(p, v, n);
}

#endif

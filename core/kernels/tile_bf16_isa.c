/* The micro-kernels of products of bfloat16, two operands in a word, and the making of these words. */
#include <stddef.h>

#include "kernels/flush.h"
#include "kernels/tile.h"
#include "kernels/vector_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef words operand;
INLINE words load_words(const float *p) { return *(const words_u *)p; }
INLINE words splat_word(const float *p) { return *(const word *)p + (words){0}; }

/*
** c + a1 b1 + a0 b0 with the roundings that tile.h tells. The product of two bfloat16 is exact in 16 bits, so that a sum
** with one rounding is either a fused multiply-add, or one of doubles rounded to float: 53 bits are enough for the second
** rounding to change nothing.
*/
#if defined(__AVX512BF16__)
enum { FLUSHES = 0, TOGETHER = 4 };
INLINE vec dot(vec c, words a, words b) {
  return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
}
INLINE vec dot_of(vec c, const float *a, words b) {
  __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(b), "m"(*a));
  return c;
}
#define ADD_PRODUCT_OF(c, p, b) dot_of(c, p, b)
#elif defined(__FMA__)
enum { FLUSHES = 1, TOGETHER = 1 }; /* what the single instruction does by itself */
#if defined(__AVX512F__)
#define FMA(a, b, c) (vec) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#else
#define FMA(a, b, c) (vec) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#endif
INLINE vec dot(vec c, words a, words b) {
  c = FMA(a & 0xffff0000, b & 0xffff0000, c);
  return FMA(a << 16, b << 16, c);
}
#else
enum { FLUSHES = 0, TOGETHER = 1 };
typedef double wide __attribute__((vector_size(CVL_LANES * 8)));
typedef int64_t wide_places __attribute__((vector_size(CVL_LANES * 8)));

/* Numbers without those that are subnormal; the sign stays. */
INLINE vec flushed(vec v) {
  words u = (words)v, tiny = (words)((u & 0x7f800000) == 0);
  return (vec)(u & (~tiny | 0x80000000));
}

INLINE vec multiply_add(words a, words b, vec c) {
  wide s = __builtin_convertvector(flushed((vec)a), wide) *
               __builtin_convertvector(flushed((vec)b), wide) +
           __builtin_convertvector(flushed(c), wide);
  /* Below this a float of 24 bits and any exponent would be below the smallest normal one. */
  const double least = 0x1p-126 - 0x1p-151;
  wide_places tiny = (s < least) & (s > -least), sign = (wide_places)s & INT64_MIN;
  s = (wide)((tiny & sign) | (~tiny & (wide_places)s));
  return __builtin_convertvector(s, vec);
}
INLINE vec dot(vec c, words a, words b) {
  c = multiply_add(a & 0xffff0000, b & 0xffff0000, c);
  return multiply_add(a << 16, b << 16, c);
}
#endif

#define LOAD(p) load_words(p)
#define SPLAT(p) splat_word(p)
#define ADD_PRODUCT(c, a, b) dot(c, a, b)
#define CHUNK_ROW (CVL_CHUNK / 2)

/* The sums are a function of their own, so that none of them moves past the change of MXCSR. */
#define SUMS __attribute__((noinline))
#define RUN(call)                                      \
  do {                                                 \
    unsigned former = FLUSHES ? cvl_flush_begin() : 0; \
    call;                                              \
    if (FLUSHES) cvl_flush_end(former);                \
  } while (0)

#include "kernels/tile_loops.h"

static void round_row(const float *x, int64_t n, float *y) {
  halfword *to = (halfword *)y;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) *(halves_u *)(to + i) = to_bf16(load(x + i));
  if (i < n) {
    halves rest = to_bf16(load_part(x + i, n - i));
    for (int64_t j = 0; j < n - i; j++) to[i + j] = rest[j];
  }
}

static void pair_rows(const float *low, const float *high, int64_t n, float *y) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    *(words_u *)(y + i) =
        low_word(load(low + i)) | (high != NULL ? high_word(load(high + i)) : (words){0});
  if (i < n) {
    words rest = low_word(load_part(low + i, n - i));
    if (high != NULL) rest |= high_word(load_part(high + i, n - i));
    for (int64_t j = 0; j < n - i; j++) ((word *)y)[i + j] = rest[j];
  }
}

#define WIDE TILE(wide, WIDE_ROWS, 2 * LANES, 2, NULL)
const cvl_bf16 CVL_ISA_NAME(cvl_bf16) = {
    {WIDE, WIDE, WIDE, TILE(narrow, NARROW_ROWS, LANES, 2, NULL)},
    round_row,
    pair_rows,
};

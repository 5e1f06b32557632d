/* The micro-kernels with bfloat16 operands: tile_isa.c with words of two operands for floats, and their making. */
#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WIDE_ROWS = LANES == 16 ? 12 : 6, NARROW_ROWS = 12 };

INLINE words load_words(const float *p) { return *(const words_u *)p; }
INLINE words splat_word(const float *p) { return *(const word *)p + (words){0}; }

/*
** c + a1 b1 + a0 b0 with the roundings that tile.h tells. The product of two bfloat16 is exact in 16 bits, so that a sum
** with one rounding is either a fused multiply-add, or one of doubles rounded to float: 53 bits are enough for the second
** rounding to change nothing.
*/
#if defined(__AVX512BF16__)
enum { FLUSHES = 0 };
INLINE vec dot(vec c, words a, words b) {
  return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
}
#elif defined(__FMA__)
enum { FLUSHES = 1 }; /* MXCSR does what the single instruction does by itself */
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
enum { FLUSHES = 0 };
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

INLINE void tile(const cvl_stretch *s, int stretches, float *const *row, bool add,
                 const float *first, const int rows, const int vectors, const int across,
                 const int along) {
  vec c[12][2];
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++)
      c[i][v] = add ? load(row[i] + v * LANES) : first != NULL ? load(first + v * LANES) : (vec){0};
  for (int q = 0; q < stretches; q++) {
    const float *a = s[q].a, *b = s[q].b;
    for (int64_t k = s[q].count; k > 0; k--) {
      words b0 = load_words(b), b1 = vectors > 1 ? load_words(b + LANES) : b0;
#pragma GCC unroll 12
      for (int i = 0; i < rows; i++) {
        words x = splat_word(a + i * across);
        c[i][0] = dot(c[i][0], x, b0);
        if (vectors > 1) c[i][1] = dot(c[i][1], x, b1);
      }
      b += vectors * LANES;
      a += along;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) store(row[i] + v * LANES, c[i][v]);
}

/* The sums are a function of their own, so that none of them moves past the change of MXCSR. */
#if defined(__x86_64__)
#define FLUSHED(call)                         \
  do {                                        \
    unsigned former = _mm_getcsr();           \
    if (FLUSHES) _mm_setcsr(former | 0x8040); \
    call;                                     \
    if (FLUSHES) _mm_setcsr(former);          \
  } while (0)
#else
#define FLUSHED(call) call
#endif

#define KERNEL(name, rows, vectors, across, along)                                            \
  static __attribute__((noinline)) void name##_sums(                                          \
      const cvl_stretch *s, int stretches, float *const *row, bool add, const float *first) { \
    if (add)                                                                                  \
      tile(s, stretches, row, true, NULL, rows, vectors, across, along);                      \
    else if (first != NULL)                                                                   \
      tile(s, stretches, row, false, first, rows, vectors, across, along);                    \
    else                                                                                      \
      tile(s, stretches, row, false, NULL, rows, vectors, across, along);                     \
  }                                                                                           \
  static void name(const cvl_stretch *s, int stretches, float *const *row, bool add,          \
                   const float *first) {                                                      \
    FLUSHED(name##_sums(s, stretches, row, add, first));                                      \
  }

/* The four layouts for tiles of one size. */
#define KERNELS(name, rows, vectors)                            \
  KERNEL(name##_by_rows, rows, vectors, CVL_BLOCK_ROW, 1)       \
  KERNEL(name##_by_columns, rows, vectors, 1, CVL_BLOCK_ROW)    \
  KERNEL(name##_chunk_by_rows, rows, vectors, CVL_CHUNK / 2, 1) \
  KERNEL(name##_chunk_by_columns, rows, vectors, 1, CVL_CHUNK)
#define NAMES(name) \
  { name##_by_rows, name##_by_columns, name##_chunk_by_rows, name##_chunk_by_columns }

KERNELS(wide, WIDE_ROWS, 2)
KERNELS(wide_low, CVL_TILE_LOW_ROWS, 2)
KERNELS(narrow, NARROW_ROWS, 1)
KERNELS(narrow_low, CVL_TILE_LOW_ROWS, 1)

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

const cvl_bf16 CVL_ISA_NAME(cvl_bf16) = {
    {{WIDE_ROWS, 2 * LANES, 2, NAMES(wide), NAMES(wide_low)},
     {NARROW_ROWS, LANES, 2, NAMES(narrow), NAMES(narrow_low)}},
    round_row,
    pair_rows,
};

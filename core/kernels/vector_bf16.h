/*
** Vectors of float as bfloat16, the upper half of a float: rounded to nearest even as by VCVTNEPS2BF16, which makes
** subnormal numbers 0 and keeps NaN. Included by *_isa.c files; -mavx512bf16 gives the instruction itself.
*/
#ifndef CVL_KERNELS_VECTOR_BF16_H
#define CVL_KERNELS_VECTOR_BF16_H

#include "kernels/vector.h"

typedef uint32_t words __attribute__((vector_size(CVL_LANES * 4)));
typedef uint32_t words_u __attribute__((vector_size(CVL_LANES * 4), aligned(4), may_alias));
typedef uint32_t word __attribute__((may_alias));
typedef uint16_t halves __attribute__((vector_size(CVL_LANES * 2)));
typedef uint16_t halves_u __attribute__((vector_size(CVL_LANES * 2), aligned(2), may_alias));
typedef uint16_t halfword __attribute__((may_alias));

#ifdef __AVX512BF16__
#include <immintrin.h>

INLINE halves to_bf16(vec v) { return (halves)_mm512_cvtneps_pbh((__m512)v); }
INLINE words low_word(vec v) { return __builtin_convertvector(to_bf16(v), words); }
INLINE words high_word(vec v) { return low_word(v) << 16; }
#else
/* The bfloat16 in the upper half of each lane; the lower half is of no use. */
INLINE words rounded(vec v) {
  words u = (words)v, magnitude = u & 0x7fffffff;
  words nearest = u + 0x7fff + (u >> 16 & 1), quiet = u | 0x400000;
  words nan = (words)(magnitude > 0x7f800000), tiny = (words)(magnitude < 0x00800000);
  return (nearest & ~nan & ~tiny) | (quiet & nan) | (u & 0x80000000 & tiny);
}
INLINE words low_word(vec v) { return rounded(v) >> 16; }
INLINE words high_word(vec v) { return rounded(v) & 0xffff0000; }
INLINE halves to_bf16(vec v) { return __builtin_convertvector(low_word(v), halves); }
#endif

/* Where transforms and copies put a vector: LANES halves side by side, */
INLINE void store_halves(float *p, vec v) { *(halves_u *)p = to_bf16(v); }
/* the low halves of words, with zeros above them, */
INLINE void store_low(float *p, vec v) { *(words_u *)p = low_word(v); }
/* and, after that, the high halves. */
INLINE void store_high(float *p, vec v) { *(words_u *)p |= high_word(v); }

/* For winograd_passes.h. */
#define PACK 2
#define STORE store_halves
#define STORE_FIRST store_low
#define STORE_SECOND store_high
#define OF_OPERANDS(name) OF_OPERANDS_(name)
#define OF_OPERANDS_(name) CVL_ISA_NAME(name##_bf16)

#endif

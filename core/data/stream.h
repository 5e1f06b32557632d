/* The Philox streams of this room: one per use, so that uses never share numbers. The low 32 bits
** are free for an epoch. Stream 0 is the program's own generator (base/rng.h). */
#ifndef CVL_DATA_STREAM_H
#define CVL_DATA_STREAM_H

#include <stdint.h>

#define CVL_STREAM_SHUFFLE ((uint64_t)1 << 32)
#define CVL_STREAM_AUGMENT ((uint64_t)2 << 32)
#define CVL_STREAM_SHAPES10 ((uint64_t)3 << 32)

/* A number in 0..n-1 from 32 random bits, n < 2^31; the bias is below n / 2^32. */
static inline int64_t cvl_below(uint32_t r, int64_t n) {
  return (int64_t)((uint64_t)r * (uint64_t)n >> 32);
}

#endif

/*
** Random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11).
** A number is a function of (seed, stream, position): any thread can make any part of a sequence, and saving a
** generator is saving three integers. One stream per use.
*/
#ifndef CVL_BASE_RNG_H
#define CVL_BASE_RNG_H

#include <stdint.h>

#include "base/portable.h"

typedef struct cvl_rng {
  uint64_t seed, stream, position; /* position counts blocks of four 32-bit numbers */
} cvl_rng;

/* The four numbers of block `position`. */
CVL_BOTH static inline void cvl_philox(const cvl_rng *g, uint64_t position, uint32_t out[4]) {
  uint32_t c0 = (uint32_t)position, c1 = (uint32_t)(position >> 32);
  uint32_t c2 = (uint32_t)g->stream, c3 = (uint32_t)(g->stream >> 32);
  uint32_t k0 = (uint32_t)g->seed, k1 = (uint32_t)(g->seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* 24 random bits in [0, 1), and 53 in [0, 1). */
CVL_BOTH static inline float cvl_uniform_f32(uint32_t r) { return (float)(r >> 8) * 0x1p-24f; }
CVL_BOTH static inline double cvl_uniform_f64(uint32_t hi, uint32_t lo) {
  return (double)(((uint64_t)hi << 21) ^ (lo >> 11)) * 0x1p-53;
}

/* The program's own generator: convlua.manual_seed, dropout, initializers, rand. Only one thread may draw from it. */
void cvl_seed(uint64_t seed); /* back to stream 0, position 0 */
cvl_rng *cvl_global_rng(void);
/* Takes `blocks` positions out of the global generator; the caller fills them in any order. */
cvl_rng cvl_take(int64_t blocks);

#endif

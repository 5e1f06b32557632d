/* Vectors zipped lane by lane: transposes, and sums of many vectors at once. For the *_isa.c files. */
#ifndef CVL_KERNELS_ZIP_H
#define CVL_KERNELS_ZIP_H

#include "kernels/vector.h"

#if CVL_LANES == 16
static const ivec zip_low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23},
                  zip_high = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
#elif CVL_LANES == 8
static const ivec zip_low = {0, 8, 1, 9, 2, 10, 3, 11}, zip_high = {4, 12, 5, 13, 6, 14, 7, 15};
#else
static const ivec zip_low = {0, 4, 1, 5}, zip_high = {2, 6, 3, 7};
#endif

/* Row i and row i + LANES / 2, zipped, become rows 2 i and 2 i + 1: done log2(LANES) times this is the transpose. */
INLINE void transpose(vec *a) {
  vec b[LANES];
#pragma GCC unroll 4
  for (int done = 1; done < LANES; done *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) {
      b[2 * i] = __builtin_shuffle(a[i], a[i + LANES / 2], zip_low);
      b[2 * i + 1] = __builtin_shuffle(a[i], a[i + LANES / 2], zip_high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) a[i] = b[i];
  }
}

/* Lane i of the result is the sum of a[i]'s lanes. The halves of a zip are added instead of kept, so that half as many rows
** are left each time. */
INLINE vec sums_of(vec *a) {
#pragma GCC unroll 4
  for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; i++)
      a[i] = __builtin_shuffle(a[i], a[i + half], zip_low) +
             __builtin_shuffle(a[i], a[i + half], zip_high);
  return a[0];
}

#endif

/* Arithmetic of sizes, for the kernels' own files. */
#ifndef CVL_KERNELS_SIZES_H
#define CVL_KERNELS_SIZES_H

#include <stdint.h>

static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t clamp(int64_t x, int64_t low, int64_t high) { return max(low, min(x, high)); }

/* Rounded towards minus and plus infinity; b > 0. */
static inline int64_t floor_div(int64_t a, int64_t b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}
static inline int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

/* a rounded up to a multiple of b. */
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/* The height of blocks of M rows, a multiple of `mr`, with which the last thread is ready soonest: of those that make `first`
** to `most` blocks one below the other, `across` tasks each; a task takes as long as its rows and `beside` more. */
static inline int64_t best_height(int64_t M, int64_t mr, int64_t first, int64_t most,
                                  int64_t across, int64_t threads, int64_t beside) {
  int64_t best = INT64_MAX, height = 0;
  for (int64_t blocks = first; blocks == first || blocks <= most; blocks++) {
    int64_t rows = round_up(ceil_div(M, blocks), mr);
    int64_t last = ceil_div(ceil_div(M, rows) * across, threads) * (rows + beside);
    if (last >= best) continue;
    best = last;
    height = rows;
  }
  return height;
}

#endif

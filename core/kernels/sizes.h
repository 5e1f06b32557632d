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

#endif

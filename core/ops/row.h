/* Sums and maxima of dense rows, for kernel files. Sums of float32 are made in double. */
#ifndef CVL_OPS_ROW_H
#define CVL_OPS_ROW_H

#include <stdint.h>

#if CVL_FLOATING
enum { CVL_ROW_LANES = 4 }; /* of a vector of doubles */
typedef real cvl_narrow
    __attribute__((vector_size(CVL_ROW_LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef double cvl_wide __attribute__((vector_size(CVL_ROW_LANES * 8)));
#define CVL_WIDE(p) __builtin_convertvector(*(const cvl_narrow *)(p), cvl_wide)
#define CVL_ROW_FUNCTION static inline __attribute__((unused))

/* Sixteen sums side by side, which keep a vector unit busy. */
CVL_ROW_FUNCTION double cvl_row_sum(const real *x, int64_t n) {
  cvl_wide a = {0}, b = {0}, c = {0}, d = {0};
  double rest = 0;
  int64_t i = 0;
  for (; i + 4 * CVL_ROW_LANES <= n; i += 4 * CVL_ROW_LANES) {
    a += CVL_WIDE(x + i);
    b += CVL_WIDE(x + i + CVL_ROW_LANES);
    c += CVL_WIDE(x + i + 2 * CVL_ROW_LANES);
    d += CVL_WIDE(x + i + 3 * CVL_ROW_LANES);
  }
  for (; i < n; i++) rest += x[i];
  a = (a + b) + (c + d);
  return ((a[0] + a[2]) + (a[1] + a[3])) + rest;
}

/* sum of x[i] y[i] */
CVL_ROW_FUNCTION double cvl_row_dot(const real *x, const real *y, int64_t n) {
  cvl_wide a = {0}, b = {0};
  double rest = 0;
  int64_t i = 0;
  for (; i + 2 * CVL_ROW_LANES <= n; i += 2 * CVL_ROW_LANES) {
    a += CVL_WIDE(x + i) * CVL_WIDE(y + i);
    b += CVL_WIDE(x + i + CVL_ROW_LANES) * CVL_WIDE(y + i + CVL_ROW_LANES);
  }
  for (; i < n; i++) rest += (double)x[i] * y[i];
  a += b;
  return ((a[0] + a[2]) + (a[1] + a[3])) + rest;
}

#endif

/* name(x, n): the extreme of n > 0 elements, or NaN where there is one; eight candidates side by
** side. */
#define CVL_ROW_EXTREME_(name, better)                                                        \
  static inline __attribute__((unused)) real name(const real *x, int64_t n) {                 \
    enum { WIDTH = 8 };                                                                       \
    real lane[WIDTH], m;                                                                      \
    int64_t i = 0;                                                                            \
    for (int k = 0; k < WIDTH; k++) lane[k] = x[0];                                           \
    for (; i + WIDTH <= n; i += WIDTH)                                                        \
      for (int k = 0; k < WIDTH; k++) {                                                       \
        real v = x[i + k];                                                                    \
        lane[k] = v better lane[k] || v != v ? v : lane[k];                                   \
      }                                                                                       \
    for (; i < n; i++) lane[0] = x[i] better lane[0] || x[i] != x[i] ? x[i] : lane[0];        \
    m = lane[0];                                                                              \
    for (int k = 1; k < WIDTH; k++) m = lane[k] better m || lane[k] != lane[k] ? lane[k] : m; \
    return m;                                                                                 \
  }
CVL_ROW_EXTREME_(cvl_row_max, >)
CVL_ROW_EXTREME_(cvl_row_min, <)

#endif

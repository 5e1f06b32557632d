#include "kernels/dots.h"
#include "kernels/zip.h"

enum { REGISTERS = LANES == 16 ? 32 : 16, MOST_ABREAST = 8, MOST_SUMS = 32 };

/* Positions at once with so many filters: their sums, a vector of each filter and one of the source fit the registers. */
#define ABREAST(filters)                                                                            \
  ((REGISTERS - 1 - (filters)) / (filters) > MOST_ABREAST ? MOST_ABREAST                            \
   : (REGISTERS - 1) / (filters) > 1                      ? (REGISTERS - 1 - (filters)) / (filters) \
                                                          : 1)

/* sum[q * filters + k] += x[q * step ...] w[k * distance ...], n floats, a vector at most. */
INLINE void add_products(const float *x, int64_t step, const float *w, int64_t distance, int64_t n,
                         const int count, const int filters, vec *sum) {
  vec f[CVL_DOTS_MOST];
#pragma GCC unroll 8
  for (int k = 0; k < filters; k++) f[k] = load_n(w + k * distance, n);
#pragma GCC unroll 8
  for (int q = 0; q < count; q++) {
    vec v = load_n(x + q * step, n);
#pragma GCC unroll 8
    for (int k = 0; k < filters; k++) sum[q * filters + k] += v * f[k];
  }
}

/* `count` positions from i on, all of whose taps [first, last) hit the source. */
INLINE void make_some(const cvl_dots_line *l, bool add, float *y, int64_t y_step, int64_t i,
                      int64_t first, int64_t last, const int count, const int filters) {
  const cvl_axis *a = &l->axis;
  const int n = count * filters;
  int64_t together = a->spread == 1 ? last - first : 1; /* taps side by side are one line */
  int64_t length = together * l->C, step = a->step * l->C;
  vec sum[MOST_SUMS];
  float sums[MOST_SUMS];
#pragma GCC unroll 32
  for (int j = 0; j < MOST_SUMS; j++) sum[j] = (vec){0};
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = first; t < last; t += together) {
      const float *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C,
                  *w = l->w[s] + t * l->C;
      int64_t left = length;
      for (; left >= LANES; left -= LANES, x += LANES, w += LANES)
        add_products(x, step, w, l->distance, LANES, count, filters, sum);
      if (left > 0) add_products(x, step, w, l->distance, left, count, filters, sum);
    }
#pragma GCC unroll 8
  for (int j = 0; j < n; j += LANES) store(sums + j, sums_of(sum + j));
  for (int64_t q = 0; q < count; q++)
    for (int64_t k = 0; k < filters; k++) {
      float *to = y + (i + q) * y_step + k;
      *to = (add ? *to : 0) + sums[q * filters + k];
    }
}

INLINE void make_line(const cvl_dots_line *l, bool add, float *y, int64_t y_step,
                      const int filters) {
  const cvl_axis *a = &l->axis;
  int64_t first, last, end_first, end_last;
  for (int64_t i = 0; i < a->count;) {
    cvl_axis_taps(a, i, &first, &last);
    if (i + ABREAST(filters) <= a->count) {
      cvl_axis_taps(a, i + ABREAST(filters) - 1, &end_first, &end_last);
      if (first == end_first && last == end_last) {
        make_some(l, add, y, y_step, i, first, last, ABREAST(filters), filters);
        i += ABREAST(filters);
        continue;
      }
    }
    make_some(l, add, y, y_step, i, first, last, 1, filters);
    i++;
  }
}

#define KERNEL(filters)                                                                    \
  static void dots_##filters(const cvl_dots_line *l, bool add, float *y, int64_t y_step) { \
    make_line(l, add, y, y_step, filters);                                                 \
  }

KERNEL(1)
KERNEL(2)
KERNEL(3)
KERNEL(4)
KERNEL(5)
KERNEL(6)
KERNEL(7)
KERNEL(8)

cvl_dots_kernel *const CVL_ISA_NAME(cvl_dots)[CVL_DOTS_MOST] = {dots_1, dots_2, dots_3, dots_4,
                                                                dots_5, dots_6, dots_7, dots_8};

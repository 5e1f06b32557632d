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
INLINE void gather_some(const cvl_dots_line *l, bool add, float *y, int64_t y_step, int64_t i,
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

INLINE void gather_line(const cvl_dots_line *l, bool add, float *y, int64_t y_step,
                        const int filters) {
  const cvl_axis *a = &l->axis;
  int64_t first, last, end_first, end_last;
  for (int64_t i = 0; i < a->count;) {
    cvl_axis_taps(a, i, &first, &last);
    if (i + ABREAST(filters) <= a->count) {
      cvl_axis_taps(a, i + ABREAST(filters) - 1, &end_first, &end_last);
      if (first == end_first && last == end_last) {
        gather_some(l, add, y, y_step, i, first, last, ABREAST(filters), filters);
        i += ABREAST(filters);
        continue;
      }
    }
    gather_some(l, add, y, y_step, i, first, last, 1, filters);
    i++;
  }
}

/* Vectors of channels at once: a sum of each with each filter, and the vectors themselves, fit the registers. */
#define VECTORS(filters) \
  ((REGISTERS - 2) / ((filters) + 1) > 8 ? 8 : (REGISTERS - 2) / ((filters) + 1))

/* One tap of one line, `vectors` of channels from c on, each of n channels. */
INLINE void filter_some(const cvl_dots_line *l, const float *gy, int s, int64_t t, int64_t c,
                        int64_t n, const int vectors, const int filters) {
  const cvl_axis *a = &l->axis;
  float *w = l->w[s] + t * l->C + c;
  int64_t first, last;
  vec sum[MOST_SUMS];
#pragma GCC unroll 8
  for (int k = 0; k < filters; k++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
      sum[v * filters + k] = load_n(w + k * l->distance + v * LANES, n);
  cvl_axis_positions(a, t, 1, &first, &last);
  for (int64_t i = first; i < last; i++) {
    const float *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C + c,
                *g = gy + i * filters;
    vec from[MOST_ABREAST];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) from[v] = load_n(x + v * LANES, n);
#pragma GCC unroll 8
    for (int k = 0; k < filters; k++) {
      vec one = splat(g[k]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) sum[v * filters + k] += one * from[v];
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < filters; k++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
      store_n(w + k * l->distance + v * LANES, sum[v * filters + k], n);
}

INLINE void filter_line(const cvl_dots_line *l, const float *gy, const int filters) {
  const int64_t part = VECTORS(filters) * LANES;
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = 0; t < l->axis.taps; t++) {
      int64_t c = 0;
      for (; c + part <= l->C; c += part)
        filter_some(l, gy, s, t, c, LANES, VECTORS(filters), filters);
      for (; c + LANES <= l->C; c += LANES) filter_some(l, gy, s, t, c, LANES, 1, filters);
      if (c < l->C) filter_some(l, gy, s, t, c, l->C - c, 1, filters);
    }
}

#define KERNELS(filters)                                                                     \
  static void gather_##filters(const cvl_dots_line *l, bool add, float *y, int64_t y_step) { \
    gather_line(l, add, y, y_step, filters);                                                 \
  }                                                                                          \
  static void filter_##filters(const cvl_dots_line *l, const float *gy) {                    \
    filter_line(l, gy, filters);                                                             \
  }

KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)

const cvl_dots CVL_ISA_NAME(cvl_dots)[CVL_DOTS_MOST] = {
    {gather_1, filter_1}, {gather_2, filter_2}, {gather_3, filter_3}, {gather_4, filter_4},
    {gather_5, filter_5}, {gather_6, filter_6}, {gather_7, filter_7}, {gather_8, filter_8}};

#include <stddef.h>

#include "kernels/epilogue_vector.h"
#include "kernels/hwcn.h"
#include "kernels/zip.h"

/* Sums held in registers, and filters worked on together: the fewer of either, the more loads per product. */
enum { SUMS = LANES == 16 ? 24 : 12, WIDTH = LANES == 16 ? 8 : 6 };

/* Tiles of `width` filters by as many positions, or taps, as there are registers left for. */
#define DEEP(width) (SUMS / (width) < CVL_HWCN_SPARE ? SUMS / (width) : CVL_HWCN_SPARE)

/* Where block i of n floats starts: the last one may overlap the one before. */
INLINE int64_t start_of(int64_t i, int64_t n) { return i + LANES <= n ? i : n - LANES; }

/* `images` is a constant where it is LANES. */
INLINE void spread_vectors(const float *from, int64_t distance, const int64_t images, int64_t n,
                           float *to) {
  for (int64_t i = 0; i < n; i += LANES) {
    int64_t at = start_of(i, n);
    vec a[LANES];
#pragma GCC unroll 16
    for (int m = 0; m < LANES; m++) a[m] = m < images ? load(from + m * distance + at) : (vec){0};
    transpose(a);
#pragma GCC unroll 16
    for (int m = 0; m < LANES; m++) store(to + (at + m) * LANES, a[m]);
  }
}

static void spread(const float *from, int64_t distance, int64_t images, int64_t n, float *to) {
  if (n < LANES) {
    for (int64_t i = 0; i < n; i++)
      for (int64_t m = 0; m < LANES; m++)
        to[i * LANES + m] = m < images ? from[m * distance + i] : 0;
  } else if (images < LANES) {
    spread_vectors(from, distance, images, n, to);
  } else {
    spread_vectors(from, distance, LANES, n, to);
  }
}

INLINE void collect_vectors(const float *from, int64_t n, float *to, int64_t distance,
                            const int64_t images) {
  for (int64_t i = 0; i < n; i += LANES) {
    int64_t at = start_of(i, n);
    vec a[LANES];
#pragma GCC unroll 16
    for (int m = 0; m < LANES; m++) a[m] = load(from + (at + m) * LANES);
    transpose(a);
#pragma GCC unroll 16
    for (int m = 0; m < LANES; m++)
      if (m < images) store(to + m * distance + at, a[m]);
  }
}

static void collect(const float *from, int64_t n, float *to, int64_t distance, int64_t images) {
  if (n < LANES) {
    for (int64_t i = 0; i < n; i++)
      for (int64_t m = 0; m < images; m++) to[m * distance + i] = from[i * LANES + m];
  } else if (images < LANES) {
    collect_vectors(from, n, to, distance, images);
  } else {
    collect_vectors(from, n, to, distance, LANES);
  }
}

/* `count` positions by `width` filters; both are constants where this is called. */
INLINE void forward_tile(const cvl_hwcn_rows *r, int64_t q, const float *w, const float *bias,
                         float *y, const int count, const int width) {
  const float *x = r->x + q * r->step;
  int64_t first = r->first[q + count - 1], last = r->last[q];
  vec sum[SUMS];
#pragma GCC unroll 8
  for (int k = 0; k < width; k++)
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) sum[i * width + k] = bias != NULL ? splat(bias[k]) : (vec){0};
  for (int64_t l = r->first_line; l < r->last_line; l++) {
    const float *f = w + (l * r->line + first) * width;
    for (int64_t j = l * r->line + first; j < l * r->line + last; j++, f += width) {
      const float *at = x + r->offset[j];
      vec v[CVL_HWCN_SPARE];
#pragma GCC unroll 8
      for (int i = 0; i < count; i++) v[i] = load(at + i * r->step);
#pragma GCC unroll 8
      for (int k = 0; k < width; k++) {
        vec one = splat(f[k]);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++) sum[i * width + k] += one * v[i];
      }
    }
  }
  y += q * r->pitch;
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 8
    for (int k = 0; k < width; k++) store(y + i * r->pitch + k * LANES, sum[i * width + k]);
}

/* `count` taps by `width` filters. */
INLINE void filter_tile(const cvl_hwcn_rows *r, const int64_t *offset, const float *gy, float *acc,
                        const int count, const int width) {
  vec sum[SUMS];
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 8
    for (int k = 0; k < width; k++) sum[i * width + k] = load(acc + (i * width + k) * LANES);
  for (int64_t p = 0; p < r->rows; p++) {
    const float *x = r->x + p * r->row;
    for (int64_t q = 0; q < r->positions; q++, x += r->step, gy += r->pitch) {
      vec v[CVL_HWCN_SPARE];
#pragma GCC unroll 8
      for (int i = 0; i < count; i++) v[i] = load(x + offset[i]);
#pragma GCC unroll 8
      for (int k = 0; k < width; k++) {
        vec g = load(gy + k * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++) sum[i * width + k] += g * v[i];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; i++)
#pragma GCC unroll 8
    for (int k = 0; k < width; k++) store(acc + (i * width + k) * LANES, sum[i * width + k]);
}

/* Tiles of nearly the same number of positions, so that none is too small to keep the multipliers busy. */
#define POSITIONS(n, width)                                         \
  case n:                                                           \
    if (n <= DEEP(width)) forward_tile(r, q, w, bias, y, n, width); \
    break

#define KERNELS(width)                                                                   \
  static void forward_##width(const cvl_hwcn_rows *r, const float *w, const float *bias, \
                              float *y) {                                                \
    int64_t tiles = (r->positions + DEEP(width) - 1) / DEEP(width);                      \
    for (int64_t t = 0, q = 0, n; t < tiles; t++, q += n) {                              \
      n = (r->positions - q) / (tiles - t);                                              \
      switch (n) {                                                                       \
        POSITIONS(1, width);                                                             \
        POSITIONS(2, width);                                                             \
        POSITIONS(3, width);                                                             \
        POSITIONS(4, width);                                                             \
        POSITIONS(5, width);                                                             \
        POSITIONS(6, width);                                                             \
        POSITIONS(7, width);                                                             \
        POSITIONS(8, width);                                                             \
      }                                                                                  \
    }                                                                                    \
  }                                                                                      \
  static void filter_##width(const cvl_hwcn_rows *r, const float *gy, float *acc) {      \
    for (int64_t j = 0; j < r->sums; j += DEEP(width))                                   \
      filter_tile(r, r->offset + j, gy, acc + j * width * LANES, DEEP(width), width);    \
  }

KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)

typedef void forward_kernel(const cvl_hwcn_rows *r, const float *w, const float *bias, float *y);
typedef void filter_kernel(const cvl_hwcn_rows *r, const float *gy, float *acc);

static forward_kernel *const forward_kernels[] = {
    NULL, forward_1, forward_2, forward_3, forward_4, forward_5, forward_6, forward_7, forward_8};
static filter_kernel *const filter_kernels[] = {NULL,     filter_1, filter_2, filter_3, filter_4,
                                                filter_5, filter_6, filter_7, filter_8};

static int64_t at_most(int64_t width, int64_t left) { return left < width ? left : width; }

static void forward(const cvl_hwcn_rows *r, const float *w, int width, const float *bias,
                    float *y) {
  for (int64_t k = 0; k < r->K; k += width)
    forward_kernels[at_most(width, r->K - k)](r, w + k * r->sums, bias != NULL ? bias + k : NULL,
                                              y + k * LANES);
}

static void finish(const cvl_epilogue *then, int64_t positions, int64_t K, float *y) {
  epilogue_part p = {.floor = splat(then->relu ? 0 : -INFINITY)};
  for (int64_t i = 0; i < positions; i++)
    for (int64_t k = 0; k < K; k++, y += LANES) {
      p.factor = splat(then->factor != NULL ? then->factor[k] : 1);
      p.shift = splat(then->shift != NULL ? then->shift[k] : 0);
      store(y, epilogue_of(&p, load(y), NULL, LANES));
    }
}

static void filter(const cvl_hwcn_rows *r, const float *gy, int width, float *acc) {
  for (int64_t k = 0; k < r->K; k += width)
    filter_kernels[at_most(width, r->K - k)](r, gy + k * LANES,
                                             acc + k * (r->sums + CVL_HWCN_SPARE) * LANES);
}

/* The sums lie n filters at a time; behind the last there are some to spare. */
static void reduce(const float *acc, int64_t sums, int64_t K, int width, float *gw) {
  for (int64_t k = 0; k < K; k += width) {
    const float *from = acc + k * (sums + CVL_HWCN_SPARE) * LANES;
    int64_t n = at_most(width, K - k), at = 0, column = 0;
    for (int64_t i = 0; i < sums * n; i += LANES) {
      float s[LANES];
      vec a[LANES];
#pragma GCC unroll 16
      for (int m = 0; m < LANES; m++) a[m] = load(from + (i + m) * LANES);
      store(s, sums_of(a));
      for (int64_t m = 0; m < at_most(LANES, sums * n - i); m++) {
        gw[at * K + k + column] = s[m];
        if (++column == n) column = 0, at++;
      }
    }
  }
}

INLINE vec where(ivec m, vec v) { return (vec)(m & (ivec)v); }

/* One filter of one window, y from its first place on and the marks likewise. */
INLINE vec mean_of(const cvl_hwcn_windows *v, const float *y, uint16_t *marks) {
  int64_t row = v->count * v->wide * v->K;
  vec sum = {0};
  for (int64_t i = 0; i < v->high; i++)
    for (int64_t j = 0; j < v->wide; j++) {
      vec one = load(y + (i * row + j * v->K) * LANES);
      if (marks != NULL) marks[i * row + j * v->K] = (uint16_t)(v->relu ? bits_of(one > 0) : ~0u);
      sum += v->relu ? where(~(one <= 0), one) : one;
    }
  return sum * (1 / (float)(v->high * v->wide));
}

/* The first of equals stays, and so does the first NaN. */
INLINE vec largest_of(const cvl_hwcn_windows *v, const float *y, uint16_t *marks) {
  int64_t row = v->count * v->wide * v->K;
  vec best = load(y);
  ivec place = {0};
  for (int64_t i = 0; i < v->high; i++)
    for (int64_t j = 0; j < v->wide; j++) {
      vec one = load(y + (i * row + j * v->K) * LANES);
      ivec better = ~(one <= best) & (best == best);
      best = (vec)((better & (ivec)one) | (~better & (ivec)best));
      place = (better & (int32_t)(i * v->wide + j)) | (~better & place);
    }
  if (marks != NULL) {
    ivec has_share = v->relu ? best > 0 : ~(ivec){0};
    for (int64_t i = 0; i < v->high; i++)
      for (int64_t j = 0; j < v->wide; j++)
        marks[i * row + j * v->K] =
            (uint16_t)bits_of((place == (int32_t)(i * v->wide + j)) & has_share);
  }
  return v->relu ? where(~(best <= 0), best) : best;
}

static void pool(const cvl_hwcn_windows *v, const float *y, uint16_t *marks, float *z) {
  for (int64_t q = 0; q < v->count; q++)
    for (int64_t k = 0; k < v->K; k++, z += LANES) {
      int64_t at = q * v->wide * v->K + k;
      uint16_t *mark = marks != NULL ? marks + at : NULL;
      store(z, v->max ? largest_of(v, y + at * LANES, mark) : mean_of(v, y + at * LANES, mark));
    }
}

static void unpool(const cvl_hwcn_windows *v, const float *gz, const uint16_t *marks, float *gy,
                   int64_t pitch, float *sum) {
  vec scale = splat(v->max ? 1 : 1 / (float)(v->high * v->wide));
  for (int64_t q = 0; q < v->count; q++, gz += v->K * LANES)
    for (int64_t j = 0; j < v->wide; j++, gy += pitch, marks += v->K)
      for (int64_t k = 0; k < v->K; k++) {
        vec g = where(lanes_of(marks[k]), load(gz + k * LANES) * scale);
        store(gy + k * LANES, g);
        if (sum != NULL) store(sum + k * LANES, load(sum + k * LANES) + g);
      }
}

const cvl_hwcn CVL_ISA_NAME(cvl_hwcn) = {.lanes = LANES,
                                         .width = WIDTH,
                                         .held = SUMS,
                                         .spread = spread,
                                         .collect = collect,
                                         .forward = forward,
                                         .finish = finish,
                                         .pool = pool,
                                         .unpool = unpool,
                                         .filter = filter,
                                         .reduce = reduce};

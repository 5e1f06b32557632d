/*
** The loops of batch_norm.c over rows of channels. Channels are taken in strips of a few vectors, and a strip goes down
** the rows with its sums and with what belongs to a channel in registers. Blocks of rows are so low that what a strip
** leaves of them is still in the second-level cache for the next one.
*/
#ifndef CVL_OPS_BATCH_NORM_ROWS_H
#define CVL_OPS_BATCH_NORM_ROWS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined __AVX512F__
enum { LANE_BYTES = 64, WIDE = 4 }; /* WIDE: vectors of a strip, as many as the registers allow */
#elif defined __AVX__
enum { LANE_BYTES = 32, WIDE = 2 };
#else
enum { LANE_BYTES = 16, WIDE = 2 };
#endif
enum { LANES = LANE_BYTES / (int)sizeof(real) };

typedef real lanes __attribute__((vector_size(LANE_BYTES)));
typedef real lanes_u __attribute__((vector_size(LANE_BYTES), aligned(sizeof(real)), may_alias));
typedef __typeof__((lanes){0} > (lanes){0}) lanes_mask; /* 0 or -1 */

/* One bit for each lane, where vectors of float32 have a number of them that fits. */
#if defined CVL_DTYPE_F32 && defined __AVX512F__
typedef uint16_t marks;
enum { MARKS = true };
#elif defined CVL_DTYPE_F32 && defined __AVX__
typedef uint8_t marks;
enum { MARKS = true };
#else
typedef uint8_t marks;
enum { MARKS = false };
#endif

#define INLINE static inline __attribute__((always_inline))

/* The first n elements, which is LANES, a constant, in the loops that matter; the rest is zero. */
INLINE lanes load_n(const real *p, const int64_t n) {
  if (n >= LANES) return *(const lanes_u *)p;
#if defined CVL_DTYPE_F32 && defined __AVX512F__
  return (lanes)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  lanes v = {0};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}

INLINE void store_n(real *p, lanes v, const int64_t n) {
  if (n >= LANES) {
    *(lanes_u *)p = v;
    return;
  }
#if defined CVL_DTYPE_F32 && defined __AVX512F__
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* Past the caches, if the CPU can: n is LANES then and p aligned to a vector. Whoever wrote so calls cvl_past_end(), once for
** many rows, as that waits for memory. */
INLINE void write_n(real *p, lanes v, const int64_t n, bool past) {
#if defined CVL_DTYPE_F32 && defined __AVX512F__
  if (past) {
    _mm512_stream_ps(p, (__m512)v);
    return;
  }
#else
  (void)past;
#endif
  store_n(p, v, n);
}

INLINE lanes keep(lanes_mask m, lanes v) { return (lanes)(m & (lanes_mask)v); }

/* v > 0, and v where the marks say so. */
INLINE marks mark_positive(lanes v) {
#if defined CVL_DTYPE_F32 && defined __AVX512F__
  return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined CVL_DTYPE_F32 && defined __AVX__
  return (marks)_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_GT_OQ));
#else
  (void)v;
  return 0;
#endif
}

INLINE lanes keep_marked(marks m, lanes v) {
#if defined CVL_DTYPE_F32 && defined __AVX512F__
  return (lanes)_mm512_maskz_mov_ps(m, (__m512)v);
#elif defined CVL_DTYPE_F32 && defined __AVX__
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return keep((lanes_mask)(((__v8si)_mm256_set1_epi32(m) & (__v8si)bit) != 0), v);
#else
  (void)m;
  return v;
#endif
}

/* One expression for both ways: backward must see the sign that forward saw. */
INLINE lanes normal(lanes x, lanes mean, lanes factor, lanes shift) {
  return (x - mean) * factor + shift;
}

/* n rows of C channels, from those on that the pointers are to. */
typedef struct {
  int64_t n, C;
  const real *x, *residual, *y, *gy;
  real *out, *masked;        /* y or gx; the residual's gradient */
  const real *mean, *factor; /* {C}: y = (x - mean) factor + shift, */
  const real *shift, *slope; /* {C}: or gx = factor (g - shift - (x - mean) slope), */
  const real *offset;        /* {C}: where (x - mean) factor + offset > 0 */
  marks *positive;           /* where y > 0, one for each vector of channels; or NULL */
  bool past;                 /* write past the caches */
} rows;

/* Where gy counts: everywhere; where x, normalised, is positive; where y is, which the marks tell or y; the same and kept in
** `masked`. */
typedef enum { ALL, WHERE_NORMAL, WHERE_Y, WHERE_MARKED, WHERE_Y_KEPT, WHERE_MARKED_KEPT } mask;

INLINE bool is_kept(mask where) { return where == WHERE_Y_KEPT || where == WHERE_MARKED_KEPT; }

/* A strip: `width` vectors of channels from c on, of n elements each. Sizes and choices are constants where a strip is
** called, so that each has a loop of its own. */
#define FOR_STRIPS(strip, r, ...)                                                  \
  do {                                                                             \
    int64_t c_ = 0;                                                                \
    for (; c_ + WIDE * LANES <= (r)->C; c_ += WIDE * LANES)                        \
      strip(r, c_, WIDE, LANES, __VA_ARGS__);                                      \
    for (; c_ + LANES <= (r)->C; c_ += LANES) strip(r, c_, 1, LANES, __VA_ARGS__); \
    if (c_ < (r)->C) strip(r, c_, 1, (r)->C - c_, __VA_ARGS__);                    \
  } while (0)

INLINE void mean_strip(const rows *r, int64_t c, const int width, const int64_t n, real *mean) {
  lanes s[WIDE] = {{0}};
  const real each = (real)1 / (real)r->n;
  for (int64_t i = 0; i < r->n; i++)
    for (int k = 0; k < width; k++) s[k] += load_n(r->x + i * r->C + c + k * LANES, n);
  for (int k = 0; k < width; k++) store_n(mean + c + k * LANES, s[k] * each, n);
}

/* The rows' own. */
static void rows_mean(const rows *r, real *mean) { FOR_STRIPS(mean_strip, r, mean); }

INLINE void moments_strip(const rows *r, int64_t c, const int width, const int64_t n, real *sum,
                          real *squares) {
  lanes mean[WIDE], s[WIDE] = {{0}}, q[WIDE] = {{0}};
  for (int k = 0; k < width; k++) mean[k] = load_n(r->mean + c + k * LANES, n);
  for (int64_t i = 0; i < r->n; i++)
    for (int k = 0; k < width; k++) {
      lanes d = load_n(r->x + i * r->C + c + k * LANES, n) - mean[k];
      s[k] += d;
      q[k] += d * d;
    }
  for (int k = 0; k < width; k++) {
    store_n(sum + c + k * LANES, s[k], n);
    store_n(squares + c + k * LANES, q[k], n);
  }
}

/* Sums of x - mean and of (x - mean)^2. */
static void rows_moments(const rows *r, real *sum, real *squares) {
  FOR_STRIPS(moments_strip, r, sum, squares);
}

INLINE void normalise_strip(const rows *r, int64_t c, const int width, const int64_t n,
                            const lanes *floor, const bool add, const bool mark) {
  lanes mean[WIDE], factor[WIDE], shift[WIDE];
  for (int k = 0; k < width; k++) {
    mean[k] = load_n(r->mean + c + k * LANES, n);
    factor[k] = load_n(r->factor + c + k * LANES, n);
    shift[k] = load_n(r->shift + c + k * LANES, n);
  }
  for (int64_t i = 0; i < r->n; i++)
    for (int k = 0; k < width; k++) {
      int64_t at = i * r->C + c + k * LANES;
      lanes v = normal(load_n(r->x + at, n), mean[k], factor[k], shift[k]);
      if (add) v += load_n(r->residual + at, n);
      if (mark) r->positive[at / LANES] = mark_positive(v);
      lanes_mask below = v < *floor; /* NaN is not */
      write_n(r->out + at, (lanes)((below & (lanes_mask)*floor) | (~below & (lanes_mask)v)), n,
              r->past);
    }
}

static void rows_normalise(const rows *r, bool relu) {
  const lanes floor = (lanes){0} + (relu ? 0 : -(real)INFINITY);
  if (r->residual == NULL)
    FOR_STRIPS(normalise_strip, r, &floor, false, false);
  else if (!MARKS || r->positive == NULL)
    FOR_STRIPS(normalise_strip, r, &floor, true, false);
  else
    FOR_STRIPS(normalise_strip, r, &floor, true, true);
}

INLINE void sums_strip(const rows *r, int64_t c, const int width, const int64_t n, const mask where,
                       real *sum, real *product) {
  lanes mean[WIDE], factor[WIDE], offset[WIDE], s[WIDE] = {{0}}, p[WIDE] = {{0}};
  for (int k = 0; k < width; k++) {
    mean[k] = load_n(r->mean + c + k * LANES, n);
    factor[k] = load_n(r->factor + c + k * LANES, n);
    offset[k] = load_n(r->offset + c + k * LANES, n);
  }
  for (int64_t i = 0; i < r->n; i++)
    for (int k = 0; k < width; k++) {
      int64_t at = i * r->C + c + k * LANES;
      lanes x = load_n(r->x + at, n), g = load_n(r->gy + at, n);
      if (where == WHERE_NORMAL) g = keep(normal(x, mean[k], factor[k], offset[k]) > 0, g);
      if (where == WHERE_Y || where == WHERE_Y_KEPT) g = keep(load_n(r->y + at, n) > 0, g);
      if (where == WHERE_MARKED || where == WHERE_MARKED_KEPT)
        g = keep_marked(r->positive[at / LANES], g);
      if (is_kept(where)) write_n(r->masked + at, g, n, r->past);
      s[k] += g;
      p[k] += g * (x - mean[k]);
    }
  for (int k = 0; k < width; k++) {
    store_n(sum + c + k * LANES, s[k], n);
    store_n(product + c + k * LANES, p[k], n);
  }
}

/* Sums of g and of g (x - mean), where g is gy where it counts. */
static void rows_sums(const rows *r, mask where, real *sum, real *product) {
  if (where == ALL)
    FOR_STRIPS(sums_strip, r, ALL, sum, product);
  else if (where == WHERE_NORMAL)
    FOR_STRIPS(sums_strip, r, WHERE_NORMAL, sum, product);
  else if (where == WHERE_Y)
    FOR_STRIPS(sums_strip, r, WHERE_Y, sum, product);
  else if (where == WHERE_MARKED)
    FOR_STRIPS(sums_strip, r, WHERE_MARKED, sum, product);
  else if (where == WHERE_Y_KEPT)
    FOR_STRIPS(sums_strip, r, WHERE_Y_KEPT, sum, product);
  else
    FOR_STRIPS(sums_strip, r, WHERE_MARKED_KEPT, sum, product);
}

INLINE void data_strip(const rows *r, int64_t c, const int width, const int64_t n,
                       const mask where) {
  lanes mean[WIDE], factor[WIDE], shift[WIDE], slope[WIDE], offset[WIDE];
  for (int k = 0; k < width; k++) {
    mean[k] = load_n(r->mean + c + k * LANES, n);
    factor[k] = load_n(r->factor + c + k * LANES, n);
    shift[k] = load_n(r->shift + c + k * LANES, n);
    slope[k] = load_n(r->slope + c + k * LANES, n);
    offset[k] = load_n(r->offset + c + k * LANES, n);
  }
  for (int64_t i = 0; i < r->n; i++)
    for (int k = 0; k < width; k++) {
      int64_t at = i * r->C + c + k * LANES;
      lanes x = load_n(r->x + at, n), g = load_n(r->gy + at, n);
      if (where == WHERE_NORMAL) g = keep(normal(x, mean[k], factor[k], offset[k]) > 0, g);
      if (where == WHERE_Y) g = keep(load_n(r->y + at, n) > 0, g);
      if (where == WHERE_MARKED) g = keep_marked(r->positive[at / LANES], g);
      write_n(r->out + at, factor[k] * (g - shift[k] - (x - mean[k]) * slope[k]), n, r->past);
    }
}

/* gx; where gy was kept, that is gy. */
static void rows_data(const rows *r, mask where) {
  if (where == WHERE_NORMAL)
    FOR_STRIPS(data_strip, r, WHERE_NORMAL);
  else if (where == WHERE_Y)
    FOR_STRIPS(data_strip, r, WHERE_Y);
  else if (where == WHERE_MARKED)
    FOR_STRIPS(data_strip, r, WHERE_MARKED);
  else
    FOR_STRIPS(data_strip, r, ALL);
}

#endif

#include <stddef.h>

#include "kernels/depthwise.h"
#include "kernels/vector.h"

enum {
  ABREAST = 4
}; /* positions, or vectors of channels, worked on together to keep the arithmetic units busy */

/* Each lane's channel of its group in a turn, of a vector that is at p too. */
INLINE vec in_turn(vec x, const float *p, const int depth, const int turn) {
  ivec lane;
  if (depth == 1) return x;
  if (depth == (int)LANES) return splat(p[turn]);
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) lane[i] = (i & -depth) + turn;
  return __builtin_shuffle(x, lane);
}

/* `count` positions from i on, all of whose taps [first, last) hit the source; n channels from c on. */
INLINE void gather_some(const cvl_depthwise_line *l, const int depth, bool add, const float *bias,
                        float *y, int64_t y_step, int64_t i, const int count, int64_t first,
                        int64_t last, int64_t c, int64_t n) {
  const cvl_axis *a = &l->axis;
  vec sum[ABREAST];
  for (int q = 0; q < count; q++)
    sum[q] = add            ? load_n(y + (i + q) * y_step + c, n)
             : bias != NULL ? load_n(bias + c, n)
                            : (vec){0};
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = first; t < last; t++) {
      const float *w = l->w[s] + (a->filter + t * a->filter_step) * depth * l->C + c,
                  *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C + c;
      vec from[ABREAST];
      for (int q = 0; q < count; q++) from[q] = load_n(x + q * a->step * l->C, n);
#pragma GCC unroll 16
      for (int turn = 0; turn < depth; turn++) {
        vec one = load_n(w + turn * l->C, n);
        for (int q = 0; q < count; q++)
          sum[q] += one * in_turn(from[q], x + q * a->step * l->C, depth, turn);
      }
    }
  for (int q = 0; q < count; q++) store_n(y + (i + q) * y_step + c, sum[q], n);
}

/* Positions outermost: the pixels are read in the order in which they lie in memory. */
INLINE void gather_channels(const cvl_depthwise_line *l, const int depth, bool add,
                            const float *bias, float *y, int64_t y_step, int64_t i, const int count,
                            int64_t first, int64_t last) {
  int64_t c = 0;
  for (; c + LANES <= l->C; c += LANES)
    gather_some(l, depth, add, bias, y, y_step, i, count, first, last, c, LANES);
  if (c < l->C) gather_some(l, depth, add, bias, y, y_step, i, count, first, last, c, l->C - c);
}

INLINE void gather(const cvl_depthwise_line *l, const int depth, bool add, const float *bias,
                   float *y, int64_t y_step) {
  const cvl_axis *a = &l->axis;
  int64_t first, last, end_first, end_last;
  for (int64_t i = 0; i < a->count;) {
    cvl_axis_taps(a, i, &first, &last);
    if (i + ABREAST <= a->count) {
      cvl_axis_taps(a, i + ABREAST - 1, &end_first, &end_last);
      if (first == end_first && last == end_last) {
        gather_channels(l, depth, add, bias, y, y_step, i, ABREAST, first, last);
        i += ABREAST;
        continue;
      }
    }
    gather_channels(l, depth, add, bias, y, y_step, i, 1, first, last);
    i++;
  }
}

/* One tap of one line, `vectors` of channels from c on, the last of n channels. */
INLINE void filter_some(const cvl_depthwise_line *l, const int depth, const float *gy, int s,
                        int64_t t, const int vectors, int64_t c, int64_t n) {
  const cvl_axis *a = &l->axis;
  float *w = l->w[s] + (a->filter + t * a->filter_step) * depth * l->C + c;
  int64_t first, last;
  vec sum[CVL_LANES > 4 ? CVL_LANES : 4]; /* vectors * depth */
#pragma GCC unroll 16
  for (int turn = 0; turn < depth; turn++)
    for (int v = 0; v < vectors; v++)
      sum[v * depth + turn] = load_n(w + turn * l->C + v * LANES, n);
  cvl_axis_positions(a, t, 1, &first, &last);
  for (int64_t i = first; i < last; i++) {
    const float *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C + c,
                *g = gy + i * l->C + c;
    for (int v = 0; v < vectors; v++) {
      vec from = load_n(x + v * LANES, n), one = load_n(g + v * LANES, n);
#pragma GCC unroll 16
      for (int turn = 0; turn < depth; turn++)
        sum[v * depth + turn] += in_turn(from, x + v * LANES, depth, turn) * one;
    }
  }
#pragma GCC unroll 16
  for (int turn = 0; turn < depth; turn++)
    for (int v = 0; v < vectors; v++)
      store_n(w + turn * l->C + v * LANES, sum[v * depth + turn], n);
}

INLINE void filter(const cvl_depthwise_line *l, const int depth, const float *gy) {
  const int abreast = depth < ABREAST ? ABREAST / depth : 1;
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = 0; t < l->axis.taps; t++) {
      int64_t c = 0;
      for (; c + abreast * LANES <= l->C; c += abreast * LANES)
        filter_some(l, depth, gy, s, t, abreast, c, LANES);
      for (; c + LANES <= l->C; c += LANES) filter_some(l, depth, gy, s, t, 1, c, LANES);
      if (c < l->C) filter_some(l, depth, gy, s, t, 1, c, l->C - c);
    }
}

#define KERNELS(depth)                                                                           \
  static void gather_##depth(const cvl_depthwise_line *l, bool add, const float *bias, float *y, \
                             int64_t y_step) {                                                   \
    gather(l, depth, add, bias, y, y_step);                                                      \
  }                                                                                              \
  static void filter_##depth(const cvl_depthwise_line *l, const float *gy) { filter(l, depth, gy); }

KERNELS(1)
KERNELS(2)
KERNELS(4)
#if CVL_LANES >= 8
KERNELS(8)
#define GATHER_8 gather_8
#define FILTER_8 filter_8
#else
#define GATHER_8 NULL
#define FILTER_8 NULL
#endif
#if CVL_LANES >= 16
KERNELS(16)
#define GATHER_16 gather_16
#define FILTER_16 filter_16
#else
#define GATHER_16 NULL
#define FILTER_16 NULL
#endif

const cvl_depthwise CVL_ISA_NAME(cvl_depthwise) = {
    {gather_1, gather_2, gather_4, GATHER_8, GATHER_16},
    {filter_1, filter_2, filter_4, FILTER_8, FILTER_16}};

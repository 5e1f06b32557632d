#include <stddef.h>
#include <string.h>

#include "kernels/grouped.h"
#include "kernels/vector.h"

enum {
  MOST = 8,  /* positions made together: their sums, three taps and a pixel fit the registers */
  TAPS = 3,  /* made together */
  SOME = 56, /* positions whose pixels are listed together: a multiple of 8 and 7; and taps, */
  SOME_TAPS = 12,
  PIXELS = MOST * SOME_TAPS, /* of all lists of a line */
  SAME_SETS = 512 /* floats: pixels so far apart compete for two sets of the first-level cache */
};

/* A loop's form, constants all. */
typedef struct {
  int kind;
  bool whole; /* vectors are, all of them */
  int count;  /* positions made together */
} form;

/* Where results go, in the words of grouped.h. */
typedef struct {
  bool add;
  const float *bias;
  float *y;
  int64_t y_step;
} target;

/*
** The pixels that some positions and taps read in each line, zeros being those outside it and behind the last position. Taps
** as far apart as positions share pixels, in one list: list r has the taps r, r + lists, r + 2 lists and so on, the m-th of
** which reads for position q what is at[s][r * room + q + m].
*/
typedef struct {
  int64_t first, positions, first_tap, lists, room;
  int64_t taps[SOME_TAPS]; /* of each list */
  const float *at[CVL_GROUPED_LINES][PIXELS];
} pixels;

/* Positions from `first` on, and taps from `first_tap` on, of lines with so many channels. */
static void list_pixels(const cvl_grouped_line *l, int64_t channels, int64_t first,
                        int64_t first_tap, pixels *out) {
  const cvl_axis *a = &l->axis;
  int64_t taps = a->taps - first_tap < SOME_TAPS ? a->taps - first_tap : SOME_TAPS;
  int64_t left = a->count - first, most;
  out->first = first;
  out->first_tap = first_tap;
  out->lists = a->spread == 1 && a->step < taps ? a->step : taps > 0 ? taps : 1;
  out->room = PIXELS / out->lists;
  for (int64_t r = 0; r < out->lists; r++) out->taps[r] = (taps - r + out->lists - 1) / out->lists;
  most = (out->room - out->taps[0] + 1) / MOST * MOST;
  if (most > SOME) most = SOME;
  out->positions = left < most ? left : most;
  for (int s = 0; s < l->lines; s++)
    for (int64_t r = 0; r < out->lists; r++) {
      const float **to = out->at[s] + r * out->room;
      int64_t at = a->offset + first * a->step + (first_tap + r) * a->spread;
      int64_t i = 0, end = out->positions + out->taps[r] - 1;
      for (; i < end; i++, at += a->step)
        to[i] = (uint64_t)at < (uint64_t)a->size ? l->source[s] + at * channels : l->zeros;
      for (; i < out->room && i < end + MOST; i++) to[i] = l->zeros;
    }
}

/* How a vector takes its channels in one turn. */
typedef struct {
  form f;
  int64_t n, taken; /* channels of this vector; of the other tensor from its base on */
  int vectors;
  ivec lane;
} turn;

INLINE turn turn_of(const cvl_grouped_line *l, const form f, int64_t v, int64_t t) {
  turn u = {.f = f, .n = f.whole ? LANES : l->lanes[v].n};
  if (f.kind >= CVL_GROUPED_NEAR) {
    u.taken = l->taken - l->lanes[v].base;
    u.vectors = f.kind == CVL_GROUPED_NEAR ? 1 : l->vectors;
    memcpy(&u.lane, l->lanes[v].lane, sizeof u.lane);
    u.lane += (int32_t)t;
  }
  return u;
}

/* From as many vectors as it takes, which may end with the last channel. Not inlined: rare, and long without an instruction. */
static __attribute__((noinline)) vec take_parts(const float *x, const turn *u) {
  vec all = {0};
  for (int v = 0; v < u->vectors; v++) {
    ivec here = u->lane / LANES == v;
    int64_t n = u->taken - v * LANES;
    vec some = n > 0 ? __builtin_shuffle(load_n(x + v * LANES, n), u->lane) : all;
    all = (vec)((ivec)all | ((ivec)some & here));
  }
  return all;
}

/* What the lanes take of the channels at x: from the base on, or in a turn of one group the only one. */
INLINE vec take(const float *x, const turn u) {
  const bool shuffles = u.f.whole && LANES > 4;
  if (u.f.kind == CVL_GROUPED_OWN) return load_n(x, u.n);
  if (u.f.kind == CVL_GROUPED_ONE) return splat(*x);
  if (u.f.kind == CVL_GROUPED_NEAR && shuffles) return __builtin_shuffle(load(x), u.lane);
#if CVL_LANES == 4
  if (u.f.kind == CVL_GROUPED_NEAR && u.f.whole)
    return (vec){x[u.lane[0]], x[u.lane[1]], x[u.lane[2]], x[u.lane[3]]};
#endif
  if (u.f.kind == CVL_GROUPED_FAR && shuffles && u.vectors == 2)
    return __builtin_shuffle(load(x), load(x + LANES), u.lane);
  return take_parts(x, &u);
}

/* The channels that the lanes of vector v start from in turn d; turns in all. */
INLINE int64_t base_of(const cvl_grouped_line *l, const form f, int64_t v, int64_t d) {
  return l->lanes[v].base + (f.kind == CVL_GROUPED_ONE ? d : 0);
}
INLINE int64_t depth_of(const cvl_grouped_line *l, const form f) {
  return f.kind == CVL_GROUPED_OWN ? 1 : l->depth;
}

/* `taps` taps of a list, whose pixels serve several of them; `base`: the first channel wanted. */
INLINE void gather_taps(const turn u, const int taps, const float *const *pixel, int64_t base,
                        const float *w, int64_t w_step, vec *sum) {
  const int count = u.f.count;
  vec tap[TAPS];
#pragma GCC unroll 8
  for (int k = 0; k < taps; k++) tap[k] = load(w + k * w_step);
#pragma GCC unroll 16
  for (int p = 0; p < count + taps - 1; p++) {
    vec x = take(pixel[p] + base, u);
    if (taps > 1) HOLD(x);
#pragma GCC unroll 8
    for (int k = 0; k < taps; k++)
      if (p - k >= 0 && p - k < count) sum[p - k] += x * tap[k];
  }
}

/* Positions from i on, vector v; what lies behind the last is made and dropped. */
INLINE void gather_block(const cvl_grouped_line *l, const pixels *from, const form f, int64_t i,
                         int64_t v, const target to) {
  const int64_t n = f.whole ? LANES : l->lanes[v].n, live = from->first + from->positions - i;
  const int64_t depth = depth_of(l, f), row = depth * LANES, w_step = l->axis.filter_step * row;
  const int64_t w_next = from->lists * w_step;
  const int64_t first = l->axis.filter * row + from->first_tap * w_step + v * l->panel;
  float *y = to.y + i * to.y_step + l->lanes[v].c;
  vec sum[MOST];
#pragma GCC unroll 8
  for (int q = 0; q < f.count; q++)
    sum[q] = to.add && q < live ? load_n(y + q * to.y_step, n)
             : to.bias != NULL  ? load_n(to.bias + l->lanes[v].c, n)
                                : (vec){0};
  for (int s = 0; s < l->lines; s++)
    for (int64_t d = 0; d < depth; d++) {
      const turn u = turn_of(l, f, v, d);
      const int64_t base = base_of(l, f, v, d);
      for (int64_t r = 0; r < from->lists; r++) {
        const float *const *pixel = from->at[s] + r * from->room + (i - from->first);
        const float *w = l->w[s] + first + d * LANES + r * w_step;
        int64_t taps = from->taps[r];
        for (; taps >= TAPS; taps -= TAPS, pixel += TAPS, w += TAPS * w_next) {
          FORGET(pixel);
          FORGET(w);
          gather_taps(u, TAPS, pixel, base, w, w_next, sum);
        }
        FORGET(pixel);
        if (taps == 2)
          gather_taps(u, 2, pixel, base, w, w_next, sum);
        else if (taps == 1)
          gather_taps(u, 1, pixel, base, w, w_next, sum);
      }
    }
#pragma GCC unroll 8
  for (int q = 0; q < f.count; q++)
    if (q < live) store_n(y + q * to.y_step, sum[q], n);
}

/* Whether vector v is whole, and those that it takes from. */
INLINE bool is_whole(const cvl_grouped_line *l, int64_t v) {
  return l->lanes[v].n == LANES && l->taken >= l->vectors * LANES;
}

/* In blocks of so many positions are the fewest idle: 8, 7 or 4. */
INLINE int best_count(int64_t positions) {
  int64_t eights = (positions + 7) / 8 * 8, sevens = (positions + 6) / 7 * 7,
          fours = (positions + 3) / 4 * 4;
  return eights <= sevens && eights <= fours ? 8 : sevens <= fours ? 7 : 4;
}

/* Positions outermost: pixels are read in the order in which they lie in memory. */
INLINE void gather_listed(const cvl_grouped_line *l, const pixels *from, const form f,
                          int64_t first, int64_t last, const target to) {
  for (int64_t i = from->first; i < from->first + from->positions; i += f.count)
    for (int64_t v = first; v < last; v++) gather_block(l, from, f, i, v, to);
}

/* Runs of vectors that are whole, or not. */
INLINE void gather_some(const cvl_grouped_line *l, const pixels *from, const int kind,
                        int64_t first, int64_t last, const target to) {
  const int count = best_count(from->positions);
  for (int64_t v = first, end; v < last; v = end) {
    const bool whole = is_whole(l, v);
    for (end = v + 1; end < last && is_whole(l, end) == whole;) end++;
    if (!whole)
      gather_listed(l, from, (form){kind, false, MOST}, v, end, to);
    else if (count == 8)
      gather_listed(l, from, (form){kind, true, 8}, v, end, to);
    else if (count == 7)
      gather_listed(l, from, (form){kind, true, 7}, v, end, to);
    else
      gather_listed(l, from, (form){kind, true, 4}, v, end, to);
  }
}

INLINE void gather(const cvl_grouped_line *l, const int kind, int64_t first, int64_t last,
                   target to) {
  pixels from;
  for (int64_t t = 0; t == 0 || t < l->axis.taps; t += SOME_TAPS, to.add = true)
    for (int64_t i = 0; i < l->axis.count; i += from.positions) {
      list_pixels(l, l->taken, i, t, &from);
      gather_some(l, &from, kind, first, last, to);
    }
}

/* `taps` taps of a list, by one line. With one turn the sums stay in registers from position to position, with more the pixels
** do from turn to turn. */
INLINE void filter_taps(const cvl_grouped_line *l, const form f, const int taps, int64_t positions,
                        int64_t v, const float *const *pixel, const float *gy, float *w,
                        int64_t w_step) {
  const bool own = f.kind == CVL_GROUPED_OWN;
  const int64_t n = f.whole ? LANES : l->lanes[v].n, c = l->lanes[v].c, taken = l->taken;
  vec sum[TAPS] = {{0}}, odd[TAPS] = {{0}}; /* two, to keep the arithmetic units busy */
  vec x[MOST + TAPS - 1];
  for (; positions > 0; positions -= f.count, pixel += f.count, gy += f.count * taken) {
    FORGET(pixel);
#pragma GCC unroll 16
    for (int p = 0; p < f.count + taps - 1; p++) x[p] = load_n(pixel[p] + c, n);
    for (int64_t d = 0; d < depth_of(l, f); d++) {
      const turn u = turn_of(l, f, v, d);
      const float *g = gy + base_of(l, f, v, d);
      float *to = w + d * LANES;
      if (!own)
#pragma GCC unroll 8
        for (int k = 0; k < taps; k++) sum[k] = load(to + k * w_step);
#pragma GCC unroll 8
      for (int q = 0; q < f.count; q++, g += taken) {
        FORGET(g);
        vec one = take(q < positions ? g : l->zeros, u);
        HOLD(one);
#pragma GCC unroll 8
        for (int k = 0; k < taps; k++)
          if (own && q % 2 != 0)
            odd[k] += x[q + k] * one;
          else
            sum[k] += x[q + k] * one;
      }
      if (!own)
#pragma GCC unroll 8
        for (int k = 0; k < taps; k++) store(to + k * w_step, sum[k]);
    }
  }
  if (own)
#pragma GCC unroll 8
    for (int k = 0; k < taps; k++) store(w + k * w_step, load(w + k * w_step) + (sum[k] + odd[k]));
}

/* `positions` of those listed, from the i-th on, vector v. */
INLINE void filter_vector(const cvl_grouped_line *l, const pixels *from, const form f, int64_t i,
                          int64_t positions, int64_t v, const float *gy) {
  const int64_t row = depth_of(l, f) * LANES, w_step = l->axis.filter_step * row;
  const int64_t w_next = from->lists * w_step;
  const int64_t first = l->axis.filter * row + from->first_tap * w_step + v * l->panel;
  gy += (from->first + i) * l->taken;
  for (int s = 0; s < l->lines; s++)
    for (int64_t r = 0; r < from->lists; r++) {
      const float *const *pixel = from->at[s] + r * from->room + i;
      float *w = l->w[s] + first + r * w_step;
      int64_t taps = from->taps[r];
      for (; taps >= TAPS; taps -= TAPS, pixel += TAPS, w += TAPS * w_next)
        filter_taps(l, f, TAPS, positions, v, pixel, gy, w, w_next);
      if (taps == 2)
        filter_taps(l, f, 2, positions, v, pixel, gy, w, w_next);
      else if (taps == 1)
        filter_taps(l, f, 1, positions, v, pixel, gy, w, w_next);
    }
}

/* Vector by vector, whose sums stay near; but block by block where the pixels of a vector do not. */
INLINE void filter(const cvl_grouped_line *l, const int kind, int64_t first, int64_t last,
                   const float *gy) {
  const bool near = kind != CVL_GROUPED_OWN || l->across % SAME_SETS != 0;
  pixels from;
  for (int64_t t = 0; t < l->axis.taps; t += SOME_TAPS)
    for (int64_t i = 0; i < l->axis.count; i += from.positions) {
      list_pixels(l, l->across, i, t, &from);
      const int count = best_count(from.positions) == 7 ? 7 : MOST;
      const int64_t some = near ? from.positions : count;
      for (int64_t q = 0; q < from.positions; q += some)
        for (int64_t v = first; v < last; v++) {
          int64_t n = from.positions - q < some ? from.positions - q : some;
          if (!is_whole(l, v))
            filter_vector(l, &from, (form){kind, false, MOST}, q, n, v, gy);
          else if (count == 7)
            filter_vector(l, &from, (form){kind, true, 7}, q, n, v, gy);
          else
            filter_vector(l, &from, (form){kind, true, MOST}, q, n, v, gy);
        }
    }
}

#define KERNELS(name, kind)                                                                   \
  static void gather_##name(const cvl_grouped_line *l, int64_t first, int64_t last, bool add, \
                            const float *bias, float *y, int64_t y_step) {                    \
    gather(l, kind, first, last, (target){add, bias, y, y_step});                             \
  }                                                                                           \
  static void filter_##name(const cvl_grouped_line *l, int64_t first, int64_t last,           \
                            const float *gy) {                                                \
    filter(l, kind, first, last, gy);                                                         \
  }

KERNELS(own, CVL_GROUPED_OWN)
KERNELS(one, CVL_GROUPED_ONE)
KERNELS(near, CVL_GROUPED_NEAR)
KERNELS(far, CVL_GROUPED_FAR)

const cvl_grouped CVL_ISA_NAME(cvl_grouped) = {LANES,
                                               {gather_own, gather_one, gather_near, gather_far},
                                               {filter_own, filter_one, filter_near, filter_far}};

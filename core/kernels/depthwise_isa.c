#include <stddef.h>

#include "kernels/depthwise.h"
#include "kernels/vector.h"

enum {
  ABREAST = 4
}; /* positions, or vectors of channels, worked on together to keep the arithmetic units busy */

/* `count` positions from i on, all of whose taps [first, last) hit the source; n channels from c on. */
INLINE void gather_some(const cvl_depthwise_line *l, bool add, const float *bias, float *y,
                        int64_t y_step, int64_t i, const int count, int64_t first, int64_t last,
                        int64_t c, int64_t n) {
  const cvl_axis *a = &l->axis;
  vec sum[ABREAST];
  for (int q = 0; q < count; q++)
    sum[q] = add            ? load_n(y + (i + q) * y_step + c, n)
             : bias != NULL ? load_n(bias + c, n)
                            : (vec){0};
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = first; t < last; t++) {
      vec w = load_n(l->w[s] + (a->filter + t * a->filter_step) * l->C + c, n);
      const float *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C + c;
      for (int q = 0; q < count; q++) sum[q] += w * load_n(x + q * a->step * l->C, n);
    }
  for (int q = 0; q < count; q++) store_n(y + (i + q) * y_step + c, sum[q], n);
}

/* Positions outermost: the pixels are read in the order in which they lie in memory. */
INLINE void gather_channels(const cvl_depthwise_line *l, bool add, const float *bias, float *y,
                            int64_t y_step, int64_t i, const int count, int64_t first,
                            int64_t last) {
  int64_t c = 0;
  for (; c + LANES <= l->C; c += LANES)
    gather_some(l, add, bias, y, y_step, i, count, first, last, c, LANES);
  if (c < l->C) gather_some(l, add, bias, y, y_step, i, count, first, last, c, l->C - c);
}

static void gather(const cvl_depthwise_line *l, bool add, const float *bias, float *y,
                   int64_t y_step) {
  const cvl_axis *a = &l->axis;
  int64_t first, last, end_first, end_last;
  for (int64_t i = 0; i < a->count;) {
    cvl_axis_taps(a, i, &first, &last);
    if (i + ABREAST <= a->count) {
      cvl_axis_taps(a, i + ABREAST - 1, &end_first, &end_last);
      if (first == end_first && last == end_last) {
        gather_channels(l, add, bias, y, y_step, i, ABREAST, first, last);
        i += ABREAST;
        continue;
      }
    }
    gather_channels(l, add, bias, y, y_step, i, 1, first, last);
    i++;
  }
}

/* One tap of one line, `vectors` of channels from c on, the last of n channels. */
INLINE void filter_some(const cvl_depthwise_line *l, const float *gy, int s, int64_t t,
                        const int vectors, int64_t c, int64_t n) {
  const cvl_axis *a = &l->axis;
  float *w = l->w[s] + (a->filter + t * a->filter_step) * l->C + c;
  int64_t first, last;
  vec sum[ABREAST];
  for (int v = 0; v < vectors; v++) sum[v] = load_n(w + v * LANES, n);
  cvl_axis_positions(a, t, 1, &first, &last);
  for (int64_t i = first; i < last; i++) {
    const float *x = l->source[s] + (a->offset + i * a->step + t * a->spread) * l->C + c,
                *g = gy + i * l->C + c;
    for (int v = 0; v < vectors; v++) sum[v] += load_n(x + v * LANES, n) * load_n(g + v * LANES, n);
  }
  for (int v = 0; v < vectors; v++) store_n(w + v * LANES, sum[v], n);
}

static void filter(const cvl_depthwise_line *l, const float *gy) {
  for (int s = 0; s < l->lines; s++)
    for (int64_t t = 0; t < l->axis.taps; t++) {
      int64_t c = 0;
      for (; c + ABREAST * LANES <= l->C; c += ABREAST * LANES)
        filter_some(l, gy, s, t, ABREAST, c, LANES);
      for (; c + LANES <= l->C; c += LANES) filter_some(l, gy, s, t, 1, c, LANES);
      if (c < l->C) filter_some(l, gy, s, t, 1, c, l->C - c);
    }
}

const cvl_depthwise CVL_ISA_NAME(cvl_depthwise) = {gather, filter};

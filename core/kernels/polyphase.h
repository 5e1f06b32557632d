/*
** 3 x 3 with stride 2, by phases: outputs o = 0..3 of a tile are g0 x[2o] + g1 x[2o + 1] + g2 x[2o + 2]. The even inputs
** meet two taps, (g0, g2), which is F(4, 2) on the points +-1/2, +-3/2 and infinity: 5 products. The odd ones meet one tap,
** which is F(4, 2) of (g1, 0): its product at infinity is 0, which leaves 4. Both are products at the same points, so they
** are added up before they are transformed back. Both ways that is 81 products for 16 outputs, where the definition has 144,
** from 81 transformed inputs to 25 results.
** The gradient of the data runs the other way: results are by turns plain products of gy with g1 and F(4, 2) of it, both
** from the same 25 transformed inputs. The filter's gradient has 25 transforms of gy.
** These points, and B^T free of fractions other than theirs, halve the rounding error of 0, 1, -1 and 2.
*/
#ifndef CVL_KERNELS_POLYPHASE_H
#define CVL_KERNELS_POLYPHASE_H

#include "kernels/vector.h"

/* The algorithm's numbers, of winograd.h. */
enum { READS = 9, STEP = 8, WRITES = 4, TAPS = 3, SOURCES = 9, FILTERS = 6, TARGETS = 5 };
enum { INSET = 0, LAST = 4 };
#define PRODUCTS(x) \
  x(0, 0, 0) x(1, 1, 1) x(2, 2, 2) x(3, 3, 3) x(4, 4, 4) x(5, 5, 0) x(6, 5, 1) x(7, 5, 2) x(8, 5, 3)

/* B^T d of F(4, 2), all but the point at infinity */
INLINE void finite_points(vec *o, vec d0, vec d1, vec d2, vec d3) {
  vec odd_b = 2.25f * d1 - d3, even_b = 2.25f * d0 - d2, odd_a = d3 - 0.25f * d1,
      even_a = d2 - 0.25f * d0;
  o[0] = odd_b + 0.5f * even_b;
  o[1] = odd_b - 0.5f * even_b;
  o[2] = odd_a + 1.5f * even_a;
  o[3] = odd_a - 1.5f * even_a;
}

INLINE void points(vec *o, vec d0, vec d1, vec d2, vec d3, vec d4) {
  finite_points(o, d0, d1, d2, d3);
  o[4] = 0.5625f * d0 - 2.5f * d2 + d4;
}

/* A^T m of F(4, 2), m[4], at infinity, left out */
INLINE void finite_sums(vec *o, const vec *m) {
  vec sum_a = m[0] + m[1], difference_a = m[0] - m[1], sum_b = m[2] + m[3],
      difference_b = m[2] - m[3];
  o[0] = 0.5f * difference_a + (1.0f / 6) * difference_b;
  o[1] = 0.25f * (sum_a + sum_b);
  o[2] = 0.125f * difference_a + 0.375f * difference_b;
  o[3] = 0.0625f * sum_a + 0.5625f * sum_b;
}

INLINE void sums(vec *o, const vec *m) {
  finite_sums(o, m);
  o[3] += m[4];
}

INLINE void input_1d(vec *o, const vec *d) {
  points(o, d[0], d[2], d[4], d[6], d[8]);
  finite_points(o + 5, d[1], d[3], d[5], d[7]);
}

INLINE void output_1d(vec *o, const vec *m) { sums(o, m); }

INLINE void back_input_1d(vec *o, const vec *d) { points(o, d[0], d[1], d[2], d[3], d[4]); }

INLINE void back_output_1d(vec *o, const vec *m) {
  vec one[4], two[4];
  finite_sums(one, m + 5);
  sums(two, m);
  for (int i = 0; i < 4; i++) {
    o[2 * i] = one[i];
    o[2 * i + 1] = two[i];
  }
}

/* A y */
INLINE void gradient_1d(vec *o, const vec *y) {
  vec even_a = 0.5f * y[0] + 0.125f * y[2], odd_a = 0.25f * y[1] + 0.0625f * y[3],
      even_b = (1.0f / 6) * y[0] + 0.375f * y[2], odd_b = 0.25f * y[1] + 0.5625f * y[3];
  o[0] = odd_a + even_a;
  o[1] = odd_a - even_a;
  o[2] = odd_b + even_b;
  o[3] = odd_b - even_b;
  o[4] = y[3];
}

/* G g, and the single tap */
INLINE void filter_1d(vec *o, const vec *g) {
  o[0] = g[0] + 0.5f * g[2];
  o[1] = g[0] - 0.5f * g[2];
  o[2] = g[0] + 1.5f * g[2];
  o[3] = g[0] - 1.5f * g[2];
  o[4] = g[2];
  o[5] = g[1];
}

INLINE void filter_gradient_1d(vec *o, const vec *u) {
  o[0] = (u[0] + u[1]) + (u[2] + u[3]);
  o[1] = u[5];
  o[2] = 0.5f * (u[0] - u[1]) + 1.5f * (u[2] - u[3]) + u[4];
}

#endif

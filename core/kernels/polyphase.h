/*
** 3 x 3 with stride 2, by phases: outputs o = 0..3 of a tile are g0 x[2o] + g1 x[2o + 1] + g2 x[2o + 2]. The even inputs
** meet two taps, (g0, g2), which is F(4, 2) on the points 0, 1, -1, 2 and infinity: 5 products. The odd ones meet one tap,
** and need 4. Both ways that is 81 products for 16 outputs, where the definition has 144. The gradient of the data runs
** the other way: even results are F(4, 2) of gy, odd ones plain products with g1. Places 0..4 are the points, 5..8 the
** odd ones, which share the sixth row of the filter's transform.
*/
#ifndef CVL_KERNELS_POLYPHASE_H
#define CVL_KERNELS_POLYPHASE_H

#include "kernels/vector.h"

/* B^T d of F(4, 2) */
INLINE void points(vec *o, vec d0, vec d1, vec d2, vec d3, vec d4) {
  o[0] = 2 * (d0 - d2) + (d3 - d1);
  o[1] = (d3 - d2) - 2 * d1;
  o[2] = d3 - 3 * d2 + 2 * d1;
  o[3] = d3 - d1;
  o[4] = d4 - d2 + 2 * (d1 - d3);
}

/* A^T m of F(4, 2) */
INLINE void sums(vec *o, const vec *m) {
  vec sum = m[1] + m[2], difference = m[1] - m[2];
  o[0] = m[0] + sum + m[3];
  o[1] = difference + 2 * m[3];
  o[2] = sum + 4 * m[3];
  o[3] = difference + 8 * m[3] + m[4];
}

INLINE void input_1d(vec *o, const vec *d) {
  points(o, d[0], d[2], d[4], d[6], d[8]);
  for (int i = 0; i < 4; i++) o[5 + i] = d[2 * i + 1];
}

INLINE void output_1d(vec *o, const vec *m) {
  sums(o, m);
  for (int i = 0; i < 4; i++) o[i] += m[5 + i];
}

INLINE void back_input_1d(vec *o, const vec *d) {
  points(o, d[0], d[1], d[2], d[3], d[4]);
  for (int i = 0; i < 4; i++) o[5 + i] = d[1 + i];
}

INLINE void back_output_1d(vec *o, const vec *m) {
  vec even[4];
  sums(even, m);
  for (int i = 0; i < 4; i++) {
    o[2 * i] = even[i];
    o[2 * i + 1] = m[5 + i];
  }
}

/* A y of F(4, 2), and y itself for the odd places */
INLINE void gradient_1d(vec *o, const vec *y) {
  vec even = y[0] + y[2], odd = y[1] + y[3];
  o[0] = y[0];
  o[1] = even + odd;
  o[2] = even - odd;
  o[3] = y[0] + 2 * y[1] + 4 * y[2] + 8 * y[3];
  o[4] = y[3];
  for (int i = 0; i < 4; i++) o[5 + i] = y[i];
}

INLINE void filter_1d(vec *o, const vec *g) {
  o[0] = 0.5f * g[0];
  o[1] = -0.5f * (g[0] + g[2]);
  o[2] = (g[2] - g[0]) * (1.0f / 6);
  o[3] = g[0] * (1.0f / 6) + g[2] * (1.0f / 3);
  o[4] = g[2];
  o[5] = g[1];
}

INLINE void filter_gradient_1d(vec *o, const vec *u) {
  o[0] = 0.5f * (u[0] - u[1]) + (u[3] - u[2]) * (1.0f / 6);
  o[1] = u[5];
  o[2] = -0.5f * u[1] + u[2] * (1.0f / 6) + u[3] * (1.0f / 3) + u[4];
}

#endif

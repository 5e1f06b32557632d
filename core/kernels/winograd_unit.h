/*
** The one-dimensional transforms of F(4, 3). The points are 0, +-PA, +-PB and infinity; all constants of A and B are exact
** in single precision.
*/
#ifndef CVL_KERNELS_WINOGRAD_UNIT_H
#define CVL_KERNELS_WINOGRAD_UNIT_H

#include "kernels/vector.h"

/* The algorithm's numbers, of winograd.h. */
enum { READS = 6, STEP = 4, WRITES = 4, TAPS = 3, SOURCES = 6, FILTERS = 6, TARGETS = 6 };
enum { INSET = 0, LAST = 5 };
#define PRODUCTS(x) x(0, 0, 0) x(1, 1, 1) x(2, 2, 2) x(3, 3, 3) x(4, 4, 4) x(5, 5, 5)

#define PA 0.625f
#define PB 1.375f
#define A2 (PA * PA)
#define B2 (PB * PB)
#define NA (2 * A2 * (A2 - B2))
#define NB (2 * B2 * (B2 - A2))

/* B^T d */
INLINE void input_1d(vec *o, const vec *d) {
  vec even_b = d[4] - B2 * d[2], odd_b = d[3] - B2 * d[1], even_a = d[4] - A2 * d[2],
      odd_a = d[3] - A2 * d[1];
  o[0] = d[4] - (A2 + B2) * d[2] + (A2 * B2) * d[0];
  o[1] = even_b + PA * odd_b;
  o[2] = even_b - PA * odd_b;
  o[3] = even_a + PB * odd_a;
  o[4] = even_a - PB * odd_a;
  o[5] = d[5] - (A2 + B2) * d[3] + (A2 * B2) * d[1];
}

/* A^T m */
INLINE void output_1d(vec *o, const vec *m) {
  vec sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4],
      difference_b = m[3] - m[4];
  o[0] = m[0] + sum_a + sum_b;
  o[1] = PA * difference_a + PB * difference_b;
  o[2] = A2 * sum_a + B2 * sum_b;
  o[3] = (PA * A2) * difference_a + (PB * B2) * difference_b + m[5];
}

/* A y */
INLINE void gradient_1d(vec *o, const vec *y) {
  vec even_a = y[0] + A2 * y[2], odd_a = y[1] + A2 * y[3], even_b = y[0] + B2 * y[2],
      odd_b = y[1] + B2 * y[3];
  o[0] = y[0];
  o[1] = even_a + PA * odd_a;
  o[2] = even_a - PA * odd_a;
  o[3] = even_b + PB * odd_b;
  o[4] = even_b - PB * odd_b;
  o[5] = y[3];
}

/* G g */
INLINE void filter_1d(vec *o, const vec *g) {
  vec even_a = g[0] + A2 * g[2], even_b = g[0] + B2 * g[2];
  o[0] = g[0] * (1 / (A2 * B2));
  o[1] = (even_a + PA * g[1]) * (1 / NA);
  o[2] = (even_a - PA * g[1]) * (1 / NA);
  o[3] = (even_b + PB * g[1]) * (1 / NB);
  o[4] = (even_b - PB * g[1]) * (1 / NB);
  o[5] = g[2];
}

/* G^T u */
INLINE void filter_gradient_1d(vec *o, const vec *u) {
  vec sum_a = (u[1] + u[2]) * (1 / NA), sum_b = (u[3] + u[4]) * (1 / NB);
  o[0] = u[0] * (1 / (A2 * B2)) + sum_a + sum_b;
  o[1] = (u[1] - u[2]) * (PA / NA) + (u[3] - u[4]) * (PB / NB);
  o[2] = A2 * sum_a + B2 * sum_b + u[5];
}

#endif

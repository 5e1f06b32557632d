/*
** The one-dimensional transforms of F(4, 4). The points are +-PA, +-PB, +-PC and infinity, those of the smallest rounding
** error among the multiples of 1/8 up to 2: about that of F(4, 3). All constants of A and B are exact in single precision.
*/
#ifndef CVL_KERNELS_WINOGRAD_FOUR_H
#define CVL_KERNELS_WINOGRAD_FOUR_H

#include "kernels/vector.h"

/* The algorithm's numbers, of winograd.h. */
enum { READS = 7, STEP = 4, WRITES = 4, TAPS = 4, SOURCES = 7, FILTERS = 7, TARGETS = 7 };
enum { INSET = 0, LAST = 6 };
#define PRODUCTS(x) x(0, 0, 0) x(1, 1, 1) x(2, 2, 2) x(3, 3, 3) x(4, 4, 4) x(5, 5, 5) x(6, 6, 6)

#define PA 0.25f
#define PB 0.875f
#define PC 1.875f
#define A2 (PA * PA)
#define B2 (PB * PB)
#define C2 (PC * PC)
#define NA (2 * PA * (A2 - B2) * (A2 - C2))
#define NB (2 * PB * (B2 - A2) * (B2 - C2))
#define NC (2 * PC * (C2 - A2) * (C2 - B2))

/* B^T d at p and -p, of which s and t are the sum and the product of the squares of the other points. */
INLINE void input_pair(vec *o, const vec *d, float p, float s, float t) {
  vec even = d[4] - s * d[2] + t * d[0], odd = d[5] - s * d[3] + t * d[1];
  o[0] = odd + p * even;
  o[1] = p * even - odd;
}

INLINE void input_1d(vec *o, const vec *d) {
  input_pair(o, d, PA, B2 + C2, B2 * C2);
  input_pair(o + 2, d, PB, A2 + C2, A2 * C2);
  input_pair(o + 4, d, PC, A2 + B2, A2 * B2);
  o[6] =
      d[6] - (A2 + B2 + C2) * d[4] + (A2 * B2 + A2 * C2 + B2 * C2) * d[2] - (A2 * B2 * C2) * d[0];
}

/* A^T m */
INLINE void output_1d(vec *o, const vec *m) {
  vec sum_a = m[0] + m[1], sum_b = m[2] + m[3], sum_c = m[4] + m[5];
  vec difference_a = m[0] - m[1], difference_b = m[2] - m[3], difference_c = m[4] - m[5];
  o[0] = sum_a + sum_b + sum_c;
  o[1] = PA * difference_a + PB * difference_b + PC * difference_c;
  o[2] = A2 * sum_a + B2 * sum_b + C2 * sum_c;
  o[3] = (PA * A2) * difference_a + (PB * B2) * difference_b + (PC * C2) * difference_c + m[6];
}

/* A y at p and -p */
INLINE void gradient_pair(vec *o, const vec *y, float p) {
  vec even = y[0] + p * p * y[2], odd = y[1] + p * p * y[3];
  o[0] = even + p * odd;
  o[1] = even - p * odd;
}

INLINE void gradient_1d(vec *o, const vec *y) {
  gradient_pair(o, y, PA);
  gradient_pair(o + 2, y, PB);
  gradient_pair(o + 4, y, PC);
  o[6] = y[3];
}

/* G g: as many taps as outputs, so the same but for the factors */
INLINE void filter_1d(vec *o, const vec *g) {
  gradient_1d(o, g);
  for (int i = 0; i < 2; i++) {
    o[i] *= 1 / NA;
    o[2 + i] *= 1 / NB;
    o[4 + i] *= 1 / NC;
  }
}

/* G^T u */
INLINE void filter_gradient_1d(vec *o, const vec *u) {
  vec m[7];
  for (int i = 0; i < 2; i++) {
    m[i] = u[i] * (1 / NA);
    m[2 + i] = u[2 + i] * (1 / NB);
    m[4 + i] = u[4 + i] * (1 / NC);
  }
  m[6] = u[6];
  output_1d(o, m);
}

#endif

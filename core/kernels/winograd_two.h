/*
** The one-dimensional transforms for a map of two pixels, on which a filter of three taps keeps its size: y0 = g1 x0 + g2 x1
** and y1 = g0 x0 + g1 x1, with three products where the definition has four (Karatsuba & Ofman 1962; the other taps meet
** padding). All constants are 1.
*/
#ifndef CVL_KERNELS_WINOGRAD_TWO_H
#define CVL_KERNELS_WINOGRAD_TWO_H

#include "kernels/vector.h"

/* The algorithm's numbers, of winograd.h. */
enum { READS = 2, STEP = 2, WRITES = 2, TAPS = 3, SOURCES = 3, FILTERS = 3, TARGETS = 3 };
enum { INSET = 1, LAST = -1 };
#define PRODUCTS(x) x(0, 0, 0) x(1, 1, 1) x(2, 2, 2)

/* B^T d */
INLINE void input_1d(vec *o, const vec *d) {
  o[0] = d[0] + d[1];
  o[1] = d[0];
  o[2] = d[1];
}

/* A^T m */
INLINE void output_1d(vec *o, const vec *m) {
  o[0] = m[0] + m[2];
  o[1] = m[0] + m[1];
}

/* A y */
INLINE void gradient_1d(vec *o, const vec *y) {
  o[0] = y[0] + y[1];
  o[1] = y[1];
  o[2] = y[0];
}

/* G g */
INLINE void filter_1d(vec *o, const vec *g) {
  o[0] = g[1];
  o[1] = g[0] - g[1];
  o[2] = g[2] - g[1];
}

/* G^T u */
INLINE void filter_gradient_1d(vec *o, const vec *u) {
  o[0] = u[1];
  o[1] = u[0] - u[1] - u[2];
  o[2] = u[2];
}

#endif

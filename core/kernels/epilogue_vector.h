/* epilogue.h for one vector; included by *_isa.c files only. */
#ifndef CVL_KERNELS_EPILOGUE_VECTOR_H
#define CVL_KERNELS_EPILOGUE_VECTOR_H

#include <math.h>

#include "kernels/epilogue.h"
#include "kernels/vector.h"

/* An epilogue for the n filters from k on, in registers, and their moments. */
typedef struct {
  vec factor, shift, floor;
  vec about, sum, square;
  bool none;
} epilogue_part;

INLINE epilogue_part epilogue_at(const cvl_epilogue *e, int64_t k, int64_t n) {
  epilogue_part p = {.factor = splat(1), .floor = splat(e->relu ? 0 : -INFINITY)};
  if (e->factor != NULL) p.factor = load_n(e->factor + k, n);
  if (e->shift != NULL) p.shift = load_n(e->shift + k, n);
  return p;
}

/* `residual`: n floats of it, or NULL. */
INLINE vec epilogue_of(const epilogue_part *p, vec y, const float *residual, int64_t n) {
  y = y * p->factor + p->shift;
  if (residual != NULL) y += load_n(residual, n);
  ivec below = y < p->floor; /* NaN is not */
  return (vec)((below & (ivec)p->floor) | (~below & (ivec)y));
}

/* Moments of n filters; where there are none so far the first result is what they are measured from. */
INLINE void moments_load(epilogue_part *p, const cvl_moments *m, int64_t k, int64_t n) {
  p->none = m->none;
  if (m->none) return;
  p->about = load_n(m->at + k, n);
  p->sum = load_n(m->at + m->K + k, n);
  p->square = load_n(m->at + 2 * m->K + k, n);
}

INLINE void moments_add(epilogue_part *p, vec y, const bool first) {
  if (first && p->none) p->about = y;
  vec d = y - p->about;
  p->sum += d;
  p->square += d * d;
}

INLINE void moments_store(const epilogue_part *p, const cvl_moments *m, int64_t k, int64_t n) {
  store_n(m->at + k, p->about, n);
  store_n(m->at + m->K + k, p->sum, n);
  store_n(m->at + 2 * m->K + k, p->square, n);
}

#endif

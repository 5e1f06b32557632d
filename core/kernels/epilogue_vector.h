/* epilogue.h for one vector; included by *_isa.c files only. */
#ifndef CVL_KERNELS_EPILOGUE_VECTOR_H
#define CVL_KERNELS_EPILOGUE_VECTOR_H

#include <math.h>

#include "kernels/epilogue.h"
#include "kernels/vector.h"

/* An epilogue for the n filters from k on, in registers. */
typedef struct {
  vec factor, shift, floor;
} epilogue_part;

INLINE epilogue_part epilogue_at(const cvl_epilogue *e, int64_t k, int64_t n) {
  epilogue_part p = {splat(1), {0}, splat(e->relu ? 0 : -INFINITY)};
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

#endif

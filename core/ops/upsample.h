#ifndef CVL_OPS_UPSAMPLE_H
#define CVL_OPS_UPSAMPLE_H

#include <math.h>

#include "ops/op.h"

enum { CVL_UPSAMPLE_NEAREST, CVL_UPSAMPLE_BILINEAR };

typedef struct cvl_upsample_options {
  cvl_ints size;
  int mode;
} cvl_upsample_options;

/* An output position of an axis: (1 - t) of input i and t of input i + 1. */
typedef struct cvl_upsample_tap {
  int64_t i;
  double t;
} cvl_upsample_tap;

CVL_BOTH static inline cvl_upsample_tap cvl_upsample_find(int64_t o, int64_t in, int64_t out,
                                                          int mode) {
  double place = ((double)o + 0.5) * (double)in / (double)out;
  cvl_upsample_tap t = {0, 0};
  if (mode == CVL_UPSAMPLE_NEAREST) {
    t.i = o / (out / in);
    return t;
  }
  place = fmin(fmax(place - 0.5, 0.0), (double)(in - 1));
  t.i = (int64_t)place;
  t.t = place - (double)t.i;
  return t;
}

extern const cvl_op cvl_op_upsample;

#endif

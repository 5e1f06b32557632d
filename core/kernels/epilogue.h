/*
** What is done to the result of a convolution while it is still at hand:
**   y = act(factor y + shift + residual)      factor, shift {K}, one for each filter
** A bias is a shift; batch normalization with given statistics, a factor and a shift.
*/
#ifndef CVL_KERNELS_EPILOGUE_H
#define CVL_KERNELS_EPILOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
** The moments of results, filter by filter, in slots that do not depend on the number of threads: {slots, 3, K}, in each one
** of its results, `about`, the sum of y - about, and the sum of (y - about)^2, so that a large mean costs no digits. count
** {slots}: of how many results of a filter. Some convolutions make them, cvl_conv_slots() in conv.h, of a shift at most.
*/
typedef struct cvl_slots {
  float *moments;
  int64_t *count;
} cvl_slots;

typedef struct cvl_epilogue {
  const float *factor, *shift; /* or NULL: 1, 0 */
  const float *residual;       /* dense, of y's shape; or NULL */
  bool relu;                   /* what is below 0 becomes 0; NaN stays */
  const cvl_slots *slots;      /* or NULL */
} cvl_epilogue;

/* The moments of one slot, from a filter on: {3, K}; `none`: of no results so far. */
typedef struct cvl_moments {
  float *at;
  int64_t K;
  bool none;
} cvl_moments;

/* A shift at most, which sums can start with. */
static inline bool cvl_epilogue_is_shift(const cvl_epilogue *e) {
  return e->factor == NULL && e->residual == NULL && !e->relu;
}

/* The same for the filters from k on. */
static inline cvl_epilogue cvl_epilogue_from(const cvl_epilogue *e, int64_t k) {
  cvl_epilogue r = *e;
  if (r.factor != NULL) r.factor += k;
  if (r.shift != NULL) r.shift += k;
  return r;
}

/* Does it to n filters of `pixels` pixels of y, which lie `pitch` floats apart, as do those of `residual`, this e's or a
** part of it. */
void cvl_epilogue_run(const cvl_epilogue *e, int64_t pixels, int64_t n, int64_t pitch,
                      const float *residual, float *y);

/* The kernel, one per ISA. */
typedef void cvl_epilogue_kernel(const cvl_epilogue *e, int64_t pixels, int64_t n, int64_t pitch,
                                 const float *residual, float *y);
extern cvl_epilogue_kernel cvl_epilogue_run_baseline, cvl_epilogue_run_avx2,
    cvl_epilogue_run_avx512;

#endif

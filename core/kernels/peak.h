/* What the machine can do at best, for comparisons: multiply-adds in registers, and the triad of STREAM (McCalpin 1995)
** past all caches. Both run on all threads. */
#ifndef CVL_KERNELS_PEAK_H
#define CVL_KERNELS_PEAK_H

#include <stdint.h>

#include "base/err.h"

/* Runs `rounds` of them on each thread; returns how many floating-point operations that was. */
double cvl_peak_multiply_add(int64_t rounds);
/* a[i] = b[i] + s c[i] for n floats; returns how many bytes that reads and writes, or -1 with CVL_ENOMEM. */
double cvl_peak_triad(int64_t n, cvl_err *e);

/* One thread's part, one per ISA. Returns the floating-point operations done; *sink keeps them from being left out. */
typedef double cvl_peak_kernel(int64_t rounds, float *sink);
cvl_peak_kernel cvl_peak_baseline, cvl_peak_avx2, cvl_peak_avx512;

#endif

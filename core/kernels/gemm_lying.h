/* Matrix products whose A is read where it lies: gemm.h's contract; its entry point asks here. */
#ifndef CVL_KERNELS_GEMM_LYING_H
#define CVL_KERNELS_GEMM_LYING_H

#include "kernels/gemm.h"

/* Whether it is for these: A's sums lie side by side, or its rows, if these do not compete for one set of the cache, and a
** copy of A would not be read often enough, or reading it where it lies costs nothing. */
bool cvl_gemm_suits_lying(const cvl_gemm *g);
/* Such a product with room for `workers` packed pieces of B: cvl_threads(), or 1 from within a parallel body. */
int cvl_gemm_lying(const cvl_gemm *g, int workers, cvl_err *e);

#endif

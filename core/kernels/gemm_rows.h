/* Matrix products whose A is read where it lies: gemm.h's contract; its entry point asks here. */
#ifndef CVL_KERNELS_GEMM_ROWS_H
#define CVL_KERNELS_GEMM_ROWS_H

#include "kernels/gemm.h"

/* Whether it is for these: A's sums lie side by side, and its rows are not many or its sums short. */
bool cvl_gemm_is_by_rows(const cvl_gemm *g);
/* Such a product with room for `workers` packed pieces of B: cvl_threads(), or 1 from within a parallel body. */
int cvl_gemm_by_rows(const cvl_gemm *g, int workers, cvl_err *e);

#endif

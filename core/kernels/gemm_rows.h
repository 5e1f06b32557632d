/* Matrix products whose A is read where it lies: gemm.h's contract; its entry point asks here. */
#ifndef CVL_KERNELS_GEMM_ROWS_H
#define CVL_KERNELS_GEMM_ROWS_H

#include "kernels/gemm.h"

/* Whether the sums of A lie side by side and B has columns enough to fill a tile. */
bool cvl_gemm_is_by_rows(const cvl_gemm *g);
/* Such a product with room for `workers` packed pieces of B: cvl_threads(), or 1 from within a parallel body. */
int cvl_gemm_by_rows(const cvl_gemm *g, int workers, cvl_err *e);

#endif

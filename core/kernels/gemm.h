/*
** C = A B, or C += A B: single precision, any strides, packed panels (Goto & van de Geijn 2008, "Anatomy of
** high-performance matrix multiplication", ACM TOMS 34:3). Bits do not depend on the number of threads.
*/
#ifndef CVL_KERNELS_GEMM_H
#define CVL_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* A {M, K}, B {K, N}, C {M, N}; element (i, j) of A lies at a[i * a_row + j * a_col], and so on; c's columns are dense. */
typedef struct cvl_gemm {
  int64_t M, N, K;
  const float *a, *b;
  float *c;
  int64_t a_row, a_col, b_row, b_col, c_row;
  bool accumulate;   /* C += A B instead of C = A B */
  const float *bias; /* {N} added to every row when not accumulating, or NULL */
  bool bf16;         /* A and B rounded to bfloat16, sums of pairs in float32 as tile.h tells */
} cvl_gemm;

/* Whether it is worth waking other threads for such a product. */
static inline bool cvl_gemm_is_worth_sharing(const cvl_gemm *g) {
  return (double)g->M * (double)g->N * (double)g->K >= 1 << 20;
}

/* CVL_ENOMEM when the packing buffers cannot be had. Sizes of 0 are fine: K == 0 clears C (or leaves it). */
int cvl_sgemm(const cvl_gemm *g, cvl_err *e);

#endif

/*
** Matrix products of which one side is a vector: such a product reads or writes a matrix once, and packing that would cost
** more than the product. gemm.h's contract; its entry point asks here first.
**   y {N} = x {K} B        rows of B times a number each, added up         (gemv of a transposed matrix)
**   y {M} = A x {K}        a dot product for each row of A                 (gemv)
**   C {M, N} = a {M} b {N} a multiple of the same row for each row of C    (ger)
*/
#ifndef CVL_KERNELS_GEMV_H
#define CVL_KERNELS_GEMV_H

#include "kernels/gemm.h"

/* Does the product if it is one of these with strides that suit; false: nothing has been done. */
bool cvl_gemv(const cvl_gemm *g);

/* The kernels, one set per ISA. `add`: to what the result holds; else `first`, or NULL for zeros, is where sums start. */
typedef struct cvl_gemv_kernels {
  /* y {N} from x {K}, x_step floats apart, and B {K, N}, its rows b_row floats apart */
  void (*rows)(const float *x, int64_t x_step, int64_t K, const float *b, int64_t b_row, int64_t N,
               bool add, const float *first, float *y);
  /* y {M} from A {M, K}, its rows a_row floats apart, and x {K} */
  void (*dots)(const float *a, int64_t a_row, int64_t M, const float *x, int64_t K, bool add,
               const float *first, float *y);
  /* C {M, N}, its rows c_row floats apart, from a {M}, a_step floats apart, and b {N} */
  void (*outer)(const float *a, int64_t a_step, int64_t M, const float *b, int64_t N, bool add,
                const float *first, float *c, int64_t c_row);
} cvl_gemv_kernels;

extern const cvl_gemv_kernels cvl_gemv_baseline, cvl_gemv_avx2, cvl_gemv_avx512;

#endif

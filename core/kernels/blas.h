/*
** OpenBLAS, loaded when first asked for: the program runs without it, only double-precision products are slower then.
*/
#ifndef CVL_KERNELS_BLAS_H
#define CVL_KERNELS_BLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As cvl_gemm of gemm.h, in double precision. */
typedef struct cvl_gemm_f64 {
  int64_t M, N, K;
  const double *a, *b;
  double *c;
  int64_t a_row, a_col, b_row, b_col, c_row;
  bool accumulate;    /* C += A B instead of C = A B */
  const double *bias; /* {N} added to every row when not accumulating, or NULL */
} cvl_gemm_f64;

/* Cannot fail: what OpenBLAS does not take (or the whole, without it) is done by plain loops. The bits do not depend on
** the number of threads, but on the processor's kind, and on whether there is an OpenBLAS. */
void cvl_dgemm(const cvl_gemm_f64 *g);

/* One line for `doctor`: version, core and threading of the OpenBLAS found, or why there is none. */
void cvl_blas_description(char *text, size_t size);

/* The library's function of that name, e.g. a LAPACK routine, or NULL. */
void *cvl_blas_symbol(const char *name);

#endif

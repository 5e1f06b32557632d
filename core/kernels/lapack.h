/* Linear algebra by LAPACK, which OpenBLAS brings along. */
#ifndef CVL_KERNELS_LAPACK_H
#define CVL_KERNELS_LAPACK_H

#include <stdint.h>

#include "base/err.h"

/*
** Eigenvalues and eigenvectors of a symmetric matrix A {n, n}, of which the part below the diagonal
** and the diagonal are read (dsyev). Afterwards `values` {n} are in ascending order, and row i of `a`
** is the i-th vector, of length 1.
** Errors: CVL_EARG (an element is not finite, n too large, no convergence), CVL_EDEVICE (there is no
** LAPACK), CVL_ENOMEM.
*/
int cvl_eigh(int64_t n, double *a, double *values, cvl_err *e);

#endif

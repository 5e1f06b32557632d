/* Matrix products by cuBLAS. */
#ifndef CVL_CUDA_BLAS_H
#define CVL_CUDA_BLAS_H

#include "cuda/matmul.h"
#include "cuda/runtime.h"

/* p as of matmul.h; a and b of any floating type that the device multiplies, y of float64 or float32. 0: done. 1: cuBLAS
** cannot be had, or not for these steps. -1: an error. */
int cvl_cuda_blas_product(cvl_cuda *d, cvl_dtype type, const cvl_cuda_product *p, cvl_err *e);

/* Version of cuBLAS as in 130100, or 0 with the reason why it is not used. */
int cvl_cuda_blas_version(cvl_cuda *d, cvl_err *e);

#endif

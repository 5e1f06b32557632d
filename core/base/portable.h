/* For headers that nvcc reads too, as C++: what has another name there. */
#ifndef CVL_BASE_PORTABLE_H
#define CVL_BASE_PORTABLE_H

#ifdef __cplusplus
typedef int cvl_refs; /* the same bytes; kernel files never touch them */
#else
#include <stdatomic.h>
typedef atomic_int cvl_refs;
#endif

#ifdef __CUDACC__
#define CVL_BOTH __host__ __device__ /* a function for kernels and for the host */
#else
#define CVL_BOTH
#endif

#endif

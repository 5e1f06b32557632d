/* A warp's 32 threads as one: sums and maxima over all of them, in a fixed order; every thread gets the result. */
#ifndef CVL_CUDA_WARP_CUH
#define CVL_CUDA_WARP_CUH

#include <math.h>

namespace warp {

enum { SIZE = 32, ALL = -1 };

/* The larger of two, NaN if there is one. */
template <typename T> __device__ inline T larger(T a, T b) { return b > a || b != b ? b : a; }

/* In a butterfly, so that every thread makes the same additions. */
template <typename T> __device__ inline T sum(T v) {
  for (int apart = SIZE / 2; apart > 0; apart /= 2) v += __shfl_xor_sync((unsigned)ALL, v, apart);
  return v;
}

template <typename T> __device__ inline T max(T v) {
  for (int apart = SIZE / 2; apart > 0; apart /= 2)
    v = larger(v, __shfl_xor_sync((unsigned)ALL, v, apart));
  return v;
}

} // namespace warp

#endif

/*
** How work is cut into threads. By sizes alone, never by what the device has: every device gives the same bits.
*/
#ifndef CVL_CUDA_LAUNCH_CUH
#define CVL_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#include "tensor/dtype.h"

namespace launch {

enum { THREADS = 256, WARP = 32 };

inline unsigned blocks(int64_t work, int64_t each) {
  int64_t n = (work + each - 1) / each;
  return (unsigned)(n < INT32_MAX ? n : INT32_MAX);
}

/*
** Memory {rows, C} with channels last: threads side by side take neighbouring channels, so that a warp reads whole lines
** of memory and no thread divides to find its channel. A block of `width` channels by THREADS / width rows; in the kernel
**   FOR_ROWS(r, rows) FOR_CHANNELS(c, C) y[r * C + c] = ...
*/
struct rows {
  dim3 grid, block;
  rows(int64_t n, int64_t C) {
    unsigned width = 1;
    while (width < WARP && width < C) width *= 2;
    block = dim3(width, THREADS / width);
    grid = dim3(blocks(n, block.y));
  }
};

} // namespace launch

#define FOR_ROWS(r, n)                                                      \
  for (int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; r < (n); \
       r += (int64_t)gridDim.x * blockDim.y)
#define FOR_CHANNELS(c, C) for (int64_t c = threadIdx.x; c < (C); c += blockDim.x)

/* The call with T the floating type of a tensor; in parentheses when it has commas. */
#define FOR_FLOATING(type, call) \
  do {                           \
    if ((type) == CVL_F64) {     \
      typedef double T;          \
      call;                      \
    } else {                     \
      typedef float T;           \
      call;                      \
    }                            \
  } while (0)

/* The same for what only moves elements: T has the size of a floating type. */
#define FOR_SIZE(type, call)        \
  do {                              \
    if ((type) == CVL_F64) {        \
      typedef uint64_t T;           \
      call;                         \
    } else if ((type) == CVL_F32) { \
      typedef uint32_t T;           \
      call;                         \
    } else {                        \
      typedef uint16_t T;           \
      call;                         \
    }                               \
  } while (0)

#endif

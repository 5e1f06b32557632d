/* Small transposes in registers of four floats, which every CPU has; for the kernels' own files. */
#ifndef CVL_KERNELS_TRANSPOSE_H
#define CVL_KERNELS_TRANSPOSE_H

#include <stdint.h>

typedef float cvl_four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t cvl_four_places __attribute__((vector_size(16)));

/* to[k * nr + j] = from[k + j * column] for four j and four k. */
static inline void cvl_transpose_4x4(const float *from, int64_t column, float *to, int64_t nr) {
  cvl_four a = *(const cvl_four *)from, b = *(const cvl_four *)(from + column);
  cvl_four c = *(const cvl_four *)(from + 2 * column), d = *(const cvl_four *)(from + 3 * column);
  const cvl_four_places low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, first = {0, 1, 4, 5},
                        second = {2, 3, 6, 7};
  cvl_four ab0 = __builtin_shuffle(a, b, low), ab1 = __builtin_shuffle(a, b, high);
  cvl_four cd0 = __builtin_shuffle(c, d, low), cd1 = __builtin_shuffle(c, d, high);
  *(cvl_four *)to = __builtin_shuffle(ab0, cd0, first);
  *(cvl_four *)(to + nr) = __builtin_shuffle(ab0, cd0, second);
  *(cvl_four *)(to + 2 * nr) = __builtin_shuffle(ab1, cd1, first);
  *(cvl_four *)(to + 3 * nr) = __builtin_shuffle(ab1, cd1, second);
}

#endif

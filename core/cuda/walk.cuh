/*
** Element i of several tensors at once: a cvl_loop as kernels take it, with divisions made multiplications (Granlund &
** Montgomery 1994, "Division by invariant integers using multiplication"; i < 2^31). Larger loops are cut by the host.
*/
#ifndef CVL_CUDA_WALK_CUH
#define CVL_CUDA_WALK_CUH

#include "cuda/kernel.cuh"

struct cvl_divisor {
  uint32_t by, factor, shift;

  __device__ uint32_t divide(uint32_t n) const { return (__umulhi(n, factor) + n) >> shift; }
};

static inline cvl_divisor cvl_divisor_of(uint32_t by) {
  cvl_divisor d = {by, 0, 0};
  while (((uint64_t)1 << d.shift) < by) d.shift++;
  d.factor = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << d.shift) - by)) / by + 1);
  return d;
}

template <int N> struct cvl_walk {
  int ndim;
  uint32_t count;
  cvl_divisor dim[CVL_MAX_DIM];
  int64_t stride[N][CVL_MAX_DIM]; /* bytes */
  char *base[N];

  /* p[k]: the address of element i of operand k */
  __device__ void locate(uint32_t i, char **p) const {
    for (int k = 0; k < N; k++) p[k] = base[k];
    for (int d = ndim - 1; d > 0; d--) {
      uint32_t q = dim[d].divide(i), r = i - q * dim[d].by;
      for (int k = 0; k < N; k++) p[k] += (int64_t)r * stride[k][d];
      i = q;
    }
    for (int k = 0; k < N; k++) p[k] += (int64_t)i * stride[k][0];
  }
};

/* Calls launch(walk) for parts of the loop that have fewer than 2^31 elements; stops at an error. */
template <int N, class Launch> static int cvl_walk_parts(const cvl_loop *l, Launch launch) {
  const int64_t most = 1 << 30;
  int64_t inner = 1, step, last;
  for (int d = 1; d < l->ndim; d++) inner *= l->dim[d];
  if (inner * l->dim[0] == 0) return 0;
  if (inner > most) { /* even one index of the first axis is too much */
    for (int64_t i = 0; i < l->dim[0]; i++) {
      cvl_loop part = *l;
      part.ndim--;
      for (int d = 0; d < part.ndim; d++) part.dim[d] = l->dim[d + 1];
      for (int k = 0; k < N; k++) {
        part.base[k] += i * l->stride[k][0];
        for (int d = 0; d < part.ndim; d++) part.stride[k][d] = l->stride[k][d + 1];
      }
      if (cvl_walk_parts<N>(&part, launch) != 0) return -1;
    }
    return 0;
  }
  step = most / inner;
  for (int64_t i = 0; i < l->dim[0]; i += step) {
    cvl_walk<N> w = {};
    last = l->dim[0] - i < step ? l->dim[0] - i : step;
    w.ndim = l->ndim;
    w.count = (uint32_t)(last * inner);
    for (int d = 0; d < l->ndim; d++)
      w.dim[d] = cvl_divisor_of((uint32_t)(d == 0 ? last : l->dim[d]));
    for (int k = 0; k < N; k++) {
      w.base[k] = l->base[k] + i * l->stride[k][0];
      for (int d = 0; d < l->ndim; d++) w.stride[k][d] = l->stride[k][d];
    }
    if (launch(w) != 0) return -1;
  }
  return 0;
}

#endif

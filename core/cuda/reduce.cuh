/*
** Reductions: a block is `width` outputs wide, and its other threads share the elements of each; what they made is joined
** in a tree. Where there are too few outputs for a GPU the elements are cut into parts as well, joined by a second kernel
** in their order. How the work is cut follows from the sizes alone, so that the bits never vary.
**
** A rule R has   state; begin(); add(state &, value, index, output); join(state &, const state &) where the second holds
** later elements or ones between; finish(const state &, output), which writes the result.
*/
#ifndef CVL_CUDA_REDUCE_CUH
#define CVL_CUDA_REDUCE_CUH

#include "cuda/kernel.cuh"

extern "C" {
#include "device/cache.h"
#include "ops/reduce.h"
}

struct cvl_reduce_plan {
  cvl_reduction r;
  int width;             /* outputs of a block: 1, 32 or all */
  int64_t parts, length; /* parts of an output's elements, and how many are in one */
};

template <class R>
__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    cvl_reduce_kernel(const cvl_reduce_plan plan, const real *x, typename R::state *partial,
                      const R rule) {
  __shared__ typename R::state all[CVL_CUDA_BLOCK];
  const int column = threadIdx.x % plan.width, row = threadIdx.x / plan.width;
  const int rows = CVL_CUDA_BLOCK / plan.width;
  const int64_t output = (int64_t)blockIdx.x * plan.width + column;
  const int64_t first = blockIdx.y * plan.length, last = first + plan.length;
  const int64_t end = last < plan.r.count ? last : plan.r.count;
  typename R::state s = rule.begin();
  if (output < plan.r.outputs) {
    const real *of = x + cvl_walk_offset(&plan.r.kept, output);
    for (int64_t i = first + row; i < end; i += rows)
      rule.add(s, of[cvl_walk_offset(&plan.r.reduced, i)], i, output);
  }
  all[threadIdx.x] = s;
  for (int half = rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row < half) {
      rule.join(s, all[threadIdx.x + half * plan.width]);
      all[threadIdx.x] = s;
    }
  }
  if (row > 0 || output >= plan.r.outputs) return;
  if (partial != NULL)
    partial[blockIdx.y * plan.r.outputs + output] = s;
  else
    rule.finish(s, output);
}

template <class R>
__global__ void __launch_bounds__(CVL_CUDA_BLOCK)
    cvl_join_kernel(const typename R::state *partial, int64_t parts, int64_t outputs,
                    const R rule) {
  const int64_t output = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x;
  if (output >= outputs) return;
  typename R::state s = partial[output];
  for (int64_t part = 1; part < parts; part++) rule.join(s, partial[part * outputs + output]);
  rule.finish(s, output);
}

static inline cvl_reduce_plan cvl_plan_reduction(const cvl_tensor *x, const bool *set) {
  enum { FEW = 32, MANY_BLOCKS = 512, SHARE = 2048, MOST_PARTS = 64 };
  cvl_reduce_plan p;
  int64_t blocks, wanted;
  cvl_reduction_init(&p.r, x, set);
  p.width = p.r.count <= FEW                                             ? CVL_CUDA_BLOCK
            : p.r.outputs > 1 && p.r.kept.stride[p.r.kept.ndim - 1] == 1 ? 32
                                                                         : 1;
  blocks = (p.r.outputs + p.width - 1) / p.width;
  wanted = (p.r.count + SHARE - 1) / SHARE;
  if (wanted > MOST_PARTS) wanted = MOST_PARTS;
  p.parts = blocks < MANY_BLOCKS && wanted > 1 ? wanted : 1;
  p.length = (p.r.count + p.parts - 1) / p.parts;
  if (p.length > 0) p.parts = (p.r.count + p.length - 1) / p.length;
  return p;
}

template <class R>
static int cvl_reduce(const cvl_tensor *x, const bool *set, const R &rule, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_on(x, e);
  cvl_reduce_plan p = cvl_plan_reduction(x, set);
  typename R::state *partial = NULL;
  const size_t bytes = (size_t)(p.parts * p.r.outputs) * sizeof *partial;
  int rc;
  if (d == NULL) return -1;
  if (p.r.outputs == 0) return 0;
  if (p.parts > 1 && (partial = (typename R::state *)cvl_cache_alloc(&d->base, bytes, e)) == NULL)
    return -1;
  const dim3 grid(cvl_cuda_blocks(p.r.outputs, p.width), (unsigned)p.parts);
  cvl_reduce_kernel<R>
      <<<grid, CVL_CUDA_BLOCK, 0, d->stream>>>(p, (const real *)cvl_data(x), partial, rule);
  rc = cvl_cuda_launched(d, e);
  if (rc == 0 && p.parts > 1) {
    cvl_join_kernel<R>
        <<<cvl_cuda_blocks(p.r.outputs, CVL_CUDA_BLOCK), CVL_CUDA_BLOCK, 0, d->stream>>>(
            partial, p.parts, p.r.outputs, rule);
    rc = cvl_cuda_launched(d, e);
  }
  cvl_cache_free(&d->base, partial, bytes); /* work of this stream that comes later may have it */
  return rc;
}

#endif

/*
** The macros of ops/elementwise.h for kernels: included before an op's source, so that its formulas, unchanged, become
** functions of the device. One thread takes ITEMS elements, a block apart from one another; where all lie evenly it reads
** them all before it writes, which keeps the memory busy. Results may lie where an operand does.
*/
#ifndef CVL_CUDA_ELEMENTWISE_CUH
#define CVL_CUDA_ELEMENTWISE_CUH

#include "cuda/walk.cuh"

enum { CVL_CUDA_ITEMS = 4 };

/* y = f(p), p the addresses of y's element and of the operands'. */
template <int N, class F>
__global__ void __launch_bounds__(CVL_CUDA_BLOCK) cvl_each_kernel(const cvl_walk<N> w, const F f) {
  typedef typename F::result result;
  const uint32_t first = blockIdx.x * (CVL_CUDA_BLOCK * CVL_CUDA_ITEMS) + threadIdx.x;
  char *p[N];
  if (w.ndim == 1 && first + (CVL_CUDA_ITEMS - 1) * CVL_CUDA_BLOCK < w.count) {
    result y[CVL_CUDA_ITEMS];
    w.locate(first, p);
#pragma unroll
    for (int k = 0; k < CVL_CUDA_ITEMS; k++) {
      char *q[N];
      for (int i = 0; i < N; i++) q[i] = p[i] + k * CVL_CUDA_BLOCK * w.stride[i][0];
      y[k] = f(q);
    }
#pragma unroll
    for (int k = 0; k < CVL_CUDA_ITEMS; k++)
      *(result *)(p[0] + k * CVL_CUDA_BLOCK * w.stride[0][0]) = y[k];
    return;
  }
#pragma unroll 1
  for (uint32_t k = 0, i = first; k < CVL_CUDA_ITEMS && i < w.count; k++, i += CVL_CUDA_BLOCK) {
    w.locate(i, p);
    *(result *)p[0] = f(p);
  }
}

template <int N, class F>
static int cvl_each_of(cvl_cuda *d, const cvl_loop *l, const F &f, cvl_err *e) {
  return cvl_walk_parts<N>(l, [&](const cvl_walk<N> &w) {
    const unsigned blocks = cvl_cuda_blocks(w.count, CVL_CUDA_BLOCK * CVL_CUDA_ITEMS);
    cvl_each_kernel<N, F><<<blocks, CVL_CUDA_BLOCK, 0, d->stream>>>(w, f);
    return cvl_cuda_launched(d, e);
  });
}

/* The result is the first operand. */
template <int N, class F>
static int cvl_each(const cvl_shape *shape, const cvl_tensor *const *operands, const F &f,
                    cvl_err *e) {
  cvl_cuda *d = cvl_cuda_on(operands[0], e);
  cvl_loop l;
  if (d == NULL) return -1;
  cvl_loop_init(&l, shape, operands, N);
  return cvl_each_of<N>(d, &l, f, e);
}

#define CVL_ON_DEVICE(type, k) (*(const type *)p[k])

#define CVL_UNARY_FORWARD_(name, opts, type, f)                                   \
  struct name##_each {                                                            \
    typedef type result;                                                          \
    opts o;                                                                       \
    __device__ type operator()(char *const *p) const {                            \
      return (type)f(CVL_ON_DEVICE(real, 1), &o);                                 \
    }                                                                             \
  };                                                                              \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {             \
    const cvl_tensor *operands[] = {y, a->in[0]};                                 \
    return cvl_each<2>(&y->shape, operands, cvl_with_options<name##_each>(a), e); \
  }

#define CVL_UNARY_BACKWARD_(name, opts, df)                                                   \
  struct name##_grad_each {                                                                   \
    typedef real result;                                                                      \
    opts o;                                                                                   \
    __device__ real operator()(char *const *p) const {                                        \
      return CVL_ON_DEVICE(real, 1) * df(CVL_ON_DEVICE(real, 2), CVL_ON_DEVICE(real, 3), &o); \
    }                                                                                         \
  };                                                                                          \
  static int name##_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,    \
                             cvl_tensor *const *gx, cvl_err *e) {                             \
    const cvl_tensor *x = a->in[0]->storage != NULL ? a->in[0] : gy;                          \
    const cvl_tensor *operands[] = {gx[0], gy, x, y->storage != NULL ? y : gy};               \
    return cvl_each<4>(&gx[0]->shape, operands, cvl_with_options<name##_grad_each>(a), e);    \
  }

#define CVL_BINARY_FORWARD_(name, opts, type, f)                                  \
  struct name##_each {                                                            \
    typedef type result;                                                          \
    opts o;                                                                       \
    __device__ type operator()(char *const *p) const {                            \
      return (type)f(CVL_ON_DEVICE(real, 1), CVL_ON_DEVICE(real, 2), &o);         \
    }                                                                             \
  };                                                                              \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {             \
    const cvl_tensor *operands[] = {y, a->in[0], a->in[1]};                       \
    return cvl_each<3>(&y->shape, operands, cvl_with_options<name##_each>(a), e); \
  }

#define CVL_BINARY_GRAD_(name, suffix, opts, df)                                             \
  struct name##_##suffix {                                                                   \
    typedef real result;                                                                     \
    opts o;                                                                                  \
    __device__ real operator()(char *const *p) const {                                       \
      return CVL_ON_DEVICE(real, 1) *                                                        \
             df(CVL_ON_DEVICE(real, 2), CVL_ON_DEVICE(real, 3), CVL_ON_DEVICE(real, 4), &o); \
    }                                                                                        \
  };

#define CVL_BINARY_BACKWARD_(name, opts, dfa, dfb)                                            \
  CVL_BINARY_GRAD_(name, grad_a_each, opts, dfa)                                              \
  CVL_BINARY_GRAD_(name, grad_b_each, opts, dfb)                                              \
  static int name##_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,    \
                             cvl_tensor *const *gx, cvl_err *e) {                             \
    int rc = 0;                                                                               \
    for (int i = 0; i < 2 && rc == 0; i++)                                                    \
      if (gx[i] != NULL) {                                                                    \
        const cvl_tensor *operands[] = {gx[i], gy, a->in[0]->storage != NULL ? a->in[0] : gy, \
                                        a->in[1]->storage != NULL ? a->in[1] : gy,            \
                                        y->storage != NULL ? y : gy};                         \
        const cvl_shape *s = &gx[i]->shape;                                                   \
        rc = i == 0 ? cvl_each<5>(s, operands, cvl_with_options<name##_grad_a_each>(a), e)    \
                    : cvl_each<5>(s, operands, cvl_with_options<name##_grad_b_each>(a), e);   \
      }                                                                                       \
    return rc;                                                                                \
  }

#define CVL_CHOICE_FORWARD_(name)                                                         \
  struct name##_each {                                                                    \
    typedef real result;                                                                  \
    __device__ real operator()(char *const *p) const {                                    \
      return CVL_ON_DEVICE(uint8_t, 1) ? CVL_ON_DEVICE(real, 2) : CVL_ON_DEVICE(real, 3); \
    }                                                                                     \
  };                                                                                      \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                     \
    const cvl_tensor *operands[] = {y, a->in[0], a->in[1], a->in[2]};                     \
    return cvl_each<4>(&y->shape, operands, name##_each(), e);                            \
  }

/* The options travel to the kernel by value. An op without any may be called with none. */
template <class Each> static Each cvl_with_options(const cvl_args *a) {
  Each each = {};
  if (a->options != NULL) memcpy(&each.o, a->options, sizeof each.o);
  return each;
}

#endif

/* Filling, and copying with any strides, within the device: bytes by element size, whatever their type. */
#include "cuda/elementwise.cuh"

template <class T>
__global__ void __launch_bounds__(CVL_CUDA_BLOCK) fill_kernel(T *p, T v, int64_t count) {
  const int64_t step = (int64_t)gridDim.x * CVL_CUDA_BLOCK;
  for (int64_t i = (int64_t)blockIdx.x * CVL_CUDA_BLOCK + threadIdx.x; i < count; i += step)
    p[i] = v;
}

template <class T>
static int fill(cvl_cuda *d, void *p, const void *value, int64_t count, cvl_err *e) {
  const int64_t most = 8 * d->multiprocessors, wanted = cvl_cuda_blocks(count, CVL_CUDA_BLOCK);
  T v;
  memcpy(&v, value, sizeof v);
  if (count == 0) return 0;
  fill_kernel<T><<<(unsigned)(wanted < most ? wanted : most), CVL_CUDA_BLOCK, 0, d->stream>>>(
      (T *)p, v, count);
  return cvl_cuda_launched(d, e);
}

extern "C" int cvl_cuda_fill(cvl_device *base, void *p, const void *value, size_t size,
                             int64_t count, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_cuda_use(d, e) != 0) return -1;
  return size == 1   ? fill<uint8_t>(d, p, value, count, e)
         : size == 2 ? fill<uint16_t>(d, p, value, count, e)
         : size == 4 ? fill<uint32_t>(d, p, value, count, e)
                     : fill<uint64_t>(d, p, value, count, e);
}

template <class T> struct same {
  typedef T result;
  __device__ T operator()(char *const *p) const { return CVL_ON_DEVICE(T, 1); }
};

extern "C" int cvl_cuda_move(cvl_device *base, const cvl_loop *l, size_t size, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_cuda_use(d, e) != 0) return -1;
  return size == 1   ? cvl_each_of<2>(d, l, same<uint8_t>(), e)
         : size == 2 ? cvl_each_of<2>(d, l, same<uint16_t>(), e)
         : size == 4 ? cvl_each_of<2>(d, l, same<uint32_t>(), e)
                     : cvl_each_of<2>(d, l, same<uint64_t>(), e);
}

/*
** Tensors and convolutions as the fake libcudnn computes with them.
*/
#ifndef CUDASIM_CUDNN_CONV_H
#define CUDASIM_CUDNN_CONV_H

#include <vector>

#include "cudnn_store.h"

namespace cudasim {

/* A tensor descriptor: {N, C, sizes...} with the strides of each, in elements. */
struct Tensor {
  int64_t id;
  cudaDataType_t type;
  std::vector<int64_t> dims, strides;
  int64_t alignment;
  bool is_virtual; /* between two operations: it has no memory */

  explicit Tensor(const Descriptor &d);
  int64_t elements() const;
  size_t bytes() const; /* from its first element to the end of its last */
};

/* cudaDataType_t(-1) for what is not simulated. */
cudaDataType_t element_type(cudnnDataType_t type);

/* Its elements as doubles, dense, channels last: N, sizes..., C. */
using Values = std::vector<double>;
Values gather(const Tensor &t, const void *bytes);
void scatter(const Tensor &t, void *bytes, const Values &values);

/* x {N, C, in...}   w {K, C/groups, filter...}   y {N, K, out...}; which of them is made depends on the pass. */
struct Convolution {
  enum class Pass { forward, data, filter } pass;
  Tensor x, w, y;
  std::vector<int64_t> pre, post, stride, dilation;
  double alpha, beta;

  explicit Convolution(const Descriptor &operation);
  const Tensor &result() const;
  const Tensor &first() const;
  const Tensor &second() const;
};

/* BAD_PARAM when the tensors of the operation do not fit each other. */
cudnnStatus_t check_convolution(const Descriptor &operation);

/* The result from the values of first() and second(). */
Values convolve(const Convolution &c, const Values &first, const Values &second);

} // namespace cudasim

#endif

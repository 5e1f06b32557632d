/*
** What each kind of descriptor may and must hold: "cuDNN Backend API", Backend Descriptor Types.
*/
#include "cudnn_conv.h"
#include "cudnn_store.h"

namespace cudasim {

namespace {

struct Rule {
  cudnnBackendDescriptorType_t on;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  bool required;
};

#define TENSOR(name, type, required) \
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_##name, CUDNN_TYPE_##type, required }
#define CONVOLUTION(name, type) \
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_##name, CUDNN_TYPE_##type, true }
#define POINTWISE(name, type, required) \
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_##name, CUDNN_TYPE_##type, required }
#define FORWARD(name, type)                                                      \
  {                                                                              \
    CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,                      \
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_##name, CUDNN_TYPE_##type, true \
  }
#define DATA(name, type)                                                          \
  {                                                                               \
    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,                 \
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_##name, CUDNN_TYPE_##type, true \
  }
#define FILTER(name, type)                                                          \
  {                                                                                 \
    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,                 \
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_##name, CUDNN_TYPE_##type, true \
  }
#define ELEMENTWISE(name, type, required)                                                \
  {                                                                                      \
    CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_##name, \
        CUDNN_TYPE_##type, required                                                      \
  }
#define PLAN(name, type, required)                                                                \
  {                                                                                               \
    CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_##name, CUDNN_TYPE_##type, \
        required                                                                                  \
  }
#define HEURISTICS(name, type, required) \
  { CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_##name, CUDNN_TYPE_##type, required }
#define ARGUMENTS(name, type, required)                                                       \
  {                                                                                           \
    CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_##name, CUDNN_TYPE_##type, \
        required                                                                              \
  }

constexpr Rule kRules[] = {
    TENSOR(DATA_TYPE, DATA_TYPE, true),
    TENSOR(DIMENSIONS, INT64, true),
    TENSOR(STRIDES, INT64, true),
    TENSOR(UNIQUE_ID, INT64, true),
    TENSOR(BYTE_ALIGNMENT, INT64, true),
    TENSOR(IS_VIRTUAL, BOOLEAN, false),
    CONVOLUTION(COMP_TYPE, DATA_TYPE),
    CONVOLUTION(CONV_MODE, CONVOLUTION_MODE),
    CONVOLUTION(SPATIAL_DIMS, INT64),
    CONVOLUTION(PRE_PADDINGS, INT64),
    CONVOLUTION(POST_PADDINGS, INT64),
    CONVOLUTION(DILATIONS, INT64),
    CONVOLUTION(FILTER_STRIDES, INT64),
    POINTWISE(MODE, POINTWISE_MODE, true),
    POINTWISE(MATH_PREC, DATA_TYPE, true),
    POINTWISE(NAN_PROPAGATION, NAN_PROPOGATION, false),
    FORWARD(CONV_DESC, BACKEND_DESCRIPTOR),
    FORWARD(X, BACKEND_DESCRIPTOR),
    FORWARD(W, BACKEND_DESCRIPTOR),
    FORWARD(Y, BACKEND_DESCRIPTOR),
    FORWARD(ALPHA, DOUBLE),
    FORWARD(BETA, DOUBLE),
    DATA(CONV_DESC, BACKEND_DESCRIPTOR),
    DATA(DX, BACKEND_DESCRIPTOR),
    DATA(W, BACKEND_DESCRIPTOR),
    DATA(DY, BACKEND_DESCRIPTOR),
    DATA(ALPHA, DOUBLE),
    DATA(BETA, DOUBLE),
    FILTER(CONV_DESC, BACKEND_DESCRIPTOR),
    FILTER(X, BACKEND_DESCRIPTOR),
    FILTER(DW, BACKEND_DESCRIPTOR),
    FILTER(DY, BACKEND_DESCRIPTOR),
    FILTER(ALPHA, DOUBLE),
    FILTER(BETA, DOUBLE),
    ELEMENTWISE(PW_DESCRIPTOR, BACKEND_DESCRIPTOR, true),
    ELEMENTWISE(XDESC, BACKEND_DESCRIPTOR, true),
    ELEMENTWISE(BDESC, BACKEND_DESCRIPTOR, false),
    ELEMENTWISE(YDESC, BACKEND_DESCRIPTOR, true),
    ELEMENTWISE(ALPHA1, DOUBLE, false),
    ELEMENTWISE(ALPHA2, DOUBLE, false),
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, true},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE,
     true}, /* planning without a GPU is not simulated */
    HEURISTICS(OPERATION_GRAPH, BACKEND_DESCRIPTOR, true),
    HEURISTICS(MODE, HEUR_MODE, true),
    PLAN(ENGINE_CONFIG, BACKEND_DESCRIPTOR, true),
    PLAN(HANDLE, HANDLE, true),
    ARGUMENTS(DATA_POINTERS, VOID_PTR, true),
    ARGUMENTS(UNIQUE_IDS, INT64, true),
    ARGUMENTS(WORKSPACE, VOID_PTR, false),
};

cudnnStatus_t check_tensor(const Descriptor &d) {
  auto dims = d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  if (dims.size() != size_t(d.count(CUDNN_ATTR_TENSOR_STRIDES)))
    return refuse(CUDNN_STATUS_BAD_PARAM, "a tensor has %zu dimensions and %zu strides",
                  dims.size(), size_t(d.count(CUDNN_ATTR_TENSOR_STRIDES)));
  if (dims.size() < 3 || dims.size() > CUDNN_DIM_MAX)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "a tensor has %zu dimensions", dims.size());
  for (int64_t n : dims)
    if (n <= 0) return refuse(CUDNN_STATUS_BAD_PARAM, "a dimension is %lld", (long long)n);
  if (element_type(d.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)) == cudaDataType_t(-1))
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "this element type is not simulated");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_geometry(const Descriptor &d) {
  int64_t axes = d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
  for (auto name : {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
                    CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES}) {
    bool padding =
        name == CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS || name == CUDNN_ATTR_CONVOLUTION_POST_PADDINGS;
    if (d.count(name) != axes)
      return refuse(CUDNN_STATUS_BAD_PARAM,
                    "a convolution over %lld axes has %lld settings for one", (long long)axes,
                    (long long)d.count(name));
    for (int64_t v : d.all<int64_t>(name))
      if (v < (padding ? 0 : 1))
        return refuse(CUDNN_STATUS_BAD_PARAM, "a padding, stride or dilation is %lld",
                      (long long)v);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_arguments(const Descriptor &d) {
  if (d.count(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) != d.count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS))
    return refuse(CUDNN_STATUS_BAD_PARAM, "as many pointers as ids are needed");
  return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t check_attribute(const Descriptor &d, cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, int64_t count) {
  for (const Rule &r : kRules) {
    if (r.on != d.type || r.name != name) continue;
    if (r.type != type)
      return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d has type %d, not %d", int(name),
                    int(r.type), int(type));
    if (count < 1) return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d has no elements", int(name));
    return CUDNN_STATUS_SUCCESS;
  }
  return refuse(CUDNN_STATUS_NOT_SUPPORTED, "descriptors of type %d have no attribute %d here",
                int(d.type), int(name));
}

cudnnStatus_t check_complete(const Descriptor &d) {
  for (const Rule &r : kRules)
    if (r.on == d.type && r.required && !d.has(r.name))
      return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor of type %d lacks attribute %d",
                    int(d.type), int(r.name));
  switch (d.type) {
  case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
    return check_tensor(d);
  case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
    return check_geometry(d);
  case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
    return check_arguments(d);
  case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
  case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
  case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
    return check_convolution(d);
  default:
    return CUDNN_STATUS_SUCCESS;
  }
}

} // namespace cudasim

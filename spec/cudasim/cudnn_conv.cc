#include "cudnn_conv.h"

#include "element.h"

namespace cudasim {

namespace {

struct Names {
  cudnnBackendDescriptorType_t operation;
  Convolution::Pass pass;
  cudnnBackendAttributeName_t x, w, y, geometry, alpha, beta;
};

constexpr Names kNames[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, Convolution::Pass::forward,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, Convolution::Pass::data,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, Convolution::Pass::filter,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

const Names &names_of(const Descriptor &operation) {
  const Names *n = kNames;
  while (n->operation != operation.type) n++; /* the caller knows that it is a convolution */
  return *n;
}

/* Counts through all positions of a box; false after the last. */
bool next(std::vector<int64_t> &at, const std::vector<int64_t> &sizes) {
  for (size_t i = sizes.size(); i-- > 0;) {
    if (++at[i] < sizes[i]) return true;
    at[i] = 0;
  }
  return false;
}

std::vector<int64_t> spatial(const Tensor &t) { return {t.dims.begin() + 2, t.dims.end()}; }

int64_t product(const std::vector<int64_t> &sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}

/* f(offset in memory, position in the dense values) for each element. */
template <class F> void for_each_element(const Tensor &t, F f) {
  std::vector<int64_t> sizes = spatial(t), at(sizes.size());
  int64_t position = 0;
  for (int64_t n = 0; n < t.dims[0]; n++) do {
      int64_t offset = n * t.strides[0];
      for (size_t i = 0; i < at.size(); i++) offset += at[i] * t.strides[2 + i];
      for (int64_t c = 0; c < t.dims[1]; c++) f(offset + c * t.strides[1], position++);
    } while (next(at, sizes));
}

/* f(pixel of x, pixel of y, tap) for each product that the convolution is a sum of; pixels and taps by
** their number in dense values. */
template <class F> void for_each_product(const Convolution &c, F f) {
  std::vector<int64_t> in = spatial(c.x), out = spatial(c.y), taps = spatial(c.w);
  std::vector<int64_t> p(out.size()), r(out.size());
  int64_t y = 0;
  for (int64_t n = 0; n < c.y.dims[0]; n++) do {
      int64_t tap = 0;
      do {
        int64_t x = n;
        bool inside = true;
        for (size_t i = 0; i < in.size(); i++) {
          int64_t h = p[i] * c.stride[i] - c.pre[i] + r[i] * c.dilation[i];
          inside &= h >= 0 && h < in[i];
          x = x * in[i] + h;
        }
        if (inside) f(x, y, tap);
        tap++;
      } while (next(r, taps));
      y++;
    } while (next(p, out));
}

/* w {K, taps, C/groups} to {taps, C/groups, K} and back, K being all groups'. */
Values channels_first(const Convolution &c, const Values &w, bool back) {
  size_t K = size_t(c.w.dims[0]), C = size_t(c.w.dims[1]), T = size_t(product(spatial(c.w)));
  Values out(w.size());
  for (size_t k = 0; k < K; k++)
    for (size_t t = 0; t < T; t++)
      for (size_t i = 0; i < C; i++) {
        size_t usual = (k * T + t) * C + i, turned = (t * C + i) * K + k;
        out[back ? usual : turned] = w[back ? turned : usual];
      }
  return out;
}

} // namespace

cudaDataType_t element_type(cudnnDataType_t type) {
  switch (type) {
  case CUDNN_DATA_FLOAT:
    return CUDA_R_32F;
  case CUDNN_DATA_DOUBLE:
    return CUDA_R_64F;
  case CUDNN_DATA_HALF:
    return CUDA_R_16F;
  case CUDNN_DATA_BFLOAT16:
    return CUDA_R_16BF;
  default:
    return cudaDataType_t(-1);
  }
}

Tensor::Tensor(const Descriptor &d)
    : id(d.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
      type(element_type(d.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE))),
      dims(d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)),
      strides(d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)),
      alignment(d.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
      is_virtual(d.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && d.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) {
}

int64_t Tensor::elements() const { return product(dims); }

size_t Tensor::bytes() const {
  int64_t last = 0;
  for (size_t i = 0; i < dims.size(); i++) last += (dims[i] - 1) * strides[i];
  return size_t(last + 1) * element_bytes(type);
}

Values gather(const Tensor &t, const void *bytes) {
  Values values(size_t(t.elements()));
  for_each_element(t, [&](int64_t offset, int64_t i) {
    values[size_t(i)] = load_element(bytes, size_t(offset), t.type);
  });
  return values;
}

void scatter(const Tensor &t, void *bytes, const Values &values) {
  for_each_element(t, [&](int64_t offset, int64_t i) {
    store_element(bytes, size_t(offset), t.type, values[size_t(i)]);
  });
}

Convolution::Convolution(const Descriptor &operation)
    : pass(names_of(operation).pass), x(*operation.reference(names_of(operation).x)),
      w(*operation.reference(names_of(operation).w)),
      y(*operation.reference(names_of(operation).y)),
      alpha(operation.get<double>(names_of(operation).alpha)),
      beta(operation.get<double>(names_of(operation).beta)) {
  const Descriptor &geometry = *operation.reference(names_of(operation).geometry);
  pre = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  post = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  stride = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  dilation = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
}

const Tensor &Convolution::result() const {
  return pass == Pass::forward ? y : pass == Pass::data ? x : w;
}

const Tensor &Convolution::first() const { return pass == Pass::data ? y : x; }

const Tensor &Convolution::second() const { return pass == Pass::filter ? y : w; }

cudnnStatus_t check_convolution(const Descriptor &operation) {
  Convolution c(operation);
  size_t axes = c.pre.size();
  if (c.x.dims.size() != axes + 2 || c.w.dims.size() != axes + 2 || c.y.dims.size() != axes + 2)
    return refuse(CUDNN_STATUS_BAD_PARAM, "a convolution over %zu axes needs tensors with %zu",
                  axes, axes + 2);
  int64_t groups = c.x.dims[1] / c.w.dims[1];
  bool fits = c.y.dims[0] == c.x.dims[0] && c.y.dims[1] == c.w.dims[0] && groups > 0 &&
              c.x.dims[1] == groups * c.w.dims[1] && c.w.dims[0] % groups == 0;
  for (size_t i = 0; i < axes; i++) {
    int64_t room =
        c.x.dims[2 + i] + c.pre[i] + c.post[i] - c.dilation[i] * (c.w.dims[2 + i] - 1) - 1;
    fits &= room >= 0 && c.y.dims[2 + i] == room / c.stride[i] + 1;
  }
  if (!fits) return refuse(CUDNN_STATUS_BAD_PARAM, "the shapes of a convolution do not fit");
  return CUDNN_STATUS_SUCCESS;
}

Values convolve(const Convolution &c, const Values &first, const Values &second) {
  const size_t C = size_t(c.x.dims[1]), K = size_t(c.w.dims[0]), Cg = size_t(c.w.dims[1]);
  const size_t groups = C / Cg, Kg = K / groups;
  using Pass = Convolution::Pass;
  Values out(size_t(c.result().elements()));
  Values turned = c.pass == Pass::filter ? out : channels_first(c, second, false);
  for_each_product(c, [&](int64_t pixel, int64_t position, int64_t tap) {
    for (size_t g = 0; g < groups; g++) {
      size_t x = size_t(pixel) * C + g * Cg, y = size_t(position) * K + g * Kg;
      for (size_t i = 0; i < Cg; i++) {
        size_t w = (size_t(tap) * Cg + i) * K + g * Kg;
        if (c.pass == Pass::forward) {
          for (size_t k = 0; k < Kg; k++) out[y + k] += first[x + i] * turned[w + k];
        } else if (c.pass == Pass::filter) {
          for (size_t k = 0; k < Kg; k++) turned[w + k] += first[x + i] * second[y + k];
        } else {
          double sum = 0;
          for (size_t k = 0; k < Kg; k++) sum += first[y + k] * turned[w + k];
          out[x + i] += sum;
        }
      }
    }
  });
  return c.pass == Pass::filter ? channels_first(c, turned, true) : out;
}

} // namespace cudasim

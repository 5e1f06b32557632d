/* The fake cuDNN: convolutions against plain loops, and the rules of descriptors. */
#include "test.h"

#include <algorithm>
#include <initializer_list>

namespace {

using Handle = cudnnBackendDescriptor_t;
using List = std::vector<int64_t>;

Handle make(cudnnBackendDescriptorType_t type) {
  Handle d;
  DNN(cudnnBackendCreateDescriptor(type, &d));
  return d;
}

void set(Handle d, cudnnBackendAttributeName_t name, const List &v) {
  DNN(cudnnBackendSetAttribute(d, name, CUDNN_TYPE_INT64, int64_t(v.size()), v.data()));
}

void set(Handle d, cudnnBackendAttributeName_t name, double v) {
  DNN(cudnnBackendSetAttribute(d, name, CUDNN_TYPE_DOUBLE, 1, &v));
}

void set(Handle d, cudnnBackendAttributeName_t name, Handle v) {
  DNN(cudnnBackendSetAttribute(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v));
}

template <class T>
void set(Handle d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T v) {
  DNN(cudnnBackendSetAttribute(d, name, type, 1, &v));
}

Handle finalized(Handle d) {
  DNN(cudnnBackendFinalize(d));
  return d;
}

int64_t product(const List &dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

/* Channels last. */
List strides_of(const List &dims) {
  List strides(dims.size());
  int64_t step = dims[1];
  strides[1] = 1;
  for (size_t i = dims.size(); i-- > 2;) {
    strides[i] = step;
    step *= dims[i];
  }
  strides[0] = step;
  return strides;
}

Handle tensor(int64_t id, const List &dims, bool is_virtual = false) {
  Handle d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
  set(d, CUDNN_ATTR_TENSOR_STRIDES, strides_of(dims));
  set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, List{id});
  set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, List{16});
  set(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual);
  return finalized(d);
}

struct Problem {
  List x, w, y; /* {N, C, in...} {K, C/groups, filter...} {N, K, out...} */
  List padding, stride, dilation;
};

Handle geometry(const Problem &p) {
  Handle d = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  set(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  set(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, List{int64_t(p.stride.size())});
  set(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, p.padding);
  set(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, p.padding);
  set(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, p.dilation);
  set(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, p.stride);
  return finalized(d);
}

enum Pass { kForward, kData, kFilter };

Handle convolution(const Problem &p, Pass pass, Handle x, Handle w, Handle y) {
  Handle d;
  if (pass == kForward) {
    d = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, geometry(p));
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0);
  } else if (pass == kData) {
    d = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, geometry(p));
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, x);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, y);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0.0);
  } else {
    d = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, geometry(p));
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, w);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, y);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0);
    set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 0.0);
  }
  return finalized(d);
}

Handle pointwise(cudnnPointwiseMode_t mode, Handle x, Handle b, Handle y) {
  Handle p = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(p, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
  set(p, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  Handle d = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, finalized(p));
  set(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b != nullptr) set(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  set(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  return finalized(d);
}

/* The plan for engine number `engine` of those that the heuristics give. */
Handle plan(cudnnHandle_t h, std::vector<Handle> operations, int engine) {
  Handle g = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  DNN(cudnnBackendSetAttribute(g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               int64_t(operations.size()), operations.data()));
  set(g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, h);
  Handle heuristics = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, finalized(g));
  set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  finalized(heuristics);
  Handle found[8];
  int64_t n;
  for (Handle &f : found) f = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  DNN(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 8, &n, found));
  CHECK(n == 2);
  Handle p = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  set(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, found[engine]);
  set(p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, h);
  return finalized(p);
}

int64_t workspace_of(Handle p) {
  int64_t bytes, n;
  DNN(cudnnBackendGetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                               &bytes));
  return bytes;
}

cudnnStatus_t execute(cudnnHandle_t h, Handle p, const List &ids, std::vector<void *> pointers,
                      void *workspace) {
  Handle a = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(a, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  DNN(cudnnBackendSetAttribute(a, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                               int64_t(pointers.size()), pointers.data()));
  set(a, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
  return cudnnBackendExecute(h, p, finalized(a));
}

cudnnHandle_t handle(cudaStream_t s) {
  cudnnHandle_t h;
  DNN(cudnnCreate(&h));
  DNN(cudnnSetStream(h, s));
  return h;
}

std::vector<float> integers(int64_t n, int seed) {
  std::vector<float> v(size_t(n), 0.f);
  for (int64_t i = 0; i < n; i++) v[size_t(i)] = float((int(i) * 5 + seed) % 7 - 3);
  return v;
}

/* All three tensors, channels last, of a convolution over two axes, by the definition. */
void by_definition(const Problem &p, Pass pass, std::vector<float> &x, std::vector<float> &w,
                   std::vector<float> &y) {
  int64_t groups = p.x[1] / p.w[1], kg = p.w[0] / groups;
  std::vector<float> &out = pass == kForward ? y : pass == kData ? x : w;
  std::fill(out.begin(), out.end(), 0.f);
  for (int64_t n = 0; n < p.y[0]; n++)
    for (int64_t k = 0; k < p.y[1]; k++)
      for (int64_t i = 0; i < p.y[2]; i++)
        for (int64_t j = 0; j < p.y[3]; j++)
          for (int64_t c = 0; c < p.w[1]; c++)
            for (int64_t r = 0; r < p.w[2]; r++)
              for (int64_t s = 0; s < p.w[3]; s++) {
                int64_t a = i * p.stride[0] - p.padding[0] + r * p.dilation[0];
                int64_t b = j * p.stride[1] - p.padding[1] + s * p.dilation[1];
                if (a < 0 || b < 0 || a >= p.x[2] || b >= p.x[3]) continue;
                int64_t channel = k / kg * p.w[1] + c;
                float &vx = x[size_t(((n * p.x[2] + a) * p.x[3] + b) * p.x[1] + channel)];
                float &vw = w[size_t(((k * p.w[2] + r) * p.w[3] + s) * p.w[1] + c)];
                float &vy = y[size_t(((n * p.y[2] + i) * p.y[3] + j) * p.y[1] + k)];
                if (pass == kForward) vy += vx * vw;
                if (pass == kData) vx += vy * vw;
                if (pass == kFilter) vw += vx * vy;
              }
}

const Problem kProblems[] = {
    {{2, 3, 5, 6}, {4, 3, 3, 3}, {2, 4, 5, 6}, {1, 1}, {1, 1}, {1, 1}},
    {{1, 4, 7, 7}, {6, 2, 3, 2}, {1, 6, 4, 3}, {1, 0}, {2, 2}, {1, 1}}, /* two groups */
    {{2, 2, 9, 8}, {3, 2, 3, 3}, {2, 3, 5, 4}, {0, 0}, {1, 1}, {2, 2}},
    {{1, 3, 4, 4}, {3, 1, 1, 1}, {1, 3, 2, 2}, {0, 0}, {2, 2}, {1, 1}}, /* depthwise */
};

void convolutions() {
  cudaStream_t s = new_stream();
  cudnnHandle_t h = handle(s);
  for (const Problem &p : kProblems)
    for (Pass pass : {kForward, kData, kFilter}) {
      auto x = integers(product(p.x), 1), w = integers(product(p.w), 2),
           y = integers(product(p.y), 3);
      float *dx = upload(x), *dw = upload(w), *dy = upload(y);
      CUDA(cudaDeviceSynchronize());
      Handle d = plan(h, {convolution(p, pass, tensor(1, p.x), tensor(2, p.w), tensor(3, p.y))}, 1);
      void *workspace = device_block(size_t(workspace_of(d)));
      DNN(execute(h, d, {1, 2, 3}, {dx, dw, dy}, workspace));
      CUDA(cudaStreamSynchronize(s));
      by_definition(p, pass, x, w, y);
      CHECK(download(dx, x.size()) == x);
      CHECK(download(dw, w.size()) == w);
      CHECK(download(dy, y.size()) == y);
    }
}

void three_axes() { /* all ones: each output counts its products */
  cudaStream_t s = new_stream();
  cudnnHandle_t h = handle(s);
  Problem p = {{1, 2, 3, 3, 3}, {1, 2, 3, 3, 3}, {1, 1, 3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}};
  auto *x = upload(std::vector<float>(54, 1.f)), *w = upload(std::vector<float>(54, 1.f));
  auto *y = upload(std::vector<float>(27, 0.f));
  CUDA(cudaDeviceSynchronize());
  Handle d = plan(h, {convolution(p, kForward, tensor(1, p.x), tensor(2, p.w), tensor(3, p.y))}, 1);
  DNN(execute(h, d, {1, 2, 3}, {x, w, y}, device_block(size_t(workspace_of(d)))));
  CUDA(cudaStreamSynchronize(s));
  CHECK(download(y, 27)[0] == 16 && download(y, 27)[13] == 54);
}

void fused() { /* relu(conv(x, w) + b) */
  cudaStream_t s = new_stream();
  cudnnHandle_t h = handle(s);
  const Problem &p = kProblems[0];
  auto x = integers(product(p.x), 1), w = integers(product(p.w), 2), y = integers(product(p.y), 3);
  std::vector<float> bias = {1, -2, 3, -4};
  float *dx = upload(x), *dw = upload(w), *dy = upload(y), *db = upload(bias);
  CUDA(cudaDeviceSynchronize());
  Handle product = tensor(10, p.y, true), sum = tensor(11, p.y, true);
  Handle d = plan(h,
                  {convolution(p, kForward, tensor(1, p.x), tensor(2, p.w), product),
                   pointwise(CUDNN_POINTWISE_ADD, product, tensor(4, {1, 4, 1, 1}), sum),
                   pointwise(CUDNN_POINTWISE_RELU_FWD, sum, nullptr, tensor(3, p.y))},
                  1);
  DNN(execute(h, d, {1, 2, 3, 4}, {dx, dw, dy, db}, device_block(size_t(workspace_of(d)))));
  CUDA(cudaStreamSynchronize(s));
  by_definition(p, kForward, x, w, y);
  for (size_t i = 0; i < y.size(); i++) y[i] = std::max(y[i] + bias[i % 4], 0.f);
  CHECK(download(dy, y.size()) == y);
}

/* A 1x1 convolution of one number, on an engine. */
float identity(float v, int engine) {
  cudaStream_t s = new_stream();
  cudnnHandle_t h = handle(s);
  Problem p = {{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {0, 0}, {1, 1}, {1, 1}};
  float *x = upload<float>({v}), *w = upload<float>({1}), *y = upload<float>({0});
  CUDA(cudaDeviceSynchronize());
  Handle d =
      plan(h, {convolution(p, kForward, tensor(1, p.x), tensor(2, p.w), tensor(3, p.y))}, engine);
  DNN(execute(h, d, {1, 2, 3}, {x, w, y}, device_block(size_t(workspace_of(d)))));
  CUDA(cudaStreamSynchronize(s));
  return download(y, 1)[0];
}

void careless_engine_rounds() {
  float v = 1 + 0x1p-12f;
  CHECK(identity(v, 0) == 1 && identity(v, 1) == v);
}

void rules_of_descriptors() {
  Handle d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR),
         conv = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  int64_t one = 1, zeros[4] = {1, 0, 1, 1};
  DNN_IS(CUDNN_STATUS_BAD_PARAM, cudnnBackendFinalize(d)); /* nothing is set */
  DNN_IS(CUDNN_STATUS_BAD_PARAM,
         cudnnBackendSetAttribute(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_DOUBLE, 1, &one));
  DNN_IS(CUDNN_STATUS_NOT_SUPPORTED,
         cudnnBackendSetAttribute(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 1, &one));
  set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, List(zeros, zeros + 4));
  set(d, CUDNN_ATTR_TENSOR_STRIDES, List{1, 1, 1, 1});
  set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, List{1});
  set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, List{16});
  DNN_IS(CUDNN_STATUS_BAD_PARAM, cudnnBackendFinalize(d)); /* a dimension of 0 */
  set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, List{1, 1, 1, 1});
  finalized(d);
  DNN_IS(CUDNN_STATUS_NOT_INITIALIZED,
         cudnnBackendSetAttribute(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &one));
  Handle op = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  DNN_IS(CUDNN_STATUS_BAD_PARAM,
         cudnnBackendSetAttribute(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv)); /* not finalized */
  char text[100];
  cudnnGetLastErrorString(text, sizeof text);
  CHECK(text[0] != '\0');
}

/* Descriptors may go as soon as something else has taken them in. */
void descriptors_are_copied() {
  Problem p = kProblems[0];
  cudnnHandle_t h = handle(new_stream());
  Handle x = tensor(1, p.x), w = tensor(2, p.w), y = tensor(3, p.y);
  Handle op = convolution(p, kForward, x, w, y);
  for (Handle d : {x, w, y}) DNN(cudnnBackendDestroyDescriptor(d));
  Handle d = plan(h, {op}, 1);
  DNN(cudnnBackendDestroyDescriptor(op));
  CHECK(workspace_of(d) == 1001 + 512);
}

void destroyed_descriptor() {
  Handle d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  DNN(cudnnBackendDestroyDescriptor(d));
  cudnnBackendFinalize(d);
}

void shapes_that_do_not_fit() {
  Problem p = kProblems[0];
  p.y[2]++;
  Handle d = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, geometry(p));
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, tensor(1, p.x));
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, tensor(2, p.w));
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, tensor(3, p.y));
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0);
  DNN_IS(CUDNN_STATUS_BAD_PARAM, cudnnBackendFinalize(d)); /* beta is missing */
  set(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0);
  DNN_IS(CUDNN_STATUS_BAD_PARAM, cudnnBackendFinalize(d));
}

struct Sizes {
  int64_t y_less = 0, workspace_less = 0, y_offset = 0;
};

/* A sound convolution but for what is missing. */
cudnnStatus_t run_with(Sizes less) {
  cudaStream_t s = new_stream();
  cudnnHandle_t h = handle(s);
  const Problem &p = kProblems[0];
  Handle d = plan(h, {convolution(p, kForward, tensor(1, p.x), tensor(2, p.w), tensor(3, p.y))}, 1);
  float *x = upload(integers(product(p.x), 1)), *w = upload(integers(product(p.w), 2));
  auto *y = static_cast<char *>(device_block(size_t(product(p.y) * 4 - less.y_less)));
  void *workspace = device_block(size_t(workspace_of(d) - less.workspace_less));
  CUDA(cudaDeviceSynchronize());
  cudnnStatus_t status = execute(h, d, {1, 2, 3}, {x, w, y + less.y_offset}, workspace);
  CUDA(cudaStreamSynchronize(s));
  return status;
}

void output_too_short() { run_with({4, 0, 0}); }
void workspace_too_short() { run_with({0, 1, 0}); }
void unaligned_output() { DNN_IS(CUDNN_STATUS_BAD_PARAM, run_with({0, 0, 4})); }

const char *const kExtent = "do not lie in one live allocation";

const Cases all({
    {"convolutions", convolutions, nullptr, nullptr},
    {"convolution over three axes", three_axes, nullptr, nullptr},
    {"fused", fused, nullptr, nullptr},
    {"the careless engine rounds", careless_engine_rounds, nullptr, nullptr},
    {"rules of descriptors", rules_of_descriptors, nullptr, nullptr},
    {"descriptors are copied", descriptors_are_copied, nullptr, nullptr},
    {"shapes that do not fit", shapes_that_do_not_fit, nullptr, nullptr},
    {"destroyed descriptor", destroyed_descriptor, "does not exist, or was destroyed", nullptr},
    {"output too short", output_too_short, kExtent, nullptr},
    {"workspace too short", workspace_too_short, kExtent, nullptr},
    {"unaligned output", unaligned_output, nullptr, nullptr},
});

} // namespace

/*
** Engines of the fake libcudnn, and running a graph of operations on one. Engine 0 is what a careless
** caller would take: its notes say that it is not deterministic and uses tensor cores, and it rounds
** float32 as those do. Engine 1 is exact.
*/
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cudnn_conv.h"
#include "cudnn_store.h"
#include "element.h"

namespace cudasim {

namespace {

struct Argument {
  void *p;
  size_t bytes = 0;
};

/* One execution: the values that were computed or read so far, by tensor. */
struct Run {
  int engine;
  std::map<int64_t, Argument> arguments;
  std::map<int64_t, Values> values;

  const Values &load(const Tensor &t) {
    auto known = values.find(t.id);
    if (known != values.end()) return known->second;
    Values v(size_t(t.elements()), NAN);
    if (const void *p = device_bytes(arguments[t.id].p, t.bytes(), Access::read, "cudnn input"))
      v = gather(t, p);
    if (engine == 0 && t.type == CUDA_R_32F && architecture() >= 80)
      for (double &x : v) x = round_to_tf32(x);
    return values[t.id] = std::move(v);
  }

  void store(const Tensor &t, Values v) {
    if (!t.is_virtual)
      if (void *p = device_bytes(arguments[t.id].p, t.bytes(), Access::write, "cudnn output"))
        scatter(t, p, v);
    values[t.id] = std::move(v);
  }
};

void run_convolution(Run &run, const Descriptor &operation) {
  Convolution c(operation);
  Values out = convolve(c, run.load(c.first()), run.load(c.second()));
  if (c.alpha != 1)
    for (double &v : out) v *= c.alpha;
  if (c.beta != 0) {
    const Values &old = run.load(c.result());
    for (size_t i = 0; i < out.size(); i++) out[i] += c.beta * old[i];
  }
  run.store(c.result(), std::move(out));
}

double apply(cudnnPointwiseMode_t mode, double x, double b) {
  switch (mode) {
  case CUDNN_POINTWISE_ADD:
    return x + b;
  case CUDNN_POINTWISE_SUB:
    return x - b;
  case CUDNN_POINTWISE_MUL:
    return x * b;
  case CUDNN_POINTWISE_RELU_FWD:
    return std::max(x, 0.0);
  case CUDNN_POINTWISE_SIGMOID_FWD:
    return 1 / (1 + std::exp(-x));
  case CUDNN_POINTWISE_TANH_FWD:
    return std::tanh(x);
  case CUDNN_POINTWISE_IDENTITY:
    return x;
  default:
    violation("cudnn: pointwise mode %d is not simulated", int(mode));
    return NAN;
  }
}

/* Where in the dense values of t, whose axes are as long as y's or 1, element i of y's stands. */
size_t broadcast_index(const Tensor &t, const Tensor &y, size_t i) {
  std::vector<int64_t> at(y.dims.size());
  auto take = [&](size_t axis) {
    at[axis] = int64_t(i) % y.dims[axis];
    i /= size_t(y.dims[axis]);
  };
  take(1);
  for (size_t axis = y.dims.size(); axis-- > 2;) take(axis);
  take(0);
  int64_t index = t.dims[0] > 1 ? at[0] : 0;
  for (size_t axis = 2; axis < y.dims.size(); axis++)
    index = index * t.dims[axis] + (t.dims[axis] > 1 ? at[axis] : 0);
  return size_t(index * t.dims[1] + (t.dims[1] > 1 ? at[1] : 0));
}

void run_pointwise(Run &run, const Descriptor &operation) {
  Tensor x(*operation.reference(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
  Tensor y(*operation.reference(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  const Descriptor *second = operation.reference(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
  auto mode = operation.reference(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
                  ->get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  Values in = run.load(x), out(size_t(y.elements()));
  Tensor b = second != nullptr ? Tensor(*second) : x;
  Values other = second != nullptr ? run.load(b) : in;
  for (size_t i = 0; i < out.size(); i++)
    out[i] = apply(mode, in[broadcast_index(x, y, i)], other[broadcast_index(b, y, i)]);
  run.store(y, std::move(out));
}

bool is_convolution(const Descriptor &operation) {
  return operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ||
         operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ||
         operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
}

const std::vector<std::shared_ptr<const Descriptor>> &operations(const Descriptor &graph) {
  return graph.attributes.at(CUDNN_ATTR_OPERATIONGRAPH_OPS).descriptors;
}

std::vector<Tensor> tensors_of(const Descriptor &operation) {
  std::vector<Tensor> out;
  for (auto &[name, attribute] : operation.attributes)
    for (auto &d : attribute.descriptors)
      if (d->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) out.emplace_back(*d);
  return out;
}

/* Each tensor with memory has an argument, aligned as its descriptor says. */
cudnnStatus_t check_run(Run &run, const Descriptor &graph) {
  for (auto &operation : operations(graph))
    for (const Tensor &t : tensors_of(*operation)) {
      if (t.is_virtual) continue;
      auto argument = run.arguments.find(t.id);
      if (argument == run.arguments.end())
        return refuse(CUDNN_STATUS_BAD_PARAM, "no pointer for tensor %lld", (long long)t.id);
      if (uintptr_t(argument->second.p) % uint64_t(t.alignment) != 0)
        return refuse(CUDNN_STATUS_BAD_PARAM, "tensor %lld at %p is not aligned to %lld bytes",
                      (long long)t.id, argument->second.p, (long long)t.alignment);
      argument->second.bytes = std::max(argument->second.bytes, t.bytes());
    }
  return CUDNN_STATUS_SUCCESS;
}

/* A result must not lie in what it is computed from, nor in the workspace. */
bool overlaps(const Run &run, const void *workspace, int64_t workspace_bytes) {
  std::vector<std::pair<uintptr_t, uintptr_t>> spans = {
      {uintptr_t(workspace), uintptr_t(workspace) + uintptr_t(workspace_bytes)}};
  for (auto &[id, a] : run.arguments) spans.emplace_back(uintptr_t(a.p), uintptr_t(a.p) + a.bytes);
  std::sort(spans.begin(), spans.end());
  for (size_t i = 1; i < spans.size(); i++)
    if (spans[i].first < spans[i - 1].second) {
      violation("cudnnBackendExecute: tensors or workspace overlap at %#zx",
                size_t(spans[i].first));
      return true;
    }
  return false;
}

} // namespace

std::vector<cudnnBackendNumericalNote_t> notes_of(int engine) {
  if (engine != 0) return {};
  return {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_TENSOR_CORE};
}

/* Odd, so that a caller who rounds down is found. */
int64_t workspace_of(int engine) { return 1001 + 512 * engine; }

/* As real engines: no different padding at the two ends, no mirrored filters; bfloat16 from sm_80 on. */
bool engine_takes(const Descriptor &graph) {
  for (auto &operation : operations(graph)) {
    if (!is_convolution(*operation)) {
      if (operation->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return false;
      continue;
    }
    Convolution c(*operation);
    if (c.pre != c.post) return false;
    if (c.x.type == CUDA_R_16BF && architecture() < 80) return false;
    if (c.pre.size() < 2) return false;
  }
  return true;
}

cudnnStatus_t run_plan(cudaStream_t stream, const Descriptor &plan, const Descriptor &arguments) {
  Run run = {plan.engine, {}, {}};
  auto ids = arguments.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto pointers = arguments.all<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  for (size_t i = 0; i < ids.size(); i++) run.arguments[ids[i]] = {pointers[i]};
  if (cudnnStatus_t s = check_run(run, *plan.graph)) return s;
  void *workspace = nullptr;
  int64_t bytes = workspace_of(plan.engine);
  if (arguments.has(CUDNN_ATTR_VARIANT_PACK_WORKSPACE))
    workspace = arguments.get<void *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (workspace == nullptr || uintptr_t(workspace) % 16 != 0)
    return refuse(CUDNN_STATUS_BAD_PARAM, "a workspace of %lld bytes, aligned to 16, is needed",
                  (long long)bytes);
  if (overlaps(run, workspace, bytes)) return CUDNN_STATUS_EXECUTION_FAILED;
  auto graph = plan.graph;
  cudaError_t e = enqueue(stream, "cudnnBackendExecute", [run, graph, workspace, bytes] {
    void *w = device_bytes(workspace, size_t(bytes), Access::write, "cudnn workspace");
    if (w == nullptr) return;
    memset(w, 0xAB, size_t(bytes));
    Run now = run;
    for (auto &operation : operations(*graph))
      is_convolution(*operation) ? run_convolution(now, *operation)
                                 : run_pointwise(now, *operation);
  });
  if (e != cudaSuccess) return refuse(CUDNN_STATUS_EXECUTION_FAILED, "%s", cudaGetErrorName(e));
  return CUDNN_STATUS_SUCCESS;
}

} // namespace cudasim

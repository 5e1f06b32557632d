/* Captures, graphs, and what may not be done during a capture. */
#include "test.h"

namespace {

void begin(cudaStream_t s, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
  CUDA(cudaStreamBeginCapture(s, mode));
}

cudaGraph_t end(cudaStream_t s) {
  cudaGraph_t g;
  CUDA(cudaStreamEndCapture(s, &g));
  return g;
}

cudaGraphExec_t instance(cudaGraph_t g) {
  cudaGraphExec_t x;
  CUDA(cudaGraphInstantiate(&x, g, 0));
  return x;
}

void replay() {
  cudaStream_t s = new_stream();
  auto *a = static_cast<char *>(device_block(64)), *b = static_cast<char *>(device_block(64));
  CUDA(cudaMemset(b, 0, 64));
  begin(s);
  CUDA(cudaMemcpyAsync(b, a, 64, cudaMemcpyDeviceToDevice, s));
  cudaGraph_t g = end(s);
  cudaGraphExec_t x = instance(g);
  CUDA(cudaGraphDestroy(g));
  CHECK(download(b, 64)[0] == 0); /* a capture runs nothing */
  for (char i = 1; i < 4; i++) {
    CUDA(cudaMemsetAsync(a, i, 64, s));
    CUDA(cudaGraphLaunch(x, s));
    CUDA(cudaStreamSynchronize(s));
    CHECK(download(b, 64)[63] == i);
  }
  CUDA(cudaGraphExecDestroy(x));
  CHECK(cvsim_live("graph") == 0);
}

/* A branch on a second stream, with its join if wanted. */
void branch(bool fork_waits, bool joins) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t fork = new_event(), join = new_event(), other = new_event();
  auto *a = static_cast<char *>(device_block(64)), *b = static_cast<char *>(device_block(64));
  begin(s);
  CUDA(cudaEventRecord(other, s));
  CUDA(cudaMemsetAsync(a, 3, 64, s));
  CUDA(cudaEventRecord(fork, s));
  CUDA(cudaStreamWaitEvent(t, fork_waits ? fork : other, 0));
  CUDA(cudaMemcpyAsync(b, a, 64, cudaMemcpyDeviceToDevice, t));
  CUDA(cudaEventRecord(join, t));
  if (joins) CUDA(cudaStreamWaitEvent(s, join, 0));
  cudaGraph_t g;
  if (!joins) return CUDA_IS(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(s, &g));
  cudaGraphExec_t x = instance(end(s));
  for (int i = 0; i < 3; i++) CUDA(cudaGraphLaunch(x, s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(download(b, 64)[63] == 3);
}

void branches() { branch(true, true); }
void unjoined() { branch(true, false); }
void missing_wait_in_graph() { branch(false, true); }

/* What a capture refuses, and that it is spoilt by that. */
template <class Call> void refused(Call call, cudaError_t error) {
  cudaStream_t s = new_stream();
  cudaGraph_t g;
  void *d = device_block(64);
  begin(s);
  CUDA(cudaMemsetAsync(d, 0, 64, s));
  CUDA_IS(error, call(s));
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaMemsetAsync(d, 0, 64, s));
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(s, &g));
  CHECK(g == nullptr);
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaGetLastError());
  CUDA(cudaMemsetAsync(d, 0, 64, s)); /* the stream is as before */
  CUDA(cudaStreamSynchronize(s));
}

void malloc_in_capture() {
  void *p;
  refused([&](cudaStream_t) { return cudaMalloc(&p, 64); }, cudaErrorStreamCaptureUnsupported);
}

void free_in_capture() {
  void *p = device_block(64);
  refused([p](cudaStream_t) { return cudaFree(p); }, cudaErrorStreamCaptureUnsupported);
}

void sync_in_capture() { refused(cudaStreamSynchronize, cudaErrorStreamCaptureUnsupported); }

void copy_in_capture() {
  void *p = device_block(64);
  char h[64];
  refused([&](cudaStream_t) { return cudaMemcpy(h, p, 64, cudaMemcpyDeviceToHost); },
          cudaErrorStreamCaptureUnsupported);
}

void pageable_copy_in_capture() {
  void *p = device_block(64);
  char h[64] = {};
  refused([&](cudaStream_t s) { return cudaMemcpyAsync(p, h, 64, cudaMemcpyHostToDevice, s); },
          cudaErrorStreamCaptureUnsupported);
}

/* What waits for the captured stream is refused in every mode. */
template <class Call> void refused_relaxed(Call call) {
  cudaStream_t s = new_stream();
  cudaGraph_t g;
  void *d = device_block(64);
  begin(s, cudaStreamCaptureModeRelaxed);
  CUDA(cudaMemsetAsync(d, 0, 64, s));
  CUDA_IS(cudaErrorStreamCaptureUnsupported, call(s));
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(s, &g));
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaGetLastError());
  CUDA(cudaMemsetAsync(d, 0, 64, s));
  CUDA(cudaStreamSynchronize(s));
}

void waiting_in_relaxed_mode() {
  refused_relaxed(cudaStreamSynchronize);
  refused_relaxed(cudaStreamQuery);
  refused_relaxed([](cudaStream_t) { return cudaDeviceSynchronize(); });
}

void pageable_copy_in_relaxed_mode() {
  void *p = device_block(64);
  char h[64] = {};
  refused_relaxed(
      [&](cudaStream_t s) { return cudaMemcpyAsync(p, h, 64, cudaMemcpyHostToDevice, s); });
  refused_relaxed(
      [&](cudaStream_t s) { return cudaMemcpyAsync(h, p, 64, cudaMemcpyDeviceToHost, s); });
}

void other_stream_in_relaxed_mode() {
  cudaStream_t s = new_stream(), t = new_stream();
  void *d = device_block(64);
  begin(s, cudaStreamCaptureModeRelaxed);
  CUDA(cudaMemsetAsync(d, 0, 64, s));
  CUDA(cudaStreamSynchronize(t));
  CUDA(cudaGraphDestroy(end(s)));
}

void pinned_in_capture() {
  void *p;
  refused([&](cudaStream_t) { return cudaMallocHost(&p, 64); }, cudaErrorStreamCaptureUnsupported);
}

void event_from_outside() {
  cudaEvent_t e = new_event();
  CUDA(cudaEventRecord(e, new_stream()));
  refused([e](cudaStream_t s) { return cudaStreamWaitEvent(s, e, 0); },
          cudaErrorStreamCaptureIsolation);
}

void query_captured_event() {
  cudaEvent_t e = new_event();
  refused(
      [e](cudaStream_t s) {
        CUDA(cudaEventRecord(e, s));
        return cudaEventQuery(e);
      },
      cudaErrorCapturedEvent);
}

void default_stream_in_capture() {
  cudaStream_t s;
  cudaGraph_t g;
  CUDA(cudaStreamCreate(&s)); /* a blocking stream */
  void *d = device_block(64);
  begin(s);
  CUDA_IS(cudaErrorStreamCaptureImplicit, cudaMemsetAsync(d, 0, 64, nullptr));
  CUDA_IS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(s, &g));
}

void relaxed_mode() {
  cudaStream_t s = new_stream();
  void *p;
  begin(s, cudaStreamCaptureModeRelaxed);
  CUDA(cudaMalloc(&p, 64));
  CUDA(cudaMemsetAsync(p, 0, 64, s));
  CUDA(cudaGraphLaunch(instance(end(s)), s));
  CUDA(cudaStreamSynchronize(s));
}

void wrong_calls() {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaGraph_t g;
  CUDA_IS(cudaErrorStreamCaptureUnsupported,
          cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal));
  CUDA_IS(cudaErrorIllegalState, cudaStreamEndCapture(s, &g));
  begin(s);
  CUDA_IS(cudaErrorIllegalState, cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  cudaEvent_t e = new_event();
  CUDA(cudaEventRecord(e, s));
  CUDA(cudaStreamWaitEvent(t, e, 0));
  CUDA_IS(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(t, &g));
}

void update() {
  cudaStream_t s = new_stream();
  auto *a = static_cast<char *>(device_block(64));
  auto capture = [&](int byte, int times) {
    begin(s);
    for (int i = 0; i < times; i++) CUDA(cudaMemsetAsync(a, byte, 64, s));
    return end(s);
  };
  cudaGraphExec_t x = instance(capture(1, 1));
  cudaGraphExecUpdateResultInfo info;
  CUDA(cudaGraphExecUpdate(x, capture(2, 1), &info));
  CUDA(cudaGraphLaunch(x, s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(download(a, 1)[0] == 2);
  CUDA_IS(cudaErrorGraphExecUpdateFailure, cudaGraphExecUpdate(x, capture(2, 2), &info));
  CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
}

/* The graph keeps the address of memory that is gone. */
void freed_under_graph() {
  cudaStream_t s = new_stream();
  void *a = device_block(64);
  begin(s);
  CUDA(cudaMemsetAsync(a, 0, 64, s));
  cudaGraphExec_t x = instance(end(s));
  CUDA(cudaFree(a));
  CUDA(cudaGraphLaunch(x, s));
  cudaStreamSynchronize(s);
}

/* The same address, but somebody else's memory. */
void reused_under_graph() {
  constexpr size_t kBytes = 80u << 20; /* more than the simulator keeps of what was freed */
  cudaStream_t s = new_stream();
  void *a = device_block(kBytes);
  begin(s);
  CUDA(cudaMemsetAsync(a, 0, 64, s));
  cudaGraphExec_t x = instance(end(s));
  CUDA(cudaGraphLaunch(x, s));
  CUDA(cudaStreamSynchronize(s));
  CUDA(cudaFree(a));
  CHECK(device_block(kBytes) == a);
  CUDA(cudaGraphLaunch(x, s));
  cudaStreamSynchronize(s);
}

const Cases all({
    {"replay", replay, nullptr, nullptr},
    {"branches", branches, nullptr, nullptr},
    {"unjoined branch", unjoined, nullptr, nullptr},
    {"missing wait in a graph", missing_wait_in_graph, "stream order:", nullptr},
    {"malloc in capture", malloc_in_capture, nullptr, nullptr},
    {"free in capture", free_in_capture, nullptr, nullptr},
    {"synchronise in capture", sync_in_capture, nullptr, nullptr},
    {"copy in capture", copy_in_capture, nullptr, nullptr},
    {"pageable copy in capture", pageable_copy_in_capture, nullptr, nullptr},
    {"pinned allocation in capture", pinned_in_capture, nullptr, nullptr},
    {"event from outside", event_from_outside, nullptr, nullptr},
    {"query of a captured event", query_captured_event, nullptr, nullptr},
    {"default stream in capture", default_stream_in_capture, nullptr, nullptr},
    {"relaxed mode", relaxed_mode, nullptr, nullptr},
    {"wrong calls", wrong_calls, nullptr, nullptr},
    {"update", update, nullptr, nullptr},
    {"waiting in relaxed mode", waiting_in_relaxed_mode, nullptr, nullptr},
    {"pageable copy in relaxed mode", pageable_copy_in_relaxed_mode, nullptr, nullptr},
    {"another stream in relaxed mode", other_stream_in_relaxed_mode, nullptr, nullptr},
    {"reused under a graph", reused_under_graph, "allocated again since", nullptr},
    {"freed under a graph", freed_under_graph, "do not lie in one live allocation", nullptr},
});

} // namespace

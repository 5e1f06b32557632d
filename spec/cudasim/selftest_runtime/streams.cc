/* Streams, events, and what must be ordered by them. */
#include "test.h"

namespace {

/* Two streams that share a buffer; `order` is what stands between them. */
template <class Order> void hand_over(Order order) {
  cudaStream_t s = new_stream(), t = new_stream();
  auto *a = static_cast<char *>(device_block(1000)), *b = static_cast<char *>(device_block(1000));
  CUDA(cudaMemsetAsync(a, 5, 1000, s));
  order(s, t);
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, t));
  CUDA(cudaDeviceSynchronize());
  CHECK(download(b, 1000)[999] == 5);
}

void event_orders() {
  hand_over([](cudaStream_t s, cudaStream_t t) {
    cudaEvent_t e = new_event();
    CUDA(cudaEventRecord(e, s));
    CUDA(cudaStreamWaitEvent(t, e, 0));
    CUDA(cudaEventDestroy(e)); /* the wait stays */
  });
}

void host_orders() {
  hand_over([](cudaStream_t s, cudaStream_t) { CUDA(cudaStreamSynchronize(s)); });
}

void event_query_orders() {
  hand_over([](cudaStream_t s, cudaStream_t) {
    cudaEvent_t e = new_event();
    CUDA(cudaEventRecord(e, s));
    while (cudaEventQuery(e) == cudaErrorNotReady) (void)cudaGetLastError();
  });
}

void missing_wait() {
  hand_over([](cudaStream_t, cudaStream_t) {});
}

void recorded_too_early() {
  cudaEvent_t e = new_event();
  cudaStream_t s = new_stream(), t = new_stream();
  void *a = device_block(1000), *b = device_block(1000);
  CUDA(cudaEventRecord(e, s));
  CUDA(cudaMemsetAsync(a, 5, 1000, s));
  CUDA(cudaStreamWaitEvent(t, e, 0));
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, t));
  CUDA(cudaDeviceSynchronize());
}

/* The event is recorded again, for other work, before the wait. */
void recorded_elsewhere() {
  cudaEvent_t e = new_event();
  cudaStream_t s = new_stream(), t = new_stream(), u = new_stream();
  void *a = device_block(1000), *b = device_block(1000);
  CUDA(cudaMemsetAsync(a, 5, 1000, s));
  CUDA(cudaEventRecord(e, s));
  CUDA(cudaEventRecord(e, u));
  CUDA(cudaStreamWaitEvent(t, e, 0));
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, t));
  CUDA(cudaDeviceSynchronize());
}

/* Read by one stream, written by another that does not wait. */
void overwritten_while_read() {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a = device_block(1000), *b = device_block(1000);
  CUDA(cudaMemset(a, 1, 1000));
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, s));
  CUDA(cudaMemsetAsync(a, 2, 1000, t));
  CUDA(cudaDeviceSynchronize());
}

void freed_on_another_stream() {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a;
  CUDA(cudaMallocAsync(&a, 1000, s));
  CUDA(cudaMemsetAsync(a, 1, 1000, s));
  CUDA(cudaFreeAsync(a, t));
  CUDA(cudaDeviceSynchronize());
}

void used_before_allocated() {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a;
  CUDA(cudaMallocAsync(&a, 1000, s));
  CUDA(cudaMemsetAsync(a, 1, 1000, t));
  CUDA(cudaDeviceSynchronize());
}

void asynchronous_allocation() {
  cudaStream_t s = new_stream();
  for (int i = 0; i < 10; i++) {
    void *a;
    CUDA(cudaMallocAsync(&a, 1000, s));
    CUDA(cudaMemsetAsync(a, 1, 1000, s));
    CUDA(cudaFreeAsync(a, s));
  }
  CUDA(cudaStreamSynchronize(s));
  CHECK(cvsim_live("device") == 0);
}

/* Blocking streams are ordered with the default stream. */
void default_stream_orders() {
  cudaStream_t s;
  CUDA(cudaStreamCreate(&s));
  auto *a = static_cast<char *>(device_block(1000)), *b = static_cast<char *>(device_block(1000));
  CUDA(cudaMemsetAsync(a, 5, 1000, s));
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, nullptr));
  CUDA(cudaMemsetAsync(b, 6, 500, s));
  CUDA(cudaDeviceSynchronize());
  CHECK(download(b, 1000)[0] == 6 && download(b, 1000)[999] == 5);
}

void default_stream_does_not_order() {
  void *a = device_block(1000), *b = device_block(1000);
  CUDA(cudaMemsetAsync(a, 5, 1000, new_stream()));
  CUDA(cudaMemcpyAsync(b, a, 1000, cudaMemcpyDeviceToDevice, nullptr));
  CUDA(cudaDeviceSynchronize());
}

void destroyed_stream() {
  cudaStream_t s = new_stream();
  CUDA(cudaStreamDestroy(s));
  cudaStreamSynchronize(s);
}

void destroyed_event() {
  cudaEvent_t e = new_event();
  CUDA(cudaEventDestroy(e));
  cudaEventRecord(e, nullptr);
}

void many_streams() { /* more than the order keeps apart */
  auto *a = static_cast<char *>(device_block(1000));
  cudaStream_t last = new_stream();
  CUDA(cudaMemsetAsync(a, 1, 1000, last));
  for (int i = 0; i < 40; i++) {
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event();
    CUDA(cudaEventRecord(e, last));
    CUDA(cudaStreamWaitEvent(s, e, 0));
    CUDA(cudaMemsetAsync(a, i, 1000, s));
    last = s;
  }
  CUDA(cudaStreamSynchronize(last));
  CHECK(download(a, 1)[0] == 39);
}

void timing() {
  cudaEvent_t a, b;
  float ms = -1;
  cudaStream_t s = new_stream();
  CUDA(cudaEventCreate(&a));
  CUDA(cudaEventCreate(&b));
  CUDA(cudaEventRecord(a, s));
  CUDA(cudaMemsetAsync(device_block(1000), 1, 1000, s));
  CUDA(cudaEventRecord(b, s));
  CUDA(cudaEventSynchronize(b));
  CUDA(cudaEventElapsedTime(&ms, a, b));
  CHECK(ms >= 0);
  CUDA(cudaEventRecord(new_event(), s));
  CUDA_IS(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, a, new_event()));
}

const char *const kOrder = "stream order:";

const Cases all({
    {"an event orders", event_orders, nullptr, nullptr},
    {"the host orders", host_orders, nullptr, nullptr},
    {"a query orders", event_query_orders, nullptr, nullptr},
    {"missing wait", missing_wait, kOrder, nullptr},
    {"event recorded too early", recorded_too_early, kOrder, nullptr},
    {"event recorded elsewhere", recorded_elsewhere, kOrder, nullptr},
    {"overwritten while read", overwritten_while_read, kOrder, nullptr},
    {"freed on another stream", freed_on_another_stream, "", nullptr},
    {"used before allocated", used_before_allocated, kOrder, nullptr},
    {"asynchronous allocation", asynchronous_allocation, nullptr, nullptr},
    {"the default stream orders", default_stream_orders, nullptr, nullptr},
    {"not non-blocking streams", default_stream_does_not_order, kOrder, nullptr},
    {"destroyed stream", destroyed_stream, "does not exist, or was destroyed", nullptr},
    {"destroyed event", destroyed_event, "does not exist, or was destroyed", nullptr},
    {"many streams", many_streams, nullptr, nullptr},
    {"timing", timing, nullptr, nullptr},
});

} // namespace

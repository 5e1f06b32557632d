/*
** cudaMemcpy and cudaMemset. Copies from memory that is not pinned are staged when they are asked for,
** those into it come back done, as on hardware; only pinned memory is used later, and guarded until then.
*/
#include <cstring>

#include "graph.h"
#include "memory.h"
#include "stream.h"

using namespace cudasim;

namespace {

bool to_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}

bool from_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

cudaMemcpyKind kind_of(const void *dst, const void *src) {
  if (is_device_pointer(dst))
    return is_device_pointer(src) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
  return is_device_pointer(src) ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
}

/* One end of a copy. */
struct End {
  char *p;
  bool device, pinned;
  std::shared_ptr<std::vector<char>> staged; /* the bytes as they were, for a pageable source */

  char *bytes(size_t n, Access access, const char *what) const {
    if (device || pinned) return static_cast<char *>(bytes_on(kAnyDevice, p, n, access, what));
    return staged != nullptr ? staged->data() : p;
  }
};

cudaError_t copy(void *dst, const void *src, size_t n, cudaMemcpyKind kind, cudaStream_t stream,
                 bool synchronous, const char *call) {
  CUstream_st *s = stream_of(stream, call);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  if (kind == cudaMemcpyDefault) kind = kind_of(dst, src);
  if (to_device(kind) != is_device_pointer(dst) || from_device(kind) != is_device_pointer(src)) {
    violation("%s: the direction is %s to %s, the pointers are %s %p and %s %p", call,
              from_device(kind) ? "device" : "host", to_device(kind) ? "device" : "host",
              is_device_pointer(src) ? "device" : "host", src,
              is_device_pointer(dst) ? "device" : "host", dst);
    return cudaErrorInvalidValue;
  }
  if (n == 0) return cudaSuccess;
  End to = {static_cast<char *>(dst), is_device_pointer(dst), is_pinned(dst, n), nullptr};
  End from = {static_cast<char *>(const_cast<void *>(src)), is_device_pointer(src),
              is_pinned(src, n), nullptr};
  bool pageable_source = !from.device && !from.pinned, pageable_target = !to.device && !to.pinned;
  if (s->capture != nullptr && (pageable_source || pageable_target))
    return refuse_for_stream(s, call); /* it would have to wait */
  if (pageable_source) from.staged = std::make_shared<std::vector<char>>(from.p, from.p + n);
  Work work;
  work.name = call;
  if (to.pinned) work.host.push_back({uintptr_t(dst), n, true});
  if (from.pinned) work.host.push_back({uintptr_t(src), n, false});
  work.run = [to, from, n, call] {
    const char *source = from.bytes(n, Access::read, "source of a copy");
    char *target = to.bytes(n, Access::write, "target of a copy");
    if (source != nullptr && target != nullptr) memmove(target, source, n);
  };
  if (cudaError_t e = enqueue(s, std::move(work))) return e;
  if (synchronous || pageable_target) synchronize(s);
  return sticky_error();
}

cudaError_t fill(void *p, int byte, size_t n, cudaStream_t stream, const char *call) {
  if (n == 0) return cudaSuccess;
  if (!is_device_pointer(p) && !is_pinned(p, n)) {
    violation("%s: %p is not device memory", call, p);
    return cudaErrorInvalidValue;
  }
  return enqueue(stream, call, [=] {
    if (void *bytes = device_bytes(p, n, Access::write, call)) memset(bytes, byte, n);
  });
}

} // namespace

CUDASIM_EXPORT cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n,
                                           cudaMemcpyKind kind, cudaStream_t stream) {
  CUDASIM_CALL();
  return failed(copy(dst, src, n, kind, stream, false, __func__));
}

CUDASIM_EXPORT cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, cudaMemcpyKind kind) {
  CUDASIM_CALL();
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  return failed(copy(dst, src, n, kind, nullptr, true, __func__));
}

CUDASIM_EXPORT cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t stream) {
  CUDASIM_CALL();
  return failed(fill(p, byte, n, stream, __func__));
}

CUDASIM_EXPORT cudaError_t cudaMemset(void *p, int byte, size_t n) {
  CUDASIM_CALL();
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  return failed(fill(p, byte, n, nullptr, __func__));
}

/*
** cudaMalloc, cudaFree and their kin.
*/
#include "memory.h"
#include "stream.h"

using namespace cudasim;

namespace {

cudaError_t new_block(void **out, size_t bytes, int device, Kind kind) {
  if (out == nullptr) return cudaErrorInvalidValue;
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  uintptr_t base = allocate(device, bytes);
  if (base == 0) return cudaErrorMemoryAllocation;
  *out = reinterpret_cast<void *>(base);
  born(kind, *out, bytes);
  return cudaSuccess;
}

/* The live allocation that begins at p; NULL, after a violation, when none does. */
const Allocation *block_at(const void *p, bool pinned, const char *call) {
  const Allocation *a = allocation_at(uintptr_t(p));
  if (a == nullptr || a->base != uintptr_t(p)) {
    violation("%s: %p is not the start of a live allocation: freed before, or never allocated",
              call, p);
    return nullptr;
  }
  if ((a->device == kPinned) == pinned) return a;
  violation("%s: %p is %s memory", call, p, pinned ? "device" : "pinned host");
  return nullptr;
}

void free_block(void *p, Kind kind) {
  died(kind, p);
  release(uintptr_t(p));
}

} // namespace

CUDASIM_EXPORT cudaError_t cudaMalloc(void **out, size_t bytes) {
  CUDASIM_CALL_OR(cudaErrorMemoryAllocation);
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  return failed(new_block(out, bytes, current_device(), Kind::device));
}

/* Waits for the device, as cudaFree does. */
CUDASIM_EXPORT cudaError_t cudaFree(void *p) {
  CUDASIM_CALL();
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  if (p == nullptr) return cudaSuccess;
  const Allocation *a = block_at(p, false, __func__);
  if (a == nullptr) return failed(cudaErrorInvalidValue);
  synchronize_device(a->device);
  free_block(p, Kind::device);
  return failed(sticky_error());
}

/* The memory can be used at once on this stream, and on others once they are ordered behind it. */
CUDASIM_EXPORT cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream) {
  CUDASIM_CALL_OR(cudaErrorMemoryAllocation);
  if (unknown_stream(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (is_capturing(stream)) return failed(cudaErrorNotSupported); /* memory nodes: not simulated */
  if (cudaError_t e = new_block(out, bytes, device_of(stream), Kind::device)) return failed(e);
  void *p = *out;
  if (p == nullptr) return cudaSuccess;
  return failed(enqueue(stream, "cudaMallocAsync",
                        [p, bytes] { device_bytes(p, bytes, Access::write, "cudaMallocAsync"); }));
}

CUDASIM_EXPORT cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) {
  CUDASIM_CALL();
  if (is_capturing(stream)) return failed(cudaErrorNotSupported);
  if (p == nullptr) return cudaSuccess;
  const Allocation *a = block_at(p, false, __func__);
  if (a == nullptr) return failed(cudaErrorInvalidValue);
  size_t bytes = a->bytes;
  return failed(enqueue(stream, "cudaFreeAsync", [p, bytes] {
    if (device_bytes(p, bytes, Access::write, "cudaFreeAsync") != nullptr)
      free_block(p, Kind::device);
  }));
}

CUDASIM_EXPORT cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
  CUDASIM_CALL_OR(cudaErrorMemoryAllocation);
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  return failed(new_block(out, bytes, kPinned, Kind::pinned));
}

CUDASIM_EXPORT cudaError_t cudaMallocHost(void **out, size_t bytes) {
  CUDASIM_CALL_OR(cudaErrorMemoryAllocation);
  return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

CUDASIM_EXPORT cudaError_t cudaFreeHost(void *p) {
  CUDASIM_CALL();
  if (cudaError_t e = refuse_in_capture(__func__)) return failed(e);
  if (p == nullptr) return cudaSuccess;
  if (block_at(p, true, __func__) == nullptr) return failed(cudaErrorInvalidValue);
  for (int d = 0; d < device_count(); d++) synchronize_device(d);
  free_block(p, Kind::pinned);
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  CUDASIM_CALL();
  *free_bytes = bytes_free(current_device());
  *total = bytes_total();
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *p) {
  CUDASIM_CALL();
  const Allocation *a = allocation_at(uintptr_t(p));
  *out = {};
  out->type = a == nullptr           ? cudaMemoryTypeUnregistered
              : a->device == kPinned ? cudaMemoryTypeHost
                                     : cudaMemoryTypeDevice;
  out->device = a == nullptr || a->device == kPinned ? current_device() : a->device;
  if (a == nullptr || a->device != kPinned) out->devicePointer = a != nullptr ? (void *)p : nullptr;
  if (a == nullptr || a->device == kPinned) out->hostPointer = (void *)p;
  return cudaSuccess;
}

/* Pools: one for each device, with nothing to set that would make a difference here. */

CUDASIM_EXPORT cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
  CUDASIM_CALL();
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  *pool = reinterpret_cast<cudaMemPool_t>(uintptr_t(device) + 1);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void *) {
  CUDASIM_CALL();
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  CUDASIM_CALL();
  return cudaSuccess;
}

/*
** The GPUs there are, what they can do, and the names of errors.
*/
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim.h"
#include "stream.h"

namespace cudasim {

namespace {

thread_local int device_of_thread;

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

/* Those that the simulator returns. */
#define ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    ERROR(cudaSuccess, "no error"),
    ERROR(cudaErrorInvalidValue, "invalid argument"),
    ERROR(cudaErrorMemoryAllocation, "out of memory"),
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR(cudaErrorNotReady, "device not ready"),
    ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR(cudaErrorNotSupported, "operation not supported"),
    ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR(cudaErrorStreamCaptureInvalidated,
          "operation failed due to a previous error during capture"),
    ERROR(cudaErrorStreamCaptureMerge,
          "operation would result in a merge of separate capture sequences"),
    ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR(cudaErrorStreamCaptureIsolation,
          "dependency created on uncaptured work in another stream"),
    ERROR(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR(cudaErrorCapturedEvent,
          "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(cudaErrorStreamCaptureWrongThread,
          "attempt to terminate a thread-local capture sequence from another thread"),
    ERROR(
        cudaErrorGraphExecUpdateFailure,
        "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update"),
    ERROR(cudaErrorUnknown, "unknown error"),
};
#undef ERROR

const ErrorText *find_error(cudaError_t error) {
  for (const ErrorText &e : kErrors)
    if (e.error == error) return &e;
  return nullptr;
}

} // namespace

int device_count() {
  static int n = int(setting("CVSIM_DEVICES", 2L));
  return n;
}

int current_device() { return device_of_thread; }

void set_current_device(int device) { device_of_thread = device; }

int architecture() {
  static int arch = [] {
    std::string s = setting("CVSIM_ARCH", "90");
    if (s.rfind("sm_", 0) == 0) s = s.substr(3);
    int n = atoi(s.c_str());
    if (n == 75 || n == 80 || n == 90) return n;
    fprintf(stderr, "cudasim: CVSIM_ARCH=%s is none of 75, 80, 90\n", s.c_str());
    abort();
  }();
  return arch;
}

/* KiB that one block may have, after cudaFuncSetAttribute: table "Technical Specifications per
** Compute Capability" of the CUDA C++ Programming Guide. */
size_t shared_memory_limit() {
  return size_t(architecture() == 75 ? 64 : architecture() == 80 ? 163 : 227) << 10;
}

} // namespace cudasim

using namespace cudasim;

/* Without a device, and without a driver, these two say so; they cannot go through Call. */
CUDASIM_EXPORT cudaError_t cudaGetDeviceCount(int *count) {
  std::lock_guard<std::recursive_mutex> held(lock());
  *count = 0;
  if (injected(__func__)) return failed(cudaErrorUnknown);
  if (setting("CVSIM_DRIVER", 1L) == 0) return failed(cudaErrorInsufficientDriver);
  *count = device_count();
  return failed(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

CUDASIM_EXPORT cudaError_t cudaDriverGetVersion(int *version) {
  *version = setting("CVSIM_DRIVER", 1L) != 0 ? CUDART_VERSION : 0;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaSetDevice(int device) {
  CUDASIM_CALL();
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  set_current_device(device);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGetDevice(int *device) {
  CUDASIM_CALL();
  *device = current_device();
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute,
                                                  int device) {
  CUDASIM_CALL();
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  switch (attribute) {
  case cudaDevAttrComputeCapabilityMajor:
    *value = architecture() / 10;
    break;
  case cudaDevAttrComputeCapabilityMinor:
    *value = architecture() % 10;
    break;
  case cudaDevAttrMultiProcessorCount:
    *value = 4;
    break;
  case cudaDevAttrMaxThreadsPerMultiProcessor:
    *value = architecture() == 75 ? 1024 : 2048;
    break;
  case cudaDevAttrMaxThreadsPerBlock:
    *value = 1024;
    break;
  case cudaDevAttrMaxBlockDimX:
  case cudaDevAttrMaxBlockDimY:
    *value = 1024;
    break;
  case cudaDevAttrMaxBlockDimZ:
    *value = 64;
    break;
  case cudaDevAttrMaxGridDimX:
    *value = 2147483647;
    break;
  case cudaDevAttrMaxGridDimY:
  case cudaDevAttrMaxGridDimZ:
    *value = 65535;
    break;
  case cudaDevAttrWarpSize:
    *value = 32;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlock:
    *value = 48 << 10;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *value = int(shared_memory_limit());
    break;
  case cudaDevAttrMaxRegistersPerBlock:
    *value = 65536;
    break;
  case cudaDevAttrClockRate:
    *value = 1000000;
    break; /* kHz */
  case cudaDevAttrMemoryClockRate:
    *value = 1000000;
    break; /* kHz */
  case cudaDevAttrGlobalMemoryBusWidth:
    *value = 256;
    break; /* bits */
  case cudaDevAttrUnifiedAddressing:
  case cudaDevAttrConcurrentKernels:
  case cudaDevAttrMemoryPoolsSupported:
    *value = 1;
    break;
  case cudaDevAttrIntegrated:
    *value = 0;
    break;
  default:
    fprintf(stderr, "cudasim: device attribute %d is not simulated\n", int(attribute));
    return failed(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device) {
  CUDASIM_CALL();
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  *out = {};
  snprintf(out->name, sizeof out->name, "Simulated GPU (sm_%d)", architecture());
  out->major = architecture() / 10;
  out->minor = architecture() % 10;
  out->totalGlobalMem = bytes_total();
  out->multiProcessorCount = 4;
  out->maxThreadsPerMultiProcessor = architecture() == 75 ? 1024 : 2048;
  out->maxThreadsPerBlock = 1024;
  out->maxThreadsDim[0] = out->maxThreadsDim[1] = 1024;
  out->maxThreadsDim[2] = 64;
  out->maxGridSize[0] = 2147483647;
  out->maxGridSize[1] = out->maxGridSize[2] = 65535;
  out->warpSize = 32;
  out->sharedMemPerBlock = 48 << 10;
  out->sharedMemPerBlockOptin = shared_memory_limit();
  out->regsPerBlock = 65536;
  out->memoryPoolsSupported = 1;
  out->unifiedAddressing = 1;
  out->pciBusID = device + 1;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) {
  CUDASIM_CALL();
  *can = 0;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device) {
  CUDASIM_CALL();
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  snprintf(id, size_t(bytes), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

CUDASIM_EXPORT const char *cudaGetErrorName(cudaError_t error) {
  const ErrorText *e = find_error(error);
  return e != nullptr ? e->name : "cudaErrorUnknown";
}

CUDASIM_EXPORT const char *cudaGetErrorString(cudaError_t error) {
  const ErrorText *e = find_error(error);
  return e != nullptr ? e->text : "unrecognized error code";
}

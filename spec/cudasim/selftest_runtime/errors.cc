/* Devices, errors that are wanted, and errors that stay. */
#include "test.h"

#include <cstring>
#include <string>

namespace {

void nth_call_fails() {
  void *p;
  CUDA(cudaMalloc(&p, 8));
  CUDA_IS(cudaErrorMemoryAllocation, cudaMalloc(&p, 8));
  CHECK(p != nullptr);
  CUDA(cudaMalloc(&p, 8));
  CUDA_IS(cudaErrorMemoryAllocation, cudaGetLastError());
}

void failures_from_within() {
  cudaStream_t s = new_stream();
  cvsim_calls(nullptr);
  cvsim_fail("cudaStreamSynchronize", 1);
  CUDA_IS(cudaErrorUnknown, cudaStreamSynchronize(s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(cvsim_calls("cudaStreamSynchronize") == 2);
  CHECK(std::string(cvsim_call_name(0)) == "cudaStreamSynchronize" &&
        cvsim_call_name(1) == nullptr);
}

/* Work that fails shows at the next synchronisation, and for ever. */
void execution_fails() {
  void *p = device_block(64);
  CUDA(cudaDeviceSynchronize());
  cvsim_fail("execution", 1);
  cudaMemsetAsync(p, 0, 64, nullptr);
  CUDA_IS(cudaErrorLaunchFailure, cudaDeviceSynchronize());
  CUDA_IS(cudaErrorLaunchFailure, cudaMalloc(&p, 8));
  CUDA_IS(cudaErrorLaunchFailure, cudaGetLastError());
  CUDA_IS(cudaErrorLaunchFailure, cudaGetLastError());
}

void violation_loses_context() {
  void *p = device_block(64);
  cudaMemset(p, 0, 65);
  CUDA_IS(cudaErrorIllegalAddress, cudaDeviceSynchronize());
  CUDA_IS(cudaErrorIllegalAddress, cudaFree(p));
}

void no_driver() {
  int n;
  CUDA_IS(cudaErrorInsufficientDriver, cudaGetDeviceCount(&n));
  CUDA_IS(cudaErrorInsufficientDriver, cudaSetDevice(0));
  CHECK(strcmp(cudaGetErrorName(cudaErrorInsufficientDriver), "cudaErrorInsufficientDriver") == 0);
}

void no_device() {
  int n = 7;
  CUDA_IS(cudaErrorNoDevice, cudaGetDeviceCount(&n));
  CHECK(n == 0);
}

void three_devices() {
  int n, major;
  CUDA(cudaGetDeviceCount(&n));
  CHECK(n == 3);
  CUDA(cudaSetDevice(2));
  CUDA_IS(cudaErrorInvalidDevice, cudaSetDevice(3));
  CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 2));
  CHECK(major == 9);
}

void turing() {
  cudaDeviceProp p;
  CUDA(cudaGetDeviceProperties(&p, 0));
  CHECK(p.major == 7 && p.minor == 5 && p.sharedMemPerBlockOptin == 65536);
}

const Cases all({
    {"the n-th call fails", nth_call_fails, nullptr, "CVSIM_FAIL=cudaMalloc:2"},
    {"failures from within", failures_from_within, nullptr, nullptr},
    {"execution fails", execution_fails, nullptr, nullptr},
    {"a violation loses the context", violation_loses_context, nullptr, "CVSIM_ABORT=0"},
    {"no driver", no_driver, nullptr, "CVSIM_DRIVER=0"},
    {"no device", no_device, nullptr, "CVSIM_DEVICES=0"},
    {"three devices", three_devices, nullptr, "CVSIM_DEVICES=3"},
    {"Turing", turing, nullptr, "CVSIM_ARCH=75"},
});

} // namespace

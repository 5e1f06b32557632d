/*
** The plugin's one door. It says in one sentence why a device cannot be had; otherwise hands out its functions.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/host.h"
#include "cuda/runtime.h"

enum { OLDEST_MAJOR = 7, OLDEST_MINOR = 5 }; /* what CUDA 13 compiles for */

static cvl_device *fail(cvl_err *e, const char *why) {
  cvl_fail(e, CVL_EDEVICE, 0, "%s", why);
  return NULL;
}

/* How many devices there are, or -1. */
static int device_count(cvl_err *e) {
  int n = 0, driver = 0, runtime = 0;
  cudaError_t rc = cudaGetDeviceCount(&n);
  if (rc == cudaSuccess) return n > 0 ? n : cvl_fail(e, CVL_EDEVICE, 0, "there is no NVIDIA GPU");
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (rc == cudaErrorNoDevice) return cvl_fail(e, CVL_EDEVICE, 0, "there is no NVIDIA GPU");
  if (rc == cudaErrorInsufficientDriver && driver == 0)
    return cvl_fail(e, CVL_EDEVICE, 0, "there is no NVIDIA driver (libcuda.so.1)");
  if (rc == cudaErrorInsufficientDriver)
    return cvl_fail(e, CVL_EDEVICE, 0,
                    "the NVIDIA driver supports CUDA %d.%d, and this plugin needs %d.%d",
                    driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  return cvl_fail(e, CVL_EDEVICE, 0, "%s", cudaGetErrorString(rc));
}

static int attribute(int index, enum cudaDeviceAttr what, int *value, cvl_err *e) {
  return CVL_CUDA(e, cudaDeviceGetAttribute(value, what, index));
}

static bool is_set(const char *name, const char *value) {
  const char *v = getenv(name);
  return v != NULL && strcmp(v, value) == 0;
}

static int start(cvl_cuda *d, int index, cvl_err *e) {
  d->index = index;
  d->checked = is_set("CONVLUA_SYNC", "1");
  d->tf32 = is_set("CONVLUA_TF32", "1");
  d->base = (cvl_device){.uncached = is_set("CONVLUA_CUDA_ALLOC", "direct"),
                         .alloc = cvl_cuda_alloc,
                         .free = cvl_cuda_free,
                         .from_host = cvl_cuda_from_host,
                         .to_host = cvl_cuda_to_host,
                         .copy = cvl_cuda_copy,
                         .clear = cvl_cuda_clear,
                         .sync = cvl_cuda_sync,
                         .fill = cvl_cuda_fill,
                         .move = cvl_cuda_move,
                         .begin_recording = cvl_cuda_begin_recording,
                         .end_recording = cvl_cuda_end_recording,
                         .replay = cvl_cuda_replay,
                         .free_recording = cvl_cuda_free_recording,
                         .info = cvl_cuda_info,
                         .tf32 = cvl_cuda_tf32,
                         .kernels = cvl_cuda_kernels,
                         .optim_kernels = cvl_cuda_optim_kernels};
  snprintf(d->base.name, sizeof d->base.name, "cuda:%d", index);
  if (attribute(index, cudaDevAttrComputeCapabilityMajor, &d->major, e) != 0 ||
      attribute(index, cudaDevAttrComputeCapabilityMinor, &d->minor, e) != 0 ||
      attribute(index, cudaDevAttrMultiProcessorCount, &d->multiprocessors, e) != 0)
    return -1;
  if (d->major < OLDEST_MAJOR || (d->major == OLDEST_MAJOR && d->minor < OLDEST_MINOR))
    return cvl_fail(e, CVL_EDEVICE, 0, "its compute capability is %d.%d, and %d.%d is the oldest",
                    d->major, d->minor, OLDEST_MAJOR, OLDEST_MINOR);
  if (cvl_cuda_use(d, e) != 0) return -1;
  return CVL_CUDA(e, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
}

__attribute__((visibility("default"))) cvl_plugin_open_fn cvl_plugin_open;

cvl_device *cvl_plugin_open(int abi, const cvl_host *host, int index, cvl_err *e) {
  cvl_cuda *d;
  int n;
  if (abi != CVL_PLUGIN_ABI) return fail(e, "the plugin and the program are of different versions");
  cvl_cuda_set_host(host);
  if ((n = device_count(e)) < 0) return NULL;
  if (index >= n) {
    cvl_fail(e, CVL_EDEVICE, 0, "there %s %d, counted from 0", n == 1 ? "is" : "are", n);
    return NULL;
  }
  if ((d = calloc(1, sizeof *d)) == NULL) return fail(e, "out of memory");
  if (start(d, index, e) == 0) return &d->base;
  free(d);
  return NULL;
}

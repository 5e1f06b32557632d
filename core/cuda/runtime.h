/*
** The plugin's view of a device: one stream, on which everything is done in order, and the errors of the runtime as ours.
*/
#ifndef CVL_CUDA_RUNTIME_H
#define CVL_CUDA_RUNTIME_H

#include <cuda_runtime_api.h>

#include "device/device.h"
#include "device/recording.h"

enum { CVL_CUDA_SEGMENTS = 8, CVL_CUDA_SEGMENT = 1 << 20 };

/* Pinned memory through which everything between host and device goes; a ring of segments. */
typedef struct cvl_cuda_staging {
  char *memory; /* CVL_CUDA_SEGMENTS of CVL_CUDA_SEGMENT bytes; made at first use */
  int segment;  /* the one in use */
  size_t used;  /* of it */
  cudaEvent_t done[CVL_CUDA_SEGMENTS]; /* the device has read all of a segment that was left */
  bool left[CVL_CUDA_SEGMENTS];
} cvl_cuda_staging;

typedef struct cvl_cuda {
  cvl_device base; /* first: a cvl_device * of this plugin is a cvl_cuda * */
  int index;
  cudaStream_t stream; /* does not wait for the default stream, which nobody uses */
  int major, minor;    /* compute capability */
  int multiprocessors;
  bool checked; /* CONVLUA_SYNC=1: wait after every launch, so that a fault names its op */
  bool tf32;    /* products of float32 may be made from 10 bits of mantissa, on tensor cores */
  cvl_cuda_staging staging;
  struct cvl_cuda_blas *blas; /* blas.c; made at first use, as is the next */
  struct cvl_cuda_dnn *dnn;   /* dnn.c */
} cvl_cuda;

static inline cvl_cuda *cvl_cuda_of(cvl_device *d) { return (cvl_cuda *)d; }

/* 0, or -1 with "CUDA: <text>" where `call` tells which. Errors after which the device is lost say so. */
int cvl_cuda_check(cudaError_t rc, const char *call, cvl_err *e);
#define CVL_CUDA(e, call) cvl_cuda_check((call), #call, (e))

/* Makes the device this thread's current one: before every call of the runtime. */
int cvl_cuda_use(cvl_cuda *d, cvl_err *e);
/* After every launch: what went wrong with it. */
int cvl_cuda_launched(cvl_cuda *d, cvl_err *e);

/* The device's functions; plugin.c puts them into its table. */
void *cvl_cuda_alloc(cvl_device *d, size_t bytes);
void cvl_cuda_free(cvl_device *d, void *p, size_t bytes);
int cvl_cuda_from_host(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
int cvl_cuda_to_host(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
int cvl_cuda_copy(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
int cvl_cuda_clear(cvl_device *d, void *p, size_t bytes, cvl_err *e);
int cvl_cuda_sync(cvl_device *d, cvl_err *e);
int cvl_cuda_fill(cvl_device *d, void *p, const void *value, size_t size, int64_t count,
                  cvl_err *e);
int cvl_cuda_move(cvl_device *d, const struct cvl_loop *l, size_t size, cvl_err *e);
int cvl_cuda_begin_recording(cvl_device *d, cvl_err *e);
void *cvl_cuda_end_recording(cvl_device *d, cvl_err *e);
int cvl_cuda_replay(cvl_device *d, void *work, cvl_err *e);
void cvl_cuda_free_recording(cvl_device *d, void *work);
int cvl_cuda_info(cvl_device *d, cvl_device_info *info, cvl_err *e);
bool cvl_cuda_tf32(cvl_device *d, int on);
const struct cvl_kernels *cvl_cuda_kernels(cvl_device *d, const char *op, int dtype);
const struct cvl_optim_kernels *cvl_cuda_optim_kernels(cvl_device *d, const char *rule, int dtype);

#endif

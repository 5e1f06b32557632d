/*
** Cases for the fake libraries. Each runs in a process of its own, under every schedule. A sound program
** must come to its end; one with a planted bug must be stopped with a violation that names the bug.
*/
#ifndef CUDASIM_SELFTEST_TEST_H
#define CUDASIM_SELFTEST_TEST_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "sim.h"

struct Case {
  const char *name;
  void (*run)();
  const char *violation;   /* a part of its text; NULL: none must be reported */
  const char *environment; /* "NAME=value", or NULL */
};

/* Registers the cases of a file. */
struct Cases {
  explicit Cases(std::vector<Case> list);
};

/* Ends the case with a failure when it does not hold. */
#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

/* Ends the case when a call does not return what is expected. */
template <class Status> void expect(Status got, Status wanted, const char *what, int line) {
  if (got == wanted) return;
  fprintf(stderr, "line %d: %s returned %d, not %d\n", line, what, int(got), int(wanted));
  exit(1);
}
#define CUDA(call) expect((call), cudaSuccess, #call, __LINE__)
#define CUDA_IS(error, call) expect((call), (error), #call, __LINE__)
#define BLAS(call) expect((call), CUBLAS_STATUS_SUCCESS, #call, __LINE__)
#define BLAS_IS(status, call) expect((call), (status), #call, __LINE__)
#define DNN(call) expect((call), CUDNN_STATUS_SUCCESS, #call, __LINE__)
#define DNN_IS(status, call) expect((call), (status), #call, __LINE__)

inline void *device_block(size_t bytes) {
  void *p;
  CUDA(cudaMalloc(&p, bytes));
  return p;
}

template <class T> T *upload(const std::vector<T> &v) {
  void *p = device_block(v.size() * sizeof(T));
  CUDA(cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
  return static_cast<T *>(p);
}

template <class T> std::vector<T> download(const T *p, size_t n) {
  std::vector<T> v(n);
  CUDA(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

inline void *pinned_block(size_t bytes) {
  void *p;
  CUDA(cudaMallocHost(&p, bytes));
  return p;
}

inline cudaStream_t new_stream() {
  cudaStream_t s;
  CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return s;
}

inline cudaEvent_t new_event() {
  cudaEvent_t e;
  CUDA(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  return e;
}

#endif

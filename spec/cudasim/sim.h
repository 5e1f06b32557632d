/*
** What the parts of the simulated CUDA share: settings, broken rules, injected failures, checked
** device memory, work for a stream. Test only; never installed.
**
** The fakes stand where NVIDIA's libraries would: the plugin, as nvcc built it, is linked to
** libcudart.so.13 and opens libcublas.so.13 and libcudnn.so.9; LD_LIBRARY_PATH leads to these here.
**
** Settings, from the environment:
**   CVSIM_DEVICES=2      how many GPUs there are; CVSIM_DRIVER=0: not even a driver
**   CVSIM_ARCH=90        which architecture they have: 75, 80 or 90
**   CVSIM_MEMORY=4096    MiB of each
**   CVSIM_SCHED=lazy     when queued work runs: lazy (at the last moment), eager (at once) or
**                        random:SEED
**   CVSIM_FAIL=call:n    the n-th call of that function fails; see injected()
**   CVSIM_CALLS=file     at exit: how often each function was called, "count name" a line
**   CVSIM_LEAKS=1        at exit: what was never freed, on standard error
**   CVSIM_ABORT=0        a broken rule does not end the process but loses the context, as on hardware
*/
#ifndef CUDASIM_SIM_H
#define CUDASIM_SIM_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include <cuda_runtime_api.h>

#define CUDASIM_EXPORT extern "C" __attribute__((visibility("default")))

namespace cudasim {

// settings.cc ---------------------------------------------------------------------------------------

long setting(const char *name, long otherwise);
std::string setting(const char *name, const char *otherwise);

/* A number in [0, n) from the seed of CVSIM_SCHED. */
unsigned random_below(unsigned n);

/*
** Somebody broke a rule of CUDA: prints "CVSIM VIOLATION: ..." and ends the process with status 86.
** Under CVSIM_ABORT=0 it loses the context instead: every later call returns cudaErrorIllegalAddress.
*/
constexpr int kViolationStatus = 86;
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* True when this call is the one that CVSIM_FAIL, or cvsim_fail, wants to fail. Counts every call. */
bool injected(const char *call);

/* The error that every call returns once the context is lost; cudaSuccess until then. */
cudaError_t sticky_error();
void lose_context(cudaError_t error);

/* Sets the error that cudaGetLastError of this thread will return, and returns it. */
cudaError_t failed(cudaError_t error);

/* One caller at a time; held by every function that the program can call. */
std::recursive_mutex &lock();

/* The first lines of every call: takes the lock, counts the call, lets it fail when that is wanted. */
struct Call {
  Call(const char *name, cudaError_t wanted); /* `wanted`: what a wanted failure returns */
  std::lock_guard<std::recursive_mutex> held;
  cudaError_t error; /* cudaSuccess: go on */
};
#define CUDASIM_CALL() CUDASIM_CALL_OR(cudaErrorUnknown)
#define CUDASIM_CALL_OR(wanted)         \
  cudasim::Call call(__func__, wanted); \
  if (call.error != cudaSuccess) return cudasim::failed(call.error)

// device.cc -----------------------------------------------------------------------------------------

int device_count();
int current_device();
void set_current_device(int device);
int architecture(); /* 75, 80 or 90 */

/* What one multiprocessor of the architecture has, in bytes (CUDA C++ Programming Guide, 16.2). */
size_t shared_memory_limit();

// memory.cc -----------------------------------------------------------------------------------------

enum class Access { read, write };

/*
** The bytes at a device address, for the fakes to work on; the address itself cannot be read or
** written by the program. [p, p + bytes) must lie in one live allocation of the device whose work
** is running, or in pinned host memory, and the stream that runs must be ordered after those that
** used it before. NULL after a violation that did not end the process.
*/
void *device_bytes(const void *p, size_t bytes, Access access, const char *what);

bool is_device_pointer(const void *p);

// stream.cc -----------------------------------------------------------------------------------------

/* Queues work. It runs on the device of the stream, when the schedule lets it. */
cudaError_t enqueue(cudaStream_t stream, const char *name, std::function<void()> work);

/* The stream's device; the current one's for the default stream. */
int device_of(cudaStream_t stream);

/* True, and an error text, when the stream does not exist (it may have been destroyed). */
bool unknown_stream(cudaStream_t stream);

/* The error with which a call that may not be made during a capture fails, spoiling the capture. */
cudaError_t refuse_in_capture(const char *call);

bool is_capturing(cudaStream_t stream);

// settings.cc: what is alive, for leak reports ------------------------------------------------------

enum class Kind { device, pinned, stream, event, graph, cublas, cudnn, descriptor, count };
void born(Kind kind, const void *p, size_t bytes);
void died(Kind kind, const void *p);

} // namespace cudasim

/* For tests: the nth call of `call` from now on fails; nth <= 0 lets all succeed. */
CUDASIM_EXPORT void cvsim_fail(const char *call, long nth);
/* How often `call` was called; NULL instead of a name starts counting anew. */
CUDASIM_EXPORT long cvsim_calls(const char *call);
/* The i-th function that was called since, in order of names; NULL after the last. */
CUDASIM_EXPORT const char *cvsim_call_name(int i);
/* How many bytes, or objects, of a kind are alive: "device", "pinned", "stream", "event", ... */
CUDASIM_EXPORT long cvsim_live(const char *kind);

#endif

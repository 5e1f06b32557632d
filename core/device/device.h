/*
** A device: where tensor data lives and what computes on it. The contract that the CPU and the CUDA plugin fulfil.
*/
#ifndef CVL_DEVICE_DEVICE_H
#define CVL_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* One more whenever a struct that both sides see changes: those here, in recording.h, in tensor/, ops/op.h and
** optim/optim.h. */
enum { CVL_PLUGIN_ABI = 6 };

struct cvl_recording;     /* recording.h */
struct cvl_loop;          /* tensor/loop.h */
struct cvl_kernels;       /* ops/op.h */
struct cvl_optim_kernels; /* optim/optim.h */

/* What a device is, for reports. A library that cannot be used has the version 0, and why. */
typedef struct cvl_device_info {
  char gpu[128];    /* its name, as the driver gives it */
  int major, minor; /* compute capability */
  int multiprocessors;
  int64_t memory, free_memory; /* bytes */
  int driver, runtime;         /* CUDA that the driver supports, CUDA in the plugin, as in 13000 */
  int cublas, cudnn;           /* as in 130100 and 91900 */
  cvl_err cublas_why, cudnn_why;
} cvl_device_info;

/*
** Work on a device is done in the order in which it was asked for; only to_host and sync wait for it. An error that the
** device meets later is reported by one of the calls after it. One thread works with a device at a time.
*/
typedef struct cvl_device cvl_device;
struct cvl_device {
  char name[16];     /* "cpu", "cuda:0" */
  bool host_visible; /* the CPU may read and write the memory directly */
  bool
      uncached; /* cache.h keeps nothing: every block is asked for and given back, to find errors */
  /* Raw memory, aligned to 64 bytes at least; NULL when there is none. Slow: cache.h stands before it. */
  void *(*alloc)(cvl_device *d, size_t bytes);
  void (*free)(cvl_device *d, void *p, size_t bytes);
  /* Between this device and host memory, and within the device. */
  int (*from_host)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*to_host)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*copy)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*clear)(cvl_device *d, void *p, size_t bytes, cvl_err *e); /* zero bytes */
  int (*sync)(cvl_device *d, cvl_err *e);                         /* waits; reports late faults */

  /* The rest is for devices that are not host_visible; elsewhere NULL. */

  /* `count` elements from p on become the one of `size` (1, 4 or 8) bytes at `value`, in host memory. */
  int (*fill)(cvl_device *d, void *p, const void *value, size_t size, int64_t count, cvl_err *e);
  /* The loop's operand 0 becomes operand 1, element by element of `size` bytes, any strides. */
  int (*move)(cvl_device *d, const struct cvl_loop *l, size_t size, cvl_err *e);
  /* The kernels of the op of that name for a cvl_dtype, and those of an optimizer's rule; NULL when there are none. */
  const struct cvl_kernels *(*kernels)(cvl_device *d, const char *op, int dtype);
  const struct cvl_optim_kernels *(*optim_kernels)(cvl_device *d, const char *rule, int dtype);

  /* Recording, for recording.h; NULL where a device cannot. Between begin and end what the device is asked for is written
  ** down and not done; `end` always ends it, and returns what replay does again, or NULL. */
  int (*begin_recording)(cvl_device *d, cvl_err *e);
  void *(*end_recording)(cvl_device *d, cvl_err *e);
  int (*replay)(cvl_device *d, void *work, cvl_err *e);
  void (*free_recording)(cvl_device *d, void *work);

  int (*info)(cvl_device *d, cvl_device_info *info, cvl_err *e);
  /* on = 1: products of float32 may round their operands to TF32, 10 bits of mantissa, on GPUs that can; 0: they may
  ** not, which is how it begins; -1 asks. Returns how it was. */
  bool (*tf32)(cvl_device *d, int on);

  struct cvl_cache *cache;         /* made at first use */
  struct cvl_recording *recording; /* the one that is being made, or NULL */
};

cvl_device *cvl_cpu(void);

/* "cpu", "cuda" (= "cuda:0"), "cuda:N". A CUDA device is looked for in the plugin, loaded at the first question;
** CVL_EDEVICE says what is missing: plugin, driver, library, device N. */
cvl_device *cvl_device_get(const char *name, cvl_err *e);
/* The first CUDA device if there is one, else the CPU. Never fails. */
cvl_device *cvl_device_default(void);
/* The devices that are open: the CPU, and those that cvl_device_get found; fills at most `most`, returns how many. */
int cvl_devices_open(cvl_device **list, int most);
/* Waits for all of them; the first error counts. */
int cvl_devices_sync(cvl_err *e);

/*
** The plugin and the program. The plugin is opened with RTLD_LOCAL by the program or by convlua.so, whose symbols are
** hidden, so it can call nothing by name. It links its own copies of the core's pure code (shapes, types, tensors,
** errors); what has state, the memory counters and the caches, is the program's alone and comes in this table, which
** core/cuda/host.c puts behind the names that the core uses: code of the plugin is written like any other.
*/
typedef struct cvl_host {
  void *(*alloc)(size_t bytes); /* base/mem.h */
  void *(*resize)(void *p, size_t bytes);
  void (*free)(void *p);
  bool (*permit)(int64_t bytes);
  void (*count)(int64_t live, int64_t cached);
  int64_t (*live)(void);
  int64_t (*cached)(void);
  void *(*cache_alloc)(cvl_device *d, size_t bytes, cvl_err *e); /* device/cache.h */
  void (*cache_free)(cvl_device *d, void *p, size_t bytes);
  void (*cache_empty)(cvl_device *d);
  cvl_device *(*cpu)(void);
} cvl_host;

/* The plugin exports this function under the name "cvl_plugin_open". The device lives as long as the program. Returns
** NULL and a reason, a sentence that follows "device 'cuda:N' is not available: ", when it cannot work. */
typedef cvl_device *cvl_plugin_open_fn(int abi, const cvl_host *host, int index, cvl_err *e);

#endif

/*
** A device: where tensor data lives. The contract that the CPU, and the CUDA plugin, fulfil.
*/
#ifndef CVL_DEVICE_DEVICE_H
#define CVL_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CVL_PLUGIN_ABI = 1 }; /* one more whenever this header or ops/op.h changes its structs */

typedef struct cvl_device cvl_device;
struct cvl_device {
  char name[16];     /* "cpu", "cuda:0" */
  bool host_visible; /* the CPU may read and write the memory directly */
  /* Raw memory, aligned to 64 bytes at least; NULL when there is none. Slow: cache.h stands before it. */
  void *(*alloc)(cvl_device *d, size_t bytes);
  void (*free)(cvl_device *d, void *p, size_t bytes);
  /* Between this device and host memory, and within the device. Ordered with the device's other work. */
  int (*from_host)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*to_host)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*copy)(cvl_device *d, void *dst, const void *src, size_t bytes, cvl_err *e);
  int (*clear)(cvl_device *d, void *p, size_t bytes, cvl_err *e); /* zero bytes */
  int (*sync)(cvl_device *d, cvl_err *e);                         /* waits; reports late faults */
  struct cvl_cache *cache;                                        /* made at first use */
};

cvl_device *cvl_cpu(void);

/* "cpu", "cuda" (= "cuda:0"), "cuda:N". A CUDA device is looked for in the plugin, loaded at the first question;
** CVL_EDEVICE says what is missing: plugin, driver, library, device N. */
cvl_device *cvl_device_get(const char *name, cvl_err *e);
/* The first CUDA device if there is one, else the CPU. Never fails. */
cvl_device *cvl_device_default(void);

/* The plugin exports this function under the name "cvl_plugin_open". Returns NULL and a reason when it cannot work. */
typedef cvl_device *cvl_plugin_open_fn(int abi, int index, cvl_err *e);

#endif

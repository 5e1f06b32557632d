/*
** The caching allocator before a device: freed blocks are kept by size class and handed out again, so that a training
** loop in its steady state asks the system for nothing. Classes: eight per power of two, at most 12.5 % of waste.
*/
#ifndef CVL_DEVICE_CACHE_H
#define CVL_DEVICE_CACHE_H

#include "device/device.h"

/* Memory for `bytes`, contents unspecified; counted as live. When there is none, all caches are emptied and the device is
** asked once more. CVL_ENOMEM. Thread-safe. */
void *cvl_cache_alloc(cvl_device *d, size_t bytes, cvl_err *e);
void cvl_cache_free(cvl_device *d, void *p, size_t bytes); /* `bytes` as asked for */
/* Gives everything that is kept back to the device. */
void cvl_cache_empty(cvl_device *d);
void cvl_caches_empty(void); /* of every open device */

#endif

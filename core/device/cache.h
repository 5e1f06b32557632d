/*
** The caching allocator before a device: freed blocks are kept by size class and handed out again, so that a training
** loop in its steady state asks the system for nothing. Classes: eight per power of two, at most 12.5 % of waste.
*/
#ifndef CVL_DEVICE_CACHE_H
#define CVL_DEVICE_CACHE_H

#include "device/device.h"
#include "device/reserve.h"

/* Memory for `bytes`, contents unspecified; counted as live. When there is none, all caches are emptied and the device is
** asked once more. CVL_ENOMEM. Thread-safe. */
void *cvl_cache_alloc(cvl_device *d, size_t bytes, cvl_err *e);
void cvl_cache_free(cvl_device *d, void *p, size_t bytes); /* `bytes` as asked for */
/* Gives everything that is kept back to the device. */
void cvl_cache_empty(cvl_device *d);
void cvl_caches_empty(void); /* of every open device */

/*
** Reserves of recordings. While one is open, all that the cache hands out belongs to it; what is given back is handed out
** again to the same recording only, and once the reserve is sealed to nobody, until it is closed. A block then goes the
** way of any other: one that was given back to the cache, one that is in use when its user gives it back.
*/
int cvl_cache_open_reserve(cvl_device *d, cvl_reserve *r, cvl_err *e);
/* The open one gets a block from outside, `bytes` as asked for. Nobody else gets it while the reserve exists. */
int cvl_cache_reserve(cvl_device *d, void *p, size_t bytes, cvl_err *e);
void cvl_cache_seal_reserve(cvl_device *d);
void cvl_cache_close_reserve(cvl_device *d, cvl_reserve *r);

#endif

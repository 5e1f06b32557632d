/*
** Storage: a counted block of bytes on a device, shared by a tensor and its views.
*/
#ifndef CVL_TENSOR_STORAGE_H
#define CVL_TENSOR_STORAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/portable.h"
#include "device/device.h"

typedef struct cvl_storage {
  cvl_refs refs;
  uint32_t version; /* one more for each change in place; the tape compares it */
  cvl_device *device;
  void *data;
  size_t bytes;
} cvl_storage;

/* Contents unspecified. */
cvl_storage *cvl_storage_new(cvl_device *device, size_t bytes, cvl_err *e);
void cvl_storage_retain(cvl_storage *s);
void cvl_storage_release(cvl_storage *s); /* NULL is fine */

#endif

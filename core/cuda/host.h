/* What the program lends the plugin: see cvl_host in device/device.h. */
#ifndef CVL_CUDA_HOST_H
#define CVL_CUDA_HOST_H

#include "device/device.h"

void cvl_cuda_set_host(const cvl_host *host);

#endif

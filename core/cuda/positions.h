/* Positions and labels that lie on a device are looked at on the host, which waits for them. */
#ifndef CVL_CUDA_POSITIONS_H
#define CVL_CUDA_POSITIONS_H

#include "tensor/tensor.h"

/* As cvl_positions_check and cvl_labels_check of ops/position.h. */
int cvl_cuda_positions_check(const cvl_tensor *positions, int64_t n, int axis, int arg, cvl_err *e);
int cvl_cuda_labels_check(const cvl_tensor *labels, int64_t n, int arg, cvl_err *e);

#endif

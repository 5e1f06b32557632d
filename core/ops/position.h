/* Tensors of positions or labels: integers, in the core counted from 0, or from the end as -1, -2,
** ... */
#ifndef CVL_OPS_POSITION_H
#define CVL_OPS_POSITION_H

#include "ops/op.h"

/* Element i of dense integers at p. */
CVL_BOTH static inline int64_t cvl_position_in(const void *p, cvl_dtype dtype, int64_t i) {
  switch (dtype) {
  case CVL_I32:
    return ((const int32_t *)p)[i];
  case CVL_I64:
    return ((const int64_t *)p)[i];
  default:
    return ((const uint8_t *)p)[i];
  }
}

/* Element i of a dense tensor of integers. */
static inline int64_t cvl_position(const cvl_tensor *positions, int64_t i) {
  return cvl_position_in(cvl_data(positions), positions->dtype, i);
}

/* The same along an axis of n elements, counted from 0. */
static inline int64_t cvl_position_of(const cvl_tensor *positions, int64_t i, int64_t n) {
  int64_t p = cvl_position(positions, i);
  return p < 0 ? p + n : p;
}

/* Of type int32, int64 or uint8. */
int cvl_positions_check_type(const cvl_tensor *positions, int arg, cvl_err *e);
/* Every label lies in 0..n-1: classes do not count from the end. */
int cvl_labels_check(const cvl_tensor *labels, int64_t n, int arg, cvl_err *e);
/* Every one lies on axis `axis` (from 0) of n elements; the message names value, place and range,
** as Lua counts. */
int cvl_positions_check(const cvl_tensor *positions, int64_t n, int axis, int arg, cvl_err *e);

#endif

#include "ops/position.h"

int cvl_positions_check_type(const cvl_tensor *positions, int arg, cvl_err *e) {
  if (!cvl_dtype_floating(positions->dtype) && positions->dtype != CVL_BOOL) return 0;
  return cvl_fail(e, CVL_EDTYPE, arg, "positions as int32, int64 or uint8 expected, got %s",
                  cvl_dtype_name(positions->dtype));
}

int cvl_positions_check(const cvl_tensor *positions, int64_t n, int axis, int arg, cvl_err *e) {
  for (int64_t i = 0, count = cvl_count(positions); i < count; i++) {
    int64_t p = cvl_position(positions, i);
    if (p < -n || p >= n)
      return cvl_fail(
          e, CVL_EARG, arg,
          "position %lld (element %lld) is out of range: axis %d has %lld elements, counted from 1",
          (long long)(p < 0 ? p : p + 1), (long long)i + 1, axis + 1, (long long)n);
  }
  return 0;
}

int cvl_labels_check(const cvl_tensor *labels, int64_t n, int arg, cvl_err *e) {
  for (int64_t i = 0, count = cvl_count(labels); i < count; i++) {
    int64_t label = cvl_position(labels, i);
    if (label < 0 || label >= n)
      return cvl_fail(
          e, CVL_EARG, arg,
          "label %lld of sample %lld is out of range: labels start at 1 and there are %lld classes",
          (long long)(label < 0 ? label : label + 1), (long long)i + 1, (long long)n);
  }
  return 0;
}

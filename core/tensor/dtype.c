#include "tensor/dtype.h"

#include <string.h>

static const struct {
  const char *name;
  unsigned char size, rank;
} types[CVL_DTYPE_COUNT] = {
    [CVL_F32] = {"float32", 4, 5},   [CVL_F64] = {"float64", 8, 6}, [CVL_I32] = {"int32", 4, 2},
    [CVL_I64] = {"int64", 8, 3},     [CVL_U8] = {"uint8", 1, 1},    [CVL_BOOL] = {"bool", 1, 0},
    [CVL_BF16] = {"bfloat16", 2, 4}, [CVL_F16] = {"float16", 2, 4},
};

const char *cvl_dtype_name(cvl_dtype t) { return types[t].name; }

size_t cvl_dtype_size(cvl_dtype t) { return types[t].size; }

cvl_dtype cvl_dtype_promote(cvl_dtype a, cvl_dtype b) {
  if (a != b && cvl_dtype_half(a) && cvl_dtype_half(b)) return CVL_F32;
  return types[a].rank >= types[b].rank ? a : b;
}

bool cvl_dtype_parse(const char *name, cvl_dtype *t) {
  for (int i = 0; i < CVL_DTYPE_COUNT; i++)
    if (strcmp(types[i].name, name) == 0) {
      *t = (cvl_dtype)i;
      return true;
    }
  return false;
}

/* Element types. Names as NumPy's. */
#ifndef CVL_TENSOR_DTYPE_H
#define CVL_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum cvl_dtype {
  CVL_F32,
  CVL_F64,
  CVL_I32,
  CVL_I64,
  CVL_U8,
  CVL_BOOL, /* one byte, 0 or 1; computed with the kernels of CVL_U8 */
  CVL_BF16, /* two bytes: half.h; computed in float32 */
  CVL_F16,
  CVL_DTYPE_COUNT
} cvl_dtype;

const char *cvl_dtype_name(cvl_dtype t);              /* "float32", ... */
bool cvl_dtype_parse(const char *name, cvl_dtype *t); /* false when there is no such type */
size_t cvl_dtype_size(cvl_dtype t);                   /* bytes */
static inline bool cvl_dtype_half(cvl_dtype t) { return t == CVL_BF16 || t == CVL_F16; }
static inline bool cvl_dtype_floating(cvl_dtype t) {
  return t == CVL_F32 || t == CVL_F64 || cvl_dtype_half(t);
}
/* The type that holds both: bool < uint8 < int32 < int64 < bfloat16, float16 < float32 < float64; float32 for bfloat16
** and float16. */
cvl_dtype cvl_dtype_promote(cvl_dtype a, cvl_dtype b);

#endif

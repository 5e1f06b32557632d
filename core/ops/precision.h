/*
** How exactly convolutions and matrix products multiply float32. With rounded operands the sums are float32 all the same;
** results, and so weights and activations, stay float32.
*/
#ifndef CVL_OPS_PRECISION_H
#define CVL_OPS_PRECISION_H

#include <stdbool.h>

typedef enum cvl_precision {
  CVL_PRECISION_F32,       /* "float32" */
  CVL_PRECISION_BF16,      /* "bf16": operands may be rounded to bfloat16 in the backward passes, */
  CVL_PRECISION_BF16_FULL, /* "bf16-full": and in the forward passes */
  CVL_PRECISION_F16, /* "f16": on CUDA devices float16 operands in all passes; on the CPU "float32" */
  CVL_PRECISION_COUNT
} cvl_precision;

/* Whether operands are rounded to bfloat16 by a pass that does so from `least` on. */
static inline bool cvl_precision_bf16(cvl_precision p, cvl_precision least) {
  return p >= least && p <= CVL_PRECISION_BF16_FULL;
}

const char *cvl_precision_name(cvl_precision p);
bool cvl_precision_parse(const char *name, cvl_precision *p); /* false when there is no such name */

#endif

/* Operands are rounded to bfloat16 once they are transformed. */
#include "kernels/vector_bf16.h" /* first: it says what operands are */

#include "kernels/winograd_four_passes.h"

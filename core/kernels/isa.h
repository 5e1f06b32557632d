/*
** Which instructions this run uses. The float32 kernels are one source compiled once per ISA; the best one that the CPU
** has is chosen when first asked, or the one named by CONVLUA_ISA: baseline, avx2, avx512, or avx512_bf16, which is avx512
** with the dot product of bfloat16 pairs in one instruction. Without it, or where it is slow and nobody named it, that is
** computed, to the same bits.
*/
#ifndef CVL_KERNELS_ISA_H
#define CVL_KERNELS_ISA_H

#include <stdbool.h>

#include "base/err.h"

typedef enum cvl_isa { CVL_ISA_BASELINE, CVL_ISA_AVX2, CVL_ISA_AVX512, CVL_ISA_COUNT } cvl_isa;

cvl_isa cvl_isa_used(void);
bool cvl_isa_has_bf16(void);
/* What is used, as CONVLUA_ISA would name it. */
const char *cvl_isa_name(void);
/* Forces one; an error when there is no such name or the CPU lacks it. Called by main before any kernel runs. */
int cvl_isa_force(const char *name, cvl_err *e);

/* What of name_baseline, name_avx2 and name_avx512, one source compiled for each, this run uses. */
#if defined(__x86_64__)
#define CVL_OF_ISA(name)                            \
  (cvl_isa_used() == CVL_ISA_AVX512 ? name##_avx512 \
   : cvl_isa_used() == CVL_ISA_AVX2 ? name##_avx2   \
                                    : name##_baseline)
#else
#define CVL_OF_ISA(name) (name##_baseline)
#endif

#endif

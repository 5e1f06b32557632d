/*
** Which instructions this run uses. The float32 kernels are one source compiled once per ISA; the best one that the CPU
** has is chosen when first asked, or the one named by CONVLUA_ISA (baseline, avx2, avx512).
*/
#ifndef CVL_KERNELS_ISA_H
#define CVL_KERNELS_ISA_H

#include "base/err.h"

typedef enum cvl_isa { CVL_ISA_BASELINE, CVL_ISA_AVX2, CVL_ISA_AVX512, CVL_ISA_COUNT } cvl_isa;

cvl_isa cvl_isa_used(void);
const char *cvl_isa_name(cvl_isa isa);
/* Forces one; an error when there is no such name or the CPU lacks it. Called by main before any kernel runs. */
int cvl_isa_force(const char *name, cvl_err *e);

#endif

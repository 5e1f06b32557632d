#include "kernels/update.h"

#include "kernels/isa.h"

const cvl_update_kernels *cvl_update_used(void) {
  switch (cvl_isa_used()) {
#if defined(__x86_64__)
  case CVL_ISA_AVX2:
    return &cvl_update_avx2;
  case CVL_ISA_AVX512:
    return &cvl_update_avx512;
#endif
  default:
    return &cvl_update_baseline;
  }
}

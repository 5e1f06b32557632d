#include "kernels/epilogue.h"

#include "kernels/isa.h"

void cvl_epilogue_run(const cvl_epilogue *e, int64_t pixels, int64_t n, int64_t pitch,
                      const float *residual, float *y) {
#if defined(__x86_64__)
  cvl_isa isa = cvl_isa_used();
  if (isa == CVL_ISA_AVX512) {
    cvl_epilogue_run_avx512(e, pixels, n, pitch, residual, y);
    return;
  }
  if (isa == CVL_ISA_AVX2) {
    cvl_epilogue_run_avx2(e, pixels, n, pitch, residual, y);
    return;
  }
#endif
  cvl_epilogue_run_baseline(e, pixels, n, pitch, residual, y);
}

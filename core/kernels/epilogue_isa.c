#include "kernels/epilogue_vector.h"

#define RUN CVL_ISA_NAME(cvl_epilogue_run)

INLINE void run_part(const cvl_epilogue *e, int64_t k, int64_t n, int64_t pixels, int64_t pitch,
                     const float *residual, float *y) {
  epilogue_part p = epilogue_at(e, k, n);
  for (int64_t i = k; i < pixels * pitch; i += pitch)
    store_n(y + i, epilogue_of(&p, load_n(y + i, n), residual != NULL ? residual + i : NULL, n), n);
}

void RUN(const cvl_epilogue *e, int64_t pixels, int64_t n, int64_t pitch, const float *residual,
         float *y) {
  int64_t k = 0;
  for (; k + LANES <= n; k += LANES) run_part(e, k, LANES, pixels, pitch, residual, y);
  if (k < n) run_part(e, k, n - k, pixels, pitch, residual, y);
}

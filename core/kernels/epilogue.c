#include "kernels/epilogue.h"

#include "kernels/isa.h"

void cvl_epilogue_run(const cvl_epilogue *e, int64_t pixels, int64_t n, int64_t pitch,
                      const float *residual, float *y) {
  CVL_OF_ISA(cvl_epilogue_run)(e, pixels, n, pitch, residual, y);
}

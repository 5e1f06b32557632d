#include "kernels/peak.h"

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"

static cvl_peak_kernel *kernel_used(void) { return CVL_OF_ISA(cvl_peak); }

typedef struct {
  int64_t rounds;
  double operations[CVL_MAX_THREADS];
} multiply_adds;

static void run(void *context, int64_t chunk, int worker) {
  multiply_adds *m = context;
  float sink = 1e-3f;
  (void)worker;
  m->operations[chunk] = kernel_used()(m->rounds, &sink) + (sink == 0);
}

double cvl_peak_multiply_add(int64_t rounds) {
  multiply_adds m = {.rounds = rounds};
  double sum = 0;
  cvl_parallel(cvl_threads(), run, &m);
  for (int i = 0; i < cvl_threads(); i++) sum += m.operations[i];
  return sum;
}

static void triad(void *context, int64_t first, int64_t last) {
  float *const *v = context, *restrict a = v[0];
  const float *restrict b = v[1], *restrict c = v[2];
  for (int64_t i = first; i < last; i++) a[i] = b[i] + 0.5f * c[i];
}

double cvl_peak_triad(int64_t n, cvl_err *e) {
  float *v[3] = {cvl_scratch_take(3 * n, e)};
  if (v[0] == NULL) return -1;
  v[1] = v[0] + n;
  v[2] = v[1] + n;
  cvl_parallel_range(n, 1 << 16, triad, v);
  cvl_scratch_give(v[0]);
  return 3.0 * sizeof(float) * (double)n;
}

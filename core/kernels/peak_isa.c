#include "kernels/peak.h"
#include "kernels/vector.h"

enum { CHAINS = 12, UNROLLED = 4 }; /* more chains than two units with a latency of four need */

double CVL_ISA_NAME(cvl_peak)(int64_t rounds, float *sink) {
  vec sum[CHAINS], a = splat(0.999f), b = splat(*sink);
#pragma GCC unroll 12
  for (int i = 0; i < CHAINS; i++) sum[i] = b + (float)i;
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 4
    for (int u = 0; u < UNROLLED; u++)
#pragma GCC unroll 12
      for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * a + b;
#pragma GCC unroll 12
  for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
  *sink = sum[0][0];
  return 2.0 * LANES * CHAINS * UNROLLED * (double)rounds;
}

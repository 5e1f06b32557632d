#include "kernels/isa.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CVL_ISA_COUNT] = {"baseline", "avx2", "avx512"};
static atomic_int used = CVL_ISA_COUNT; /* not asked yet */

static bool has(cvl_isa isa) {
  if (isa == CVL_ISA_BASELINE) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == CVL_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == CVL_ISA_AVX512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
#endif
  return false;
}

const char *cvl_isa_name(cvl_isa isa) { return isa < CVL_ISA_COUNT ? names[isa] : "unknown"; }

int cvl_isa_force(const char *name, cvl_err *e) {
  for (int i = 0; i < CVL_ISA_COUNT; i++)
    if (strcmp(name, names[i]) == 0) {
      if (!has((cvl_isa)i))
        return cvl_fail(e, CVL_EARG, 0, "this CPU has no %s instructions", name);
      atomic_store(&used, i);
      return 0;
    }
  return cvl_fail(e, CVL_EARG, 0,
                  "unknown instruction set '%s' (expected baseline, avx2 or avx512)", name);
}

/* A wrong CONVLUA_ISA is reported by main, which forces it first; elsewhere it falls back to the best. */
cvl_isa cvl_isa_used(void) {
  int isa = atomic_load_explicit(&used, memory_order_relaxed);
  const char *name;
  if (isa != CVL_ISA_COUNT) return (cvl_isa)isa;
  if ((name = getenv("CONVLUA_ISA")) != NULL && cvl_isa_force(name, NULL) == 0)
    return (cvl_isa)atomic_load(&used);
  for (isa = CVL_ISA_COUNT - 1; !has((cvl_isa)isa);) isa--;
  atomic_store(&used, isa);
  return (cvl_isa)isa;
}

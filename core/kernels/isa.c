#include "kernels/isa.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"

/* The names are those of CONVLUA_ISA; the last one is not an ISA of its own but one with more. */
enum { AVX512_BF16 = CVL_ISA_COUNT, LEVELS };
static const char *const names[LEVELS] = {"baseline", "avx2", "avx512", "avx512_bf16"};
static atomic_int used = LEVELS; /* not asked yet */

static bool has(int level) {
  if (level == CVL_ISA_BASELINE) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (level == CVL_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (level >= CVL_ISA_AVX512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma") &&
           (level == CVL_ISA_AVX512 || __builtin_cpu_supports("avx512bf16"));
#endif
  return false;
}

/* Whether a level that the CPU has is no slower than the one below. Intel's CPUs (measured on Emerald Rapids) begin a dot
** product of 32 pairs every second cycle, and two multiply-adds of 16 floats in each. */
static bool is_worth_using(int level) { return level != AVX512_BF16 || !cvl_cpu_is_intel(); }

/* A wrong CONVLUA_ISA is reported by main, which forces it first; elsewhere it falls back to the best. */
static int level_used(void) {
  int level = atomic_load_explicit(&used, memory_order_relaxed);
  const char *name;
  if (level != LEVELS) return level;
  if ((name = getenv("CONVLUA_ISA")) != NULL && cvl_isa_force(name, NULL) == 0)
    return atomic_load(&used);
  for (level = LEVELS - 1; !has(level) || !is_worth_using(level);) level--;
  atomic_store(&used, level);
  return level;
}

const char *cvl_isa_name(void) { return names[level_used()]; }

int cvl_isa_force(const char *name, cvl_err *e) {
  for (int i = 0; i < LEVELS; i++)
    if (strcmp(name, names[i]) == 0) {
      if (!has(i)) return cvl_fail(e, CVL_EARG, 0, "this CPU has no %s instructions", name);
      atomic_store(&used, i);
      return 0;
    }
  return cvl_fail(e, CVL_EARG, 0,
                  "unknown instruction set '%s' (expected baseline, avx2, avx512 or avx512_bf16)",
                  name);
}

cvl_isa cvl_isa_used(void) {
  int level = level_used();
  return level < CVL_ISA_COUNT ? (cvl_isa)level : CVL_ISA_AVX512;
}

bool cvl_isa_has_bf16(void) { return level_used() == AVX512_BF16; }

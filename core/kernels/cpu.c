#include "kernels/cpu.h"

#include "base/pool.h"

bool cvl_cpu_is_intel(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

bool cvl_cpu_waits_for_many(void) { return !cvl_cpu_is_intel(); }

bool cvl_cpu_shares_past(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") && cvl_threads() > 1;
#else
  return false;
#endif
}

int64_t cvl_cpu_worth(void) { return cvl_cpu_shares_past() ? 1 << 20 : 1 << 17; }

#include "base/rng.h"

static cvl_rng global;

void cvl_seed(uint64_t seed) { global = (cvl_rng){.seed = seed}; }

cvl_rng *cvl_global_rng(void) { return &global; }

cvl_rng cvl_take(int64_t blocks) {
  cvl_rng taken = global;
  global.position += (uint64_t)blocks;
  return taken;
}

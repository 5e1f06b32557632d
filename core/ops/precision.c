#include "ops/precision.h"

#include <string.h>

static const char *const names[CVL_PRECISION_COUNT] = {"float32", "bf16", "bf16-full", "f16"};

const char *cvl_precision_name(cvl_precision p) { return names[p]; }

bool cvl_precision_parse(const char *name, cvl_precision *p) {
  for (int i = 0; i < CVL_PRECISION_COUNT; i++)
    if (strcmp(names[i], name) == 0) {
      *p = (cvl_precision)i;
      return true;
    }
  return false;
}

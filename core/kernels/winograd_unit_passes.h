/* F(4x4, 3x3), stride 1: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_unit.h"

#define TABLE cvl_winograd_unit
#define PRODUCTS                                                       \
  {                                                                    \
    {0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {4, 4, 4}, { 5, 5, 5 } \
  }
enum {
  AXES = 2,
  READS = 6,
  WRITES = 4,
  STEP = 4,
  SOURCES = 6,
  FILTERS = 6,
  TARGETS = 6,
  INSET = 0
};
#include "kernels/winograd_passes.h"

/* 3 x 3 on a map of 2 x 2 that keeps its size: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_two.h"

#define TABLE cvl_winograd_two
#define PRODUCTS                      \
  {                                   \
    {0, 0, 0}, {1, 1, 1}, { 2, 2, 2 } \
  }
enum {
  AXES = 2,
  READS = 2,
  WRITES = 2,
  STEP = 2,
  SOURCES = 3,
  FILTERS = 3,
  TARGETS = 3,
  INSET = 1
};
#include "kernels/winograd_passes.h"

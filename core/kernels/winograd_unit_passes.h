/* F(4x4, 3x3), stride 1: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_unit.h"

#define TABLE cvl_winograd_unit
enum { READS = 6, PLACES = 6, WRITES = 4, STEP = 4, FILTER_PLACES = 6, SINGLE = 6, INSET = 0 };
#include "kernels/winograd_passes.h"

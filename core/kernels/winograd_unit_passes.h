/* F(4x4, 3x3), stride 1: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_unit.h"

#define TABLE cvl_winograd_unit
enum { AXES = 2 };
#include "kernels/winograd_passes.h"

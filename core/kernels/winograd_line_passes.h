/* F(4, 3) along an axis: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_unit.h"

#define TABLE cvl_winograd_line
enum { AXES = 1 };
#include "kernels/winograd_passes.h"

/* F(4x4, 4x4), stride 1: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_four.h"

#define TABLE cvl_winograd_four
enum { AXES = 2 };
#include "kernels/winograd_passes.h"

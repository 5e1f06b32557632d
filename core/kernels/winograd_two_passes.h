/* 3 x 3 on a map of 2 x 2 that keeps its size: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_two.h"

#define TABLE cvl_winograd_two
enum { AXES = 2 };
#include "kernels/winograd_passes.h"

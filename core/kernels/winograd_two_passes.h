/* 3 x 3 on a map of 2 x 2 that keeps its size: included by the *_isa.c file of each kind of operands. */
#include "kernels/winograd_two.h"

#define TABLE cvl_winograd_two
enum { READS = 2, PLACES = 3, WRITES = 2, STEP = 2, FILTER_PLACES = 3, SINGLE = 3, INSET = 1 };
#include "kernels/winograd_passes.h"

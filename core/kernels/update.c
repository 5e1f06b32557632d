#include "kernels/update.h"

#include "kernels/isa.h"

const cvl_update_kernels *cvl_update_used(void) { return CVL_OF_ISA(&cvl_update); }

#include "kernels/winograd_unit_passes.h"

#include "kernels/winograd_four_passes.h"

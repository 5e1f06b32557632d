#include "kernels/winograd_line_passes.h"

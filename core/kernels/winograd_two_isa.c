#include "kernels/winograd_two_passes.h"

#include "kernels/polyphase_passes.h"

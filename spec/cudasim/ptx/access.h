/* From addresses to host memory, with every check that an access can fail. */
#ifndef CUDASIM_PTX_ACCESS_H
#define CUDASIM_PTX_ACCESS_H

#include "ptx/machine.h"

namespace cudasim::ptx {

/* Where the lanes of an access find their bytes on the host; only those of its mask are set. */
struct Places {
  unsigned char *at[lanes];
};

/* Checks an access of `size` bytes (1, 2, 4, 8 or 16) at from[0] + offset of each lane: alignment, bounds,
** races, shared memory that nobody wrote. Errors: does not return. */
void locate(Warp &w, const Instruction &i, Mask m, unsigned size, Access kind, Places *places);

/* The generic addresses of an instruction's lanes, from[0] + offset. */
void addresses_of(Warp &w, const Instruction &i, uint64_t *address);

} // namespace cudasim::ptx

#endif

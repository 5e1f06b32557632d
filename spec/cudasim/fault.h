/*
** Segmentation faults at addresses of the simulator are the program's bugs, told as violations.
*/
#ifndef CUDASIM_FAULT_H
#define CUDASIM_FAULT_H

#include <cstdint>

namespace cudasim {

enum class Fault {
  foreign, /* not an address of ours: whoever handled faults before us gets it */
  settled, /* the access may be made again */
  fatal,   /* reported; the program cannot go on */
};

/* What an access of the program to `address` means; reports it. In memory.cc. */
Fault explain_fault(uintptr_t address, bool write);

void catch_faults();

} // namespace cudasim

#endif

/*
** Device memory and pinned host memory. One file without a name is mapped twice: the program gets
** addresses of a mapping that it may not touch (device), or only while no queued work does (pinned);
** the simulator works through the other. Allocations lie 512 bytes apart; what was freed stays
** unused, and filled with 0xFD, until 64 MiB more were freed; what is new is filled with 0xFF: NaN.
*/
#ifndef CUDASIM_MEMORY_H
#define CUDASIM_MEMORY_H

#include <memory>

#include "engine.h"
#include "order.h"
#include "sim.h"

namespace cudasim {

constexpr int kPinned = -1;    /* stands for a device where host memory is meant */
constexpr int kAnyDevice = -2; /* for copies between devices */

struct Allocation {
  uintptr_t base;
  size_t bytes;
  int device;
  uint64_t number = 0; /* of all that were made */
};

/* A new allocation, or 0 when the device has not got that much. */
uintptr_t allocate(int device, size_t bytes);
/* Gives back what `allocate` returned; the caller has checked it. */
void release(uintptr_t base);

/* The live allocation that contains the address, or NULL. */
const Allocation *allocation_at(uintptr_t address);
bool is_pinned(const void *p, size_t bytes);
size_t bytes_free(int device), bytes_total();

/* As device_bytes, for work that may use another device than its own. */
void *bytes_on(int device, const void *p, size_t bytes, Access access, const char *what);

/* The memory of a device, as the engine wants it. */
Memory &engine_memory(int device);

/* Pinned memory that queued work is going to use. Until the program has synchronised with that work it
** may not write there, nor read what the work writes: a violation, found when the program does it. */
struct HostUse {
  uintptr_t base;
  size_t bytes;
  bool write;
};
void guard(const HostUse &use, unsigned slot, uint32_t time, const char *work);
/* The program has synchronised with all that `host` covers. */
void unguard(const Clock &host);

} // namespace cudasim

#endif

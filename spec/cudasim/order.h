/*
** Which work happens after which, whatever the schedule: vector clocks over the streams, advanced in
** the order of the program's calls (Lamport 1978; Mattern 1989). Every 256 bytes of memory remember who
** wrote and who read them last; an access that no event, and no synchronisation, orders after those is
** a violation, also when the schedule at hand happens to run them in the right order.
*/
#ifndef CUDASIM_ORDER_H
#define CUDASIM_ORDER_H

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace cudasim {

/* Streams have slots. When there are more streams than slots some share one: then a missing wait
** between the two is not seen, but nothing false is reported. Slot 0 is the default stream's. */
constexpr unsigned kSlots = 16;
unsigned new_slot();
void give_slot_back(unsigned slot);
uint32_t next_time(unsigned slot);

struct Clock {
  std::array<uint32_t, kSlots> time{};

  void join(const Clock &other) {
    for (unsigned i = 0; i < kSlots; i++)
      if (other.time[i] > time[i]) time[i] = other.time[i];
  }
};

/* The allocations that a graph has used: their addresses, and which of those that had the address. */
using NamedMemory = std::map<uintptr_t, uint64_t>;

/* Who does something: a piece of work on a stream, with the clock it had when it was queued. */
struct Actor {
  const char *name = ""; /* lives for ever: see keep_name */
  unsigned slot = 0;
  Clock clock;
  std::shared_ptr<NamedMemory> names; /* of a graph's work */
};

/* The same name always as the same pointer. */
const char *keep_name(const std::string &name);

/* What runs now, and on which device; set while a piece of work runs, by the stream that runs it. */
struct Acting {
  Acting(const Actor &actor, int device);
  ~Acting();

private:
  const Actor *outer_actor;
  int outer_device;
};
const Actor *acting(); /* NULL: the program itself */
int acting_device();   /* the current device when nothing runs */

/* The address space that is watched; memory there starts untouched. */
void watch(uintptr_t low, uintptr_t high);

/* What runs now reads or writes [address, address + bytes). False after a violation. */
bool touch(uintptr_t address, size_t bytes, bool write);

/* The bytes are new: nobody has touched them. */
void forget(uintptr_t address, size_t bytes);

} // namespace cudasim

#endif

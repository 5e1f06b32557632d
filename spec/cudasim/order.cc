#include "order.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "sim.h"

namespace cudasim {

namespace {

constexpr size_t kGranule = 256;

struct Granule {
  const char *writer; /* name of the last writer, NULL: never written */
  uint32_t writer_slot, written;
  uint32_t read[kSlots]; /* the last read by each slot, 0: none */
};

uintptr_t base;
Granule *granules; /* one for each of the watched bytes; the system gives pages as they are used */

unsigned users[kSlots] = {1};
uint32_t times[kSlots];

const Actor *actor_now;
int device_now = -1;

bool report_write(const Actor &actor, const Granule &g, uintptr_t address, bool write) {
  violation(
      "stream order: '%s' on stream %u %s what '%s' wrote on stream %u, and nothing orders the "
      "two: cudaStreamWaitEvent is missing (at %#zx)",
      actor.name, actor.slot, write ? "overwrites" : "reads", g.writer, g.writer_slot, address);
  return false;
}

bool report_read(const Actor &actor, unsigned reader, uintptr_t address) {
  violation("stream order: '%s' on stream %u overwrites what stream %u may still be reading, and "
            "nothing orders the two: cudaStreamWaitEvent is missing (at %#zx)",
            actor.name, actor.slot, reader, address);
  return false;
}

bool touch_granule(const Actor &actor, Granule &g, uintptr_t address, bool write) {
  if (g.writer != nullptr && g.written > actor.clock.time[g.writer_slot])
    return report_write(actor, g, address, write);
  if (!write) {
    g.read[actor.slot] = actor.clock.time[actor.slot];
    return true;
  }
  for (unsigned i = 0; i < kSlots; i++)
    if (g.read[i] > actor.clock.time[i]) return report_read(actor, i, address);
  g.writer = actor.name;
  g.writer_slot = actor.slot;
  g.written = actor.clock.time[actor.slot];
  return true;
}

} // namespace

unsigned new_slot() {
  unsigned least = 1;
  for (unsigned i = 1; i < kSlots; i++)
    if (users[i] < users[least]) least = i;
  users[least]++;
  return least;
}

void give_slot_back(unsigned slot) { users[slot]--; }

uint32_t next_time(unsigned slot) { return ++times[slot]; }

Acting::Acting(const Actor &actor, int device) : outer_actor(actor_now), outer_device(device_now) {
  actor_now = &actor;
  device_now = device;
}

Acting::~Acting() {
  actor_now = outer_actor;
  device_now = outer_device;
}

const Actor *acting() { return actor_now; }

int acting_device() { return actor_now != nullptr ? device_now : current_device(); }

const char *keep_name(const std::string &name) {
  static auto *names = new std::set<std::string>;
  return names->insert(name).first->c_str();
}

void watch(uintptr_t low, uintptr_t high) {
  base = low;
  void *p = mmap(nullptr, (high - low) / kGranule * sizeof(Granule), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    perror("cudasim: no address space for the order of streams");
    abort();
  }
  granules = static_cast<Granule *>(p);
}

bool touch(uintptr_t address, size_t bytes, bool write) {
  if (bytes == 0 || actor_now == nullptr) return true;
  size_t first = (address - base) / kGranule, last = (address + bytes - 1 - base) / kGranule;
  for (size_t i = first; i <= last; i++)
    if (!touch_granule(*actor_now, granules[i], address, write)) return false;
  return true;
}

void forget(uintptr_t address, size_t bytes) {
  memset(&granules[(address - base) / kGranule], 0,
         (bytes + kGranule - 1) / kGranule * sizeof(Granule));
}

} // namespace cudasim

#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "fault.h"

namespace cudasim {

namespace {

constexpr size_t kRedZone = 512, kPage = 4096, kQuarantine = 64u << 20;
constexpr int kFresh = 0xFF, kFreed = 0xFD;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* The addresses of one device, or of pinned memory: bump allocation, then reuse by exact size. */
struct Region {
  uintptr_t low = 0, top = 0, high = 0;
  size_t live = 0, unit = kRedZone;
  std::multimap<size_t, uintptr_t> reusable;
  std::deque<Allocation> quarantine;
  size_t quarantined = 0;
};

struct Guard {
  HostUse use;
  unsigned slot;
  uint32_t time;
  const char *work;
};

struct Arena {
  uintptr_t low, high;
  ptrdiff_t alias; /* what to add to an address of the program's to get the simulator's */
  size_t device_bytes = size_t(setting("CVSIM_MEMORY", 4096L)) << 20;
  size_t region_bytes =
      4 * (device_bytes + kQuarantine); /* addresses; what is freed keeps its own */
  std::vector<Region> regions;          /* one for each device, the last for pinned memory */
  std::map<uintptr_t, Allocation> live;
  std::vector<Guard> guards;

  Arena() : regions(size_t(device_count()) + 1) {
    size_t bytes = regions.size() * region_bytes;
    int file = memfd_create("cudasim", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, off_t(bytes)) != 0) fail();
    low = map(bytes, PROT_NONE, file);
    alias = ptrdiff_t(map(bytes, PROT_READ | PROT_WRITE, file) - low);
    high = low + bytes;
    close(file);
    for (size_t i = 0; i < regions.size(); i++) {
      Region &r = regions[i];
      r.low = r.top = low + i * region_bytes;
      r.high = r.low + region_bytes;
    }
    regions.back().unit = kPage; /* pages are what can be guarded */
    watch(low, high);
    catch_faults();
  }

  static uintptr_t map(size_t bytes, int protection, int file) {
    void *p = mmap(nullptr, bytes, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (p == MAP_FAILED) fail();
    return uintptr_t(p);
  }

  [[noreturn]] static void fail() {
    perror("cudasim: no memory to simulate a device with");
    abort();
  }

  Region &region(int device) {
    return device == kPinned ? regions.back() : regions[size_t(device)];
  }

  char *simulators(uintptr_t address) const {
    return reinterpret_cast<char *>(address + uintptr_t(alias));
  }
};

Arena &arena() {
  static Arena *a = new Arena;
  return *a;
}

/* An address for `bytes`, from what was freed long ago or from the top; 0 when there is none. */
uintptr_t place(Region &r, size_t bytes) {
  auto same = r.reusable.find(bytes);
  if (same != r.reusable.end()) {
    uintptr_t base = same->second;
    r.reusable.erase(same);
    return base;
  }
  if (r.high - r.top < bytes + 2 * r.unit) return 0;
  uintptr_t base = r.top + r.unit;
  r.top = base + bytes;
  return base;
}

void protect(const Allocation &a, int protection) {
  mprotect(reinterpret_cast<void *>(a.base), rounded(a.bytes, kPage), protection);
}

/* What the program may do with a page of pinned memory. */
int allowed_on(uintptr_t page) {
  int allowed = PROT_READ | PROT_WRITE;
  for (const Guard &g : arena().guards) {
    if (g.use.base >= page + kPage || g.use.base + g.use.bytes <= page) continue;
    if (g.use.write) return PROT_NONE;
    allowed = PROT_READ;
  }
  return allowed;
}

/* Protects the pages of a use of pinned memory as the guards have it, neighbours with one call. */
void protect_pinned(const HostUse &use) {
  uintptr_t end = rounded(use.base + use.bytes, kPage), start = use.base / kPage * kPage;
  while (start < end) {
    int allowed = allowed_on(start);
    uintptr_t next = start + kPage;
    while (next < end && allowed_on(next) == allowed) next += kPage;
    mprotect(reinterpret_cast<void *>(start), next - start, allowed);
    start = next;
  }
}

/* "12 bytes into the 4096 bytes at 0x7f..., which ..." */
std::string where(uintptr_t address) {
  char text[200];
  auto &live = arena().live;
  auto next = live.upper_bound(address);
  if (next == live.begin()) {
    snprintf(text, sizeof text, "no allocation lies before it");
    return text;
  }
  const Allocation &a = std::prev(next)->second;
  snprintf(text, sizeof text, "the live allocation before it has %zu bytes at %#zx on %s %d",
           a.bytes, size_t(a.base), a.device == kPinned ? "the host, number" : "device", a.device);
  return text;
}

/* A graph's work uses the memory of the launches before, and nobody's who has got its address since. */
bool still_named(const Allocation &a, const char *what) {
  const Actor *actor = acting();
  if (actor == nullptr || actor->names == nullptr) return true;
  uint64_t known = actor->names->emplace(a.base, a.number).first->second;
  if (known == a.number) return true;
  violation("%s: a graph uses memory at %#zx that was freed, and allocated again since", what,
            size_t(a.base));
  return false;
}

class DeviceMemory : public Memory {
public:
  explicit DeviceMemory(int number) : device(number) {}

  bool find(uint64_t address, Range *range) override {
    const Allocation *a = allocation_at(address);
    if (a == nullptr || (a->device != device && a->device != kPinned)) return false;
    if (!still_named(*a, "a kernel")) return false;
    auto *host = reinterpret_cast<unsigned char *>(arena().simulators(a->base));
    *range = {a->base, a->base + a->bytes, host};
    return true;
  }

  uint64_t allocate(const std::string &, size_t size, size_t) override {
    return cudasim::allocate(device, size);
  }

  void accessed(uint64_t address, size_t size, bool write) override { touch(address, size, write); }

private:
  int device;
};

} // namespace

uintptr_t allocate(int device, size_t bytes) {
  Region &r = arena().region(device);
  size_t room = rounded(bytes, r.unit);
  if (room < bytes || room > arena().device_bytes - r.live) return 0;
  uintptr_t base = place(r, room);
  if (base == 0) return 0;
  static uint64_t made;
  const Allocation &a = arena().live[base] = {base, bytes, device, ++made};
  r.live += room;
  forget(base, room);
  memset(arena().simulators(base), kFresh, room);
  if (device == kPinned) protect(a, PROT_READ | PROT_WRITE);
  return base;
}

void release(uintptr_t base) {
  Allocation a = arena().live.at(base);
  Region &r = arena().region(a.device);
  size_t room = rounded(a.bytes, r.unit);
  arena().live.erase(base);
  r.live -= room;
  memset(arena().simulators(base), kFreed, room);
  if (a.device == kPinned) protect(a, PROT_NONE);
  r.quarantine.push_back(a);
  r.quarantined += room;
  while (r.quarantined > kQuarantine) {
    size_t old = rounded(r.quarantine.front().bytes, r.unit);
    r.reusable.emplace(old, r.quarantine.front().base);
    r.quarantine.pop_front();
    r.quarantined -= old;
  }
}

const Allocation *allocation_at(uintptr_t address) {
  auto &live = arena().live;
  auto next = live.upper_bound(address);
  if (next == live.begin()) return nullptr;
  const Allocation &a = std::prev(next)->second;
  return address < a.base + a.bytes ? &a : nullptr;
}

bool is_pinned(const void *p, size_t bytes) {
  const Allocation *a = allocation_at(uintptr_t(p));
  return a != nullptr && a->device == kPinned && bytes <= a->base + a->bytes - uintptr_t(p);
}

bool is_device_pointer(const void *p) {
  return uintptr_t(p) >= arena().low && uintptr_t(p) < arena().regions.back().low;
}

size_t bytes_total() { return arena().device_bytes; }

size_t bytes_free(int device) { return bytes_total() - arena().region(device).live; }

void *device_bytes(const void *p, size_t bytes, Access access, const char *what) {
  return bytes_on(acting_device(), p, bytes, access, what);
}

void *bytes_on(int device, const void *p, size_t bytes, Access access, const char *what) {
  uintptr_t address = uintptr_t(p);
  const Allocation *a = allocation_at(address);
  if (a == nullptr || bytes > a->base + a->bytes - address) {
    violation("%s: %zu bytes at %p do not lie in one live allocation; %s", what, bytes, p,
              where(address).c_str());
    return nullptr;
  }
  if (a->device != device && a->device != kPinned && device != kAnyDevice) {
    violation("%s: %p belongs to device %d, but the work runs on device %d", what, p, a->device,
              device);
    return nullptr;
  }
  if (!still_named(*a, what) || !touch(address, bytes, access == Access::write)) return nullptr;
  return arena().simulators(address);
}

Memory &engine_memory(int device) {
  static auto *memories = new std::map<int, DeviceMemory>;
  return memories->try_emplace(device, device).first->second;
}

void guard(const HostUse &use, unsigned slot, uint32_t time, const char *work) {
  arena().guards.push_back({use, slot, time, work});
  protect_pinned(use);
}

void unguard(const Clock &host) {
  auto &guards = arena().guards;
  auto over = std::stable_partition(guards.begin(), guards.end(),
                                    [&host](const Guard &g) { return g.time > host.time[g.slot]; });
  std::vector<Guard> ended(over, guards.end());
  guards.erase(over, guards.end());
  for (const Guard &g : ended) protect_pinned(g.use);
}

Fault explain_fault(uintptr_t address, bool write) {
  if (address < arena().low || address >= arena().high) return Fault::foreign;
  const char *verb = write ? "writes" : "reads";
  if (is_device_pointer(reinterpret_cast<void *>(address))) {
    violation("the program itself %s device memory at %#zx; %s", verb, size_t(address),
              where(address).c_str());
    return Fault::fatal;
  }
  const Allocation *a = allocation_at(address);
  if (a == nullptr) {
    violation("the program %s pinned memory at %#zx that it has freed, or never had; %s", verb,
              size_t(address), where(address).c_str());
    return Fault::fatal;
  }
  for (const Guard &g : arena().guards)
    if (address >= g.use.base && address < g.use.base + g.use.bytes && (write || g.use.write))
      violation("the program %s pinned memory at %#zx that '%s' on stream %u %s, before it has "
                "synchronised with it",
                verb, size_t(address), g.work, g.slot, g.use.write ? "writes" : "reads");
  /* A neighbour on the same page: that is allowed. The page stays open until its guards change. */
  mprotect(reinterpret_cast<void *>(address / kPage * kPage), kPage, PROT_READ | PROT_WRITE);
  return Fault::settled;
}

} // namespace cudasim

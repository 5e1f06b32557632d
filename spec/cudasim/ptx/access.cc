#include "ptx/access.h"

#include <algorithm>

namespace cudasim::ptx {

namespace {

const char *verb(Access kind) { return is_write(kind) ? "write" : "read"; }

[[noreturn]] void out_of_bounds(Warp &w, const Instruction &i, unsigned lane, const char *space,
                                Access kind, uint64_t address, unsigned size,
                                const std::string &rest = "") {
  w.fail(i, lane, "bounds", "%s %s of %u bytes out of bounds, at 0x%llx%s", space, verb(kind), size,
         static_cast<unsigned long long>(address), rest.c_str());
}

Actor actor(const Warp &w, unsigned lane) {
  return {w.block->serial, w.block->floor, w.thread(lane), &w.clock};
}

Access strength(const Instruction &i, Access kind) {
  if (!i.volatile_access) return kind;
  return is_write(kind) ? Access::strong_write : Access::strong_read;
}

/* `first_block`: what blocks of a smaller serial did to this memory does not count. */
void check_race(Warp &w, const Instruction &i, unsigned lane, Shadow *shadow, uint64_t address,
                unsigned size, Access kind, const char *space, uint32_t first_block) {
  const Conflict c = shadow->access(actor(w, lane), address, size, kind, first_block);
  if (c.kind == nullptr) return;
  const Dim3 other = w.block->thread(c.thread);
  std::string whose = c.block == w.block->serial ? "" : " of another block";
  w.fail(i, lane, "race", "data race in %s memory, %s, with thread (%u,%u,%u)%s, at 0x%llx", space,
         c.kind, other.x, other.y, other.z, whose.c_str(),
         static_cast<unsigned long long>(c.address));
}

/* Global ----------------------------------------------------------------------------------------- */

/* Tells the runtime about granules that the instruction has not just told it about. */
void tell(const Instruction &i, Memory *memory, uint64_t address, unsigned size, Access kind) {
  const uint64_t granule = address / Memory::granule;
  if (granule == i.granule) return;
  i.granule = granule;
  memory->accessed(address, size, is_write(kind));
}

unsigned char *global_place(Warp &w, const Instruction &i, unsigned lane, uint64_t address,
                            unsigned size, Access kind) {
  Range &near = i.near;
  if (address < near.base || address + size > near.end) {
    if (!w.block->launch->memory->find(address, &near) || address + size > near.end) {
      near = {0, 0, nullptr};
      out_of_bounds(w, i, lane, "global", kind, address, size);
    }
  }
  return near.host + (address - near.base);
}

void locate_global(Warp &w, const Instruction &i, Mask m, const uint64_t *address, unsigned size,
                   Access kind, Places *places) {
  const Launch &launch = *w.block->launch;
  if (i.launch != launch.serial) { /* allocations may have come and gone */
    i.launch = launch.serial;
    i.near = {0, 0, nullptr};
    i.granule = ~uint64_t{0};
  }
  uint64_t least = ~uint64_t{0}, most = 0;
  for (unsigned l = 0; l < lanes; l++) {
    const bool active = m >> l & 1;
    least = std::min(least, active ? address[l] : least);
    most = std::max(most, active ? address[l] : most);
  }
  if (least >= i.near.base && most + size <= i.near.end) {
    unsigned char *base = i.near.host - i.near.base;
    for (unsigned l = 0; l < lanes; l++) places->at[l] = base + address[l];
  } else {
    each(m, [&](unsigned l) { places->at[l] = global_place(w, i, l, address[l], size, kind); });
  }
  if (least / Memory::granule != i.granule || most / Memory::granule != i.granule)
    each(m, [&](unsigned l) { tell(i, launch.memory, address[l], size, kind); });
  if (launch.options->race)
    each(m, [&](unsigned l) {
      check_race(w, i, l, launch.global_shadow, address[l], size, strength(i, kind), "global",
                 launch.first_block);
    });
}

/* Shared ----------------------------------------------------------------------------------------- */

unsigned char *shared_place(Warp &w, const Instruction &i, unsigned lane, uint64_t address,
                            unsigned size, Access kind) {
  Block &block = *w.block;
  const uint64_t number = address >> shared_shift,
                 at = address & ((uint64_t{1} << shared_shift) - 1);
  if (number == 0 || number >= block.shared.size())
    out_of_bounds(w, i, lane, "shared", kind, address, size, ", in no variable");
  Block::Shared &v = block.shared[number];
  if (at + size > v.data.size()) {
    const std::string &name = block.launch->program->shared[number].name;
    out_of_bounds(w, i, lane, "shared", kind, address, size,
                  ": byte " + std::to_string(at) + " of the " + std::to_string(v.data.size()) +
                      " of " + name);
  }
  if (block.launch->options->race) {
    check_race(w, i, lane, &v.shadow, at, size, strength(i, kind), "shared", block.serial);
    unsigned char *written = &v.written[at];
    if (kind != Access::write && std::find(written, written + size, 0) != written + size)
      w.fail(i, lane, "uninitialised",
             "read of shared memory that the block has not written, byte %llu of %s",
             static_cast<unsigned long long>(at),
             block.launch->program->shared[number].name.c_str());
    if (is_write(kind)) std::fill(written, written + size, 1);
  }
  return &v.data[at];
}

/* A thread's own --------------------------------------------------------------------------------- */

unsigned char *local_place(Warp &w, const Instruction &i, unsigned lane, uint64_t address,
                           unsigned size, Access kind) {
  const size_t bytes = w.block->launch->program->local_bytes;
  if (address + size > bytes || address + size < address)
    out_of_bounds(w, i, lane, "local", kind, address, size, ", of " + std::to_string(bytes));
  return &w.block->local[w.thread(lane) * w.block->local_stride + address];
}

unsigned char *parameter_place(Warp &w, const Instruction &i, unsigned lane, uint64_t address,
                               unsigned size, Access kind) {
  const Launch &launch = *w.block->launch;
  if (is_write(kind) || address + size > launch.program->parameter_bytes() ||
      address + size < address)
    out_of_bounds(w, i, lane, "parameter", kind, address, size);
  return const_cast<unsigned char *>(launch.parameters) + address;
}

} // namespace

void addresses_of(Warp &w, const Instruction &i, uint64_t *address) {
  if (i.from_bytes == 4) {
    const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]);
    for (unsigned l = 0; l < lanes; l++) address[l] = a[l] + static_cast<uint32_t>(i.offset);
  } else {
    const uint64_t *a = w.lanes_of<uint64_t>(i.from[0]);
    for (unsigned l = 0; l < lanes; l++) address[l] = a[l] + static_cast<uint64_t>(i.offset);
  }
}

void locate(Warp &w, const Instruction &i, Mask m, unsigned size, Access kind, Places *places) {
  uint64_t address[lanes];
  addresses_of(w, i, address);
  uint64_t low_bits = 0;
  for (unsigned l = 0; l < lanes; l++) low_bits |= m >> l & 1 ? address[l] : 0;
  if (low_bits & (size - 1))
    each(m, [&](unsigned l) {
      if (address[l] & (size - 1))
        w.fail(i, l, "alignment", "misaligned %s of %u bytes, at 0x%llx", verb(kind), size,
               static_cast<unsigned long long>(address[l]));
    });
  auto locate_in = [&](auto place, uint64_t window, Mask lanes_there) {
    each(lanes_there,
         [&](unsigned l) { places->at[l] = place(w, i, l, address[l] - window, size, kind); });
  };
  switch (i.space) {
  case Space::global:
  case Space::constant:
    return locate_global(w, i, m, address, size, kind, places);
  case Space::shared:
    return locate_in(shared_place, 0, m);
  case Space::local:
    return locate_in(local_place, 0, m);
  case Space::param:
    return locate_in(parameter_place, 0, m);
  case Space::generic:
    break;
  }
  Mask in_global = 0;
  each(m, [&](unsigned l) {
    const Mask lane = Mask{1} << l;
    switch (address[l] >> 56) {
    case shared_window >> 56:
      return locate_in(shared_place, shared_window, lane);
    case local_window >> 56:
      return locate_in(local_place, local_window, lane);
    case param_window >> 56:
      return locate_in(parameter_place, param_window, lane);
    default:
      in_global |= lane;
    }
  });
  if (in_global) locate_global(w, i, in_global, address, size, kind, places);
}

} // namespace cudasim::ptx

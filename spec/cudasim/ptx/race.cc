#include "ptx/race.h"

#include <algorithm>

namespace cudasim::ptx {

void Clock::restart(uint32_t now) {
  time.fill(now);
  floor = now;
  seen.clear();
}

uint32_t Clock::latest() const { return *std::max_element(time.begin(), time.end()); }

void Clock::synchronise(uint32_t mask, uint32_t alive) {
  mask &= alive;
  if (mask == alive) return restart(latest() + 1);
  if (seen.empty()) seen.resize(32);
  std::array<uint32_t, 32> joined{};
  for (unsigned l = 0; l < 32; l++) {
    if (!(mask >> l & 1)) continue;
    for (unsigned other = 0; other < 32; other++)
      joined[other] = std::max(joined[other], seen[l][other]);
    joined[l] = std::max(joined[l], time[l]);
  }
  for (unsigned l = 0; l < 32; l++) {
    if (!(mask >> l & 1)) continue;
    seen[l] = joined;
    time[l]++;
  }
}

/* A page becomes one of single bytes: each cell is what its four bytes have seen. */
void Shadow::Page::split() {
  std::vector<Cell> bytes(cells.size() * 4);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = cells[i / 4];
  cells = std::move(bytes);
  cell_shift = 0;
}

void Shadow::clear() {
  pages.clear();
  recent = {};
}

Shadow::Page *Shadow::page_of(uint64_t address) {
  uint64_t number = address >> page_shift;
  Recent &r = recent[number % recent.size()];
  if (r.page == nullptr || r.number != number) {
    std::unique_ptr<Page> &p = pages[number];
    if (p == nullptr) p = std::make_unique<Page>();
    r = {number, p.get()};
  }
  return r.page;
}

/* One access to one cell. Of the readers only the latest are kept: those before them are ordered before
** them, so a write that is ordered after the latest is ordered after all. */
Conflict Shadow::step(Cell &c, const Actor &who, Access kind) {
  const unsigned warp = who.thread / 32, lane = who.thread % 32;
  const uint32_t now = who.clock->now(lane);
  const bool strong = kind == Access::strong_read || kind == Access::strong_write;
  auto ordered = [&](uint32_t block, unsigned thread, uint32_t t) {
    if (block != who.block) return false;
    if (thread == who.thread || t < who.floor) return true;
    return thread / 32 == warp && who.clock->ordered(lane, thread % 32, t);
  };
  auto writers_ordered = [&] {
    if (c.writers == Cell::across_blocks) return false;
    if (c.writers == Cell::in_block && c.write_time >= who.floor) return false;
    return ordered(c.writer_block, c.writer, c.write_time);
  };
  auto reader = [&](uint32_t mask) {
    return c.reader_warp * 32u + static_cast<unsigned>(__builtin_ctz(mask));
  };

  Conflict found;
  const bool written = c.writer_block != 0, after_write = !written || writers_ordered();
  if (!after_write && !(strong && c.strong))
    found = {is_write(kind) ? "write after write" : "read after write", 0, c.writer_block,
             c.writer};

  uint32_t unordered = 0; /* a reader of the cell's warp */
  if (c.reader_block != 0)
    for (uint32_t m = c.reader_lanes; m != 0 && unordered == 0; m &= m - 1)
      if (!ordered(c.reader_block, reader(m), c.read_time)) unordered = m;
  const bool after_reads = c.reader_block == 0 || (unordered == 0 && !c.several_blocks &&
                                                   !(c.several_warps && c.read_time >= who.floor));

  if (is_write(kind)) {
    if (found.kind == nullptr && !after_reads)
      found = {"write after read", 0, c.reader_block,
               reader(unordered ? unordered : c.reader_lanes)};
    c.writers = after_write ? Cell::one
                : c.writer_block == who.block && c.writers != Cell::across_blocks
                    ? Cell::in_block
                    : Cell::across_blocks;
    c.writer_block = who.block;
    c.writer = static_cast<uint16_t>(who.thread);
    c.write_time = now;
    c.strong = strong;
    c.reader_block = 0;
    c.several_warps = c.several_blocks = false;
  } else if (kind == Access::strong_read) {
    /* not remembered: what writes next is expected to be strong too */
  } else if (after_reads) {
    c.reader_block = who.block;
    c.reader_warp = static_cast<uint16_t>(warp);
    c.reader_lanes = 1u << lane;
    c.read_time = now;
    c.several_warps = c.several_blocks = false;
  } else {
    if (c.reader_block != who.block)
      c.several_blocks = true;
    else if (c.reader_warp != warp)
      c.several_warps = true;
    else
      c.reader_lanes |= 1u << lane;
    if (c.reader_block == who.block && now > c.read_time) c.read_time = now;
  }
  return found;
}

Conflict Shadow::access(const Actor &who, uint64_t address, unsigned size, Access kind,
                        uint32_t first_block) {
  for (uint64_t a = address, end = address + size; a < end;) {
    Page *page = page_of(a);
    if (size < 4 && page->cell_shift != 0) page->split();
    Cell &c = page->cells[(a & ((1u << page_shift) - 1)) >> page->cell_shift];
    if (c.writer_block < first_block) c.writer_block = 0, c.writers = Cell::one;
    if (c.reader_block < first_block) c.reader_block = 0;
    Conflict found = step(c, who, kind);
    if (found.kind != nullptr) {
      found.address = a;
      return found;
    }
    a += uint64_t{1} << page->cell_shift;
  }
  return {};
}

} // namespace cudasim::ptx

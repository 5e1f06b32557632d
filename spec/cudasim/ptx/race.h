/*
** Data races: who read and wrote each byte last, and whether something orders that before an access now.
**
** Time is counted for each lane, within a block. A barrier of the block gives all its lanes a new time and
** orders all before it (Block::floor); a __syncwarp does the same for the lanes in its mask. Nothing orders
** the blocks of one launch; launches are ordered by their streams, which is the runtime's concern.
*/
#ifndef CUDASIM_PTX_RACE_H
#define CUDASIM_PTX_RACE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace cudasim::ptx {

/* What an access does. A strong read or write is one that others may make at the same time: volatile,
** relaxed, acquire, release; an atomic is a strong write. */
enum class Access : uint8_t { read, write, strong_read, strong_write };

inline bool is_write(Access a) { return a == Access::write || a == Access::strong_write; }

/* The time of a warp's lanes. */
class Clock {
public:
  void restart(uint32_t now);                      /* all lanes, at a barrier of the block */
  void synchronise(uint32_t mask, uint32_t alive); /* __syncwarp */
  uint32_t now(unsigned lane) const { return time[lane]; }
  uint32_t latest() const;

  /* Whether what `other` did at time `t`, in this warp and since the last barrier, comes before `lane` now. */
  bool ordered(unsigned lane, unsigned other, uint32_t t) const {
    return t < floor || (!seen.empty() && t <= seen[lane][other]);
  }

private:
  std::array<uint32_t, 32> time{};
  uint32_t floor = 0; /* of the warp: all lanes alive synchronised since */
  std::vector<std::array<uint32_t, 32>>
      seen; /* [lane][other], once a part of the lanes synchronised */
};

/* Who makes an access. */
struct Actor {
  uint32_t block;  /* serial */
  uint32_t floor;  /* Block::floor */
  uint32_t thread; /* in the block */
  const Clock *clock;
};

struct Conflict {
  const char *kind = nullptr; /* "read after write"; NULL when there is none */
  uint64_t address = 0;
  uint32_t block = 0, thread = 0; /* of the earlier access; serial */
};

/* The history of a range of memory. Cells cover 4 bytes until something smaller is accessed in their page. */
class Shadow {
public:
  /* Records an access and returns what it conflicts with. `first_block`: what blocks of a smaller serial
  ** did is forgotten. */
  Conflict access(const Actor &who, uint64_t address, unsigned size, Access kind,
                  uint32_t first_block);
  void clear();
  size_t size() const { return pages.size() << page_shift; } /* bytes of memory that it covers */

private:
  struct Cell {
    uint32_t writer_block = 0, write_time = 0, reader_block = 0, read_time = 0, reader_lanes = 0;
    uint16_t writer = 0, reader_warp = 0;
    bool strong = false;         /* the last write was */
    bool several_warps = false;  /* read, since the last barrier */
    bool several_blocks = false; /* read */
    enum : uint8_t { one, in_block, across_blocks } writers = one; /* of unordered strong writes */
  };
  static constexpr unsigned page_shift = 10;
  struct Page {
    unsigned cell_shift = 2;
    std::vector<Cell> cells = std::vector<Cell>(1u << (page_shift - 2));
    void split();
  };

  Page *page_of(uint64_t address);
  static Conflict step(Cell &c, const Actor &who, Access kind);

  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages;
  struct Recent {
    uint64_t number;
    Page *page = nullptr;
  };
  std::array<Recent, 64> recent{}; /* by the low bits of the page's number */
};

} // namespace cudasim::ptx

#endif

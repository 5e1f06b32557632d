/* What executes: a launch, the block that is running, its warps. */
#ifndef CUDASIM_PTX_MACHINE_H
#define CUDASIM_PTX_MACHINE_H

#include "ptx/program.h"
#include "ptx/race.h"

namespace cudasim::ptx {

/* Thrown when a violation has been reported. */
struct Stop {};

struct Launch {
  const Program *program;
  const Options *options;
  Memory *memory;
  Dim3 grid, block;
  size_t dynamic_shared;
  const unsigned char *parameters;
  uint64_t serial;      /* counts launches */
  uint32_t first_block; /* serial of its first block */
  Shadow *global_shadow;
};

struct Block {
  Launch *launch;
  Dim3 index;
  uint32_t serial; /* counts blocks, of all launches */
  uint32_t threads;
  std::vector<Warp> warps;
  std::vector<unsigned char> registers, local;
  size_t local_stride; /* bytes of a thread */

  struct Shared {
    std::vector<unsigned char> data, written; /* written: per byte, by this block */
    Shadow shadow;
  };
  std::vector<Shared> shared; /* by number of the variable */

  uint32_t barrier_count = 0; /* of bar.red: threads whose predicate holds */
  uint32_t floor = 0; /* what was done in the block before this time, barriers have ordered */

  Dim3 thread(uint32_t linear) const;
};

/* Lanes at the same place. */
struct Fragment {
  uint32_t pc;
  Mask lanes;
  bool waiting; /* at an instruction for others to arrive */
};

struct Warp {
  Block *block;
  uint32_t index;
  unsigned char *registers;
  Mask alive;
  std::vector<Fragment> fragments;
  bool at_barrier; /* all that are alive, in the only fragment */
  uint64_t steps;
  Mask carry; /* of add.cc */
  Clock clock;

  template <class T> T *lanes_of(Register r) { return reinterpret_cast<T *>(registers + r); }
  Mask &predicate(Register r) { return *lanes_of<Mask>(r); }
  uint32_t thread(unsigned lane) const { return index * lanes + lane; }

  /* Reports what `lane` did wrong and ends the launch. */
  [[noreturn]] void fail(const Instruction &i, unsigned lane, const char *kind, const char *format,
                         ...) __attribute__((format(printf, 5, 6)));
};

/* Runs a warp until all its lanes have left or wait at a barrier of the block. */
void run(Warp &w);

/* Calls f(lane) for each lane of a mask, lowest first. */
template <class F> void each(Mask m, F f) {
  for (; m != 0; m &= m - 1) f(static_cast<unsigned>(__builtin_ctz(m)));
}

/* r[lane] = f(lane) for the lanes of a mask. f must be harmless for the other lanes too: this becomes
** vector code. */
template <class T, class F> void compute(Warp &w, Register r, Mask m, F f) {
  T *to = w.lanes_of<T>(r);
  if (m == all_lanes) {
#pragma GCC ivdep
    for (unsigned l = 0; l < lanes; l++) to[l] = f(l);
  } else {
#pragma GCC ivdep
    for (unsigned l = 0; l < lanes; l++) {
      T value = f(l);
      to[l] = m >> l & 1 ? value : to[l];
    }
  }
}

/* The lanes for which f(lane) holds. */
template <class F> Mask where(F f) {
  Mask result = 0;
  for (unsigned l = 0; l < lanes; l++) result |= static_cast<Mask>(f(l)) << l;
  return result;
}

/* Writes the bits of `value` that belong to the lanes of a mask. */
inline void assign(Mask &predicate, Mask m, Mask value) {
  predicate = (predicate & ~m) | (value & m);
}

} // namespace cudasim::ptx

#endif

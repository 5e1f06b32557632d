/* Runs the blocks of a launch, and the warps of a block between its barriers. */
#include "ptx/module.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

namespace cudasim {

namespace ptx {

namespace {

uint32_t special_value(Special which, const Launch &launch, const Block &block, uint32_t thread) {
  const Dim3 t = block.thread(thread);
  const uint32_t lane = thread % lanes, bit = 1u << lane;
  switch (which) {
  case Special::tid_x:
    return t.x;
  case Special::tid_y:
    return t.y;
  case Special::tid_z:
    return t.z;
  case Special::ntid_x:
    return launch.block.x;
  case Special::ntid_y:
    return launch.block.y;
  case Special::ntid_z:
    return launch.block.z;
  case Special::ctaid_x:
    return block.index.x;
  case Special::ctaid_y:
    return block.index.y;
  case Special::ctaid_z:
    return block.index.z;
  case Special::nctaid_x:
    return launch.grid.x;
  case Special::nctaid_y:
    return launch.grid.y;
  case Special::nctaid_z:
    return launch.grid.z;
  case Special::laneid:
    return lane;
  case Special::warpid:
    return thread / lanes;
  case Special::nwarpid:
    return (block.threads + lanes - 1) / lanes;
  case Special::lanemask_eq:
    return bit;
  case Special::lanemask_lt:
    return bit - 1;
  case Special::lanemask_le:
    return bit | (bit - 1);
  case Special::lanemask_gt:
    return ~(bit | (bit - 1));
  case Special::lanemask_ge:
    return ~(bit - 1);
  case Special::dynamic_smem_size:
    return static_cast<uint32_t>(launch.dynamic_shared);
  case Special::total_smem_size: {
    size_t total = launch.dynamic_shared;
    for (const SharedVariable &v : launch.program->shared) total += v.size;
    return static_cast<uint32_t>(total);
  }
  }
  return 0;
}

bool changes_with_block(Special s) {
  return s == Special::ctaid_x || s == Special::ctaid_y || s == Special::ctaid_z;
}

void fill(Warp &w, const Constant &c) {
  for (unsigned l = 0; l < lanes; l++) switch (c.bytes) {
    case 0:
      w.predicate(c.at) = c.value ? all_lanes : 0;
      break;
    case 2:
      w.lanes_of<uint16_t>(c.at)[l] = static_cast<uint16_t>(c.value);
      break;
    case 4:
      w.lanes_of<uint32_t>(c.at)[l] = static_cast<uint32_t>(c.value);
      break;
    default:
      w.lanes_of<uint64_t>(c.at)[l] = c.value;
      break;
    }
}

void fill_specials(Block &block, bool every) {
  for (const SpecialRegister &s : block.launch->program->specials)
    if (every || changes_with_block(s.which))
      for (Warp &w : block.warps)
        for (unsigned l = 0; l < lanes; l++)
          w.lanes_of<uint32_t>(s.at)[l] = special_value(s.which, *block.launch, block, w.thread(l));
}

/* 0, 1, ..., n - 1 in the order asked for. */
class Sequence {
public:
  Sequence(size_t n, Order order, std::mt19937_64 &random)
      : numbers(n), how(order), generator(random) {
    for (size_t i = 0; i < n; i++)
      numbers[i] = static_cast<uint32_t>(order == Order::reverse ? n - 1 - i : i);
  }
  const std::vector<uint32_t> &next() { /* a new one each time when it is random */
    if (how == Order::random) std::shuffle(numbers.begin(), numbers.end(), generator);
    return numbers;
  }

private:
  std::vector<uint32_t> numbers;
  Order how;
  std::mt19937_64 &generator;
};

class Runner {
public:
  explicit Runner(Launch &l) : launch(l), program(*l.program), random(l.options->seed) {
    block.launch = &launch;
    block.threads = launch.block.x * launch.block.y * launch.block.z;
    const size_t warps = (block.threads + lanes - 1) / lanes;
    const size_t stride = program.register_bytes; /* a multiple of 64 */
    block.registers.resize(warps * stride + 64);
    unsigned char *first = block.registers.data();
    first += -reinterpret_cast<uintptr_t>(first) & 63;
    block.warps.resize(warps);
    for (size_t k = 0; k < warps; k++) {
      Warp &w = block.warps[k];
      w.block = &block;
      w.index = static_cast<uint32_t>(k);
      w.registers = first + k * stride;
      for (const Constant &c : program.constants) fill(w, c);
    }
    block.local_stride = (program.local_bytes + 15) / 16 * 16;
    block.local.resize(warps * lanes * block.local_stride, 0xff);
    block.shared.resize(program.shared.size());
    for (size_t k = 1; k < program.shared.size(); k++) {
      const size_t size = k == dynamic_shared ? launch.dynamic_shared : program.shared[k].size;
      block.shared[k].data.resize(size);
      block.shared[k].written.resize(size);
    }
    fill_specials(block, true);
  }

  void run() {
    const Dim3 &g = launch.grid;
    Sequence blocks(size_t{g.x} * g.y * g.z, launch.options->order, random);
    Sequence warps(block.warps.size(), launch.options->order, random);
    uint32_t started = 0;
    for (uint32_t number : blocks.next()) {
      start(number, launch.first_block + started++);
      while (!finished()) {
        for (uint32_t k : warps.next()) ptx::run(block.warps[k]);
        release();
      }
    }
  }

private:
  /* Serials grow in the order in which blocks run: the shared memory of those before is forgotten. */
  void start(uint32_t number, uint32_t serial) {
    const Dim3 &g = launch.grid;
    block.index = {number % g.x, number / g.x % g.y, number / g.x / g.y};
    block.serial = serial;
    block.floor = 1;
    fill_specials(block, false);
    for (Block::Shared &s : block.shared) {
      std::fill(s.data.begin(), s.data.end(), 0xff);
      std::fill(s.written.begin(), s.written.end(), 0);
    }
    for (Warp &w : block.warps) {
      const uint32_t threads = block.threads - w.index * lanes;
      w.alive = threads >= lanes ? all_lanes : (1u << threads) - 1;
      w.fragments = {{0, w.alive, false}};
      w.at_barrier = false;
      w.steps = 0;
      w.carry = 0;
      w.clock.restart(1);
    }
  }

  bool finished() const {
    return std::all_of(block.warps.begin(), block.warps.end(),
                       [](const Warp &w) { return w.alive == 0; });
  }

  /* All warps have left or wait: they must wait at one barrier, all of them. */
  void release() {
    Warp *first = nullptr;
    uint32_t waiting = 0, votes = 0, now = 0;
    for (Warp &w : block.warps) {
      now = std::max(now, w.clock.latest());
      if (!w.at_barrier) continue;
      if (first == nullptr) first = &w;
      waiting += static_cast<uint32_t>(__builtin_popcount(w.alive));
    }
    if (first == nullptr) return;
    const uint32_t pc = first->fragments[0].pc;
    const Instruction &i = program.code[pc];
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(first->alive));
    for (Warp &w : block.warps) {
      if (w.at_barrier && w.fragments[0].pc != pc) mismatch(*first, i, lane, w);
      if (i.from[0] != no_register)
        votes += static_cast<uint32_t>(
            __builtin_popcount((w.predicate(i.from[0]) ^ (i.negated ? all_lanes : 0)) & w.alive));
    }
    if (waiting != block.threads)
      first->fail(i, lane, "barrier", "divergent barrier: %u threads wait here, %u have left",
                  waiting, block.threads - waiting);
    block.barrier_count = votes;
    block.floor = now + 1;
    for (Warp &w : block.warps) {
      w.clock.restart(now + 1);
      if (i.run != nullptr) i.run(w, i, w.alive);
      w.fragments[0] = {pc + 1, w.alive, false};
      w.at_barrier = false;
    }
  }

  [[noreturn]] void mismatch(Warp &first, const Instruction &i, unsigned lane, const Warp &other) {
    const Location &there = program.code[other.fragments[0].pc].location;
    first.fail(i, lane, "barrier", "mismatched barriers: other warps wait at %s:%u",
               program.file(there.file).c_str(), there.line);
  }

  Launch &launch;
  const Program &program;
  std::mt19937_64 random;
  Block block{};
};

/* Serial numbers of launches and blocks, and what the shadow of global memory remembers by them. */
struct History {
  uint64_t launches = 0;
  uint32_t blocks = 1;
  Shadow shadow;

  void begin(Launch *l) {
    constexpr size_t most = size_t{64}
                            << 20; /* bytes of memory; its shadow takes eight times that */
    const uint64_t count = uint64_t{l->grid.x} * l->grid.y * l->grid.z;
    if (shadow.size() > most || blocks + count > UINT32_MAX) {
      shadow.clear();
      blocks = 1;
    }
    l->serial = ++launches;
    l->first_block = blocks;
    l->global_shadow = &shadow;
    blocks += static_cast<uint32_t>(count);
  }
};

} // namespace

} // namespace ptx

bool launch(const Kernel &kernel, Dim3 grid, Dim3 block, size_t dynamic_shared_bytes,
            const std::vector<unsigned char> &parameters, const Options &options) {
  static ptx::History &history = *new ptx::History; /* outlives what runs at exit */
  const auto &k = static_cast<const ptx::LoadedKernel &>(kernel);
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024)
    throw Error(kernel.name() + ": a block has 1 to 1024 threads");
  if (uint64_t{grid.x} * grid.y * grid.z == 0) throw Error(kernel.name() + ": a grid of no blocks");
  if (parameters.size() != k.program.parameter_bytes())
    throw Error(kernel.name() + ": wrong size of parameters");
  ptx::Launch l{};
  l.program = &k.program;
  l.options = &options;
  l.memory = k.memory;
  l.grid = grid;
  l.block = block;
  l.dynamic_shared = dynamic_shared_bytes;
  l.parameters = parameters.data();
  history.begin(&l);
  try {
    ptx::Runner(l).run();
  } catch (const ptx::Stop &) {
    return false;
  }
  return true;
}

Options Options::from_environment() {
  auto text = [](const char *name) { return std::getenv(name); };
  auto number = [&](const char *name, uint64_t otherwise) {
    const char *value = text(name);
    if (value == nullptr) return otherwise;
    char *end;
    const uint64_t result = std::strtoull(value, &end, 0);
    if (*value == '\0' || *end != '\0')
      throw Error(std::string(name) + " must be a number, got '" + value + "'");
    return static_cast<uint64_t>(result);
  };
  Options o;
  if (const char *order = text("CVSIM_ORDER")) {
    if (std::strcmp(order, "forward") == 0)
      o.order = Order::forward;
    else if (std::strcmp(order, "reverse") == 0)
      o.order = Order::reverse;
    else if (std::strcmp(order, "random") == 0)
      o.order = Order::random;
    else
      throw Error("CVSIM_ORDER must be forward, reverse or random, got '" + std::string(order) +
                  "'");
  }
  o.seed = number("CVSIM_SEED", o.seed);
  o.race = number("CVSIM_RACE", o.race) != 0;
  o.limit = number("CVSIM_LIMIT", o.limit);
  return o;
}

} // namespace cudasim

/*
** A kernel made ready to run: device functions inlined, names resolved to places, one handler chosen for
** each instruction by its opcode and types.
**
** Every operand is a register, a place in the register file of a warp that holds all of its lanes: 32
** elements of 2, 4 or 8 bytes, or one mask for a predicate. Constants and special registers are registers
** that nobody writes.
*/
#ifndef CUDASIM_PTX_PROGRAM_H
#define CUDASIM_PTX_PROGRAM_H

#include "engine.h"
#include "ptx/syntax.h"

namespace cudasim::ptx {

struct Warp;
struct Instruction;

constexpr unsigned lanes = 32;
using Mask = uint32_t; /* one bit a lane */
constexpr Mask all_lanes = ~Mask{0};

using Register = uint32_t; /* offset in a warp's register file, bytes */
constexpr Register no_register = ~Register{0};

/* Executes an instruction for the lanes of a mask that is not empty. */
using Handler = void (*)(Warp &, const Instruction &, Mask);

enum class Flow : uint8_t {
  next,     /* goes on with the instruction after it */
  branch,   /* to `target` for the lanes of the guard */
  indexed,  /* to targets[from[0]] */
  leave,    /* ends lanes */
  barrier,  /* waits for the block, then runs the handler, if any */
  converge, /* waits for the lanes of the mask in from[3], then runs the handler */
};

enum class Rounding : uint8_t { nearest, zero, down, up };

struct Instruction {
  Handler run = nullptr;
  Flow flow = Flow::next;
  bool guard_negated = false;
  bool negated = false;         /* the predicate that it reads is */
  bool saturate = false;        /* results are clamped to [0, 1] */
  bool flush = false;           /* .ftz: subnormals are zeros, on the way in and out */
  bool to_integer = false;      /* cvt rounds to an integer within a floating type */
  bool is_barrier = false;      /* of the block or of a warp */
  bool volatile_access = false; /* an access that other threads may make at the same time */
  Rounding rounding = Rounding::nearest;
  Space space = Space::generic;
  Type type = Type::none, from_type = Type::none;
  uint8_t to_bytes = 0,
          from_bytes = 0; /* width of the registers, where it may differ from the type's */
  uint8_t count = 1;      /* elements of a vector */
  uint8_t selector = 0;   /* comparison, table, barrier: the family's own */
  Register guard = no_register;
  Register to = no_register, to_also = no_register;
  Register from[4] = {no_register, no_register, no_register, no_register};
  Register list[4] = {no_register, no_register, no_register, no_register}; /* of a vector */
  int64_t offset = 0;                                                      /* added to an address */
  uint32_t target = 0;
  std::vector<uint32_t> targets;
  Location location;
  std::string text;

  /* What a launch remembers from one execution to the next. */
  mutable uint64_t executed = 0; /* thread instructions, of all launches */
  mutable uint64_t launch = 0;   /* that `near` and `granules` belong to */
  mutable Range near = {0, 0, nullptr};
  mutable uint64_t granule = ~uint64_t{0};
};

/* A register that is filled before the program starts. */
struct Constant {
  Register at;
  uint8_t bytes; /* 0: a predicate */
  uint64_t value;
};

enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_smem_size,
  total_smem_size,
};

struct SpecialRegister {
  Register at;
  Special which;
};

/* Generic addresses are those of global memory, except in these windows. */
constexpr uint64_t shared_window = uint64_t{1} << 56, local_window = uint64_t{2} << 56,
                   param_window = uint64_t{3} << 56;

/* Each shared variable has a megabyte of addresses for itself, so that what runs over its end meets
** nothing. Number 0 is no variable; 1 is dynamic shared memory. */
constexpr unsigned shared_shift = 20;
constexpr unsigned dynamic_shared = 1;

struct SharedVariable {
  std::string name;
  size_t size;
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<SpecialRegister> specials;
  Register register_bytes = 0;
  std::vector<Kernel::Parameter> parameters;
  std::vector<SharedVariable> shared; /* by number */
  size_t local_bytes = 0;
  uint32_t max_threads = 0;
  const std::map<unsigned, std::string> *files = nullptr;

  size_t parameter_bytes() const {
    return parameters.empty() ? 0 : parameters.back().offset + parameters.back().size;
  }
  std::string file(unsigned number) const; /* "?" when unknown */
};

/* Addresses of the module's variables. */
using Variables = std::map<std::string, uint64_t>;

/* Makes the entry `f` of `module` ready. Errors: Error with the text that is not understood. */
Program assemble(const Syntax &module, const Function &f, const Variables &variables);

} // namespace cudasim::ptx

#endif

/*
** A PTX module as it is written: declarations, and function bodies as lists of statements. Names are
** resolved and opcodes understood later, by assemble.cc.
*/
#ifndef CUDASIM_PTX_SYNTAX_H
#define CUDASIM_PTX_SYNTAX_H

#include "ptx/types.h"

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cudasim::ptx {

enum class Space : uint8_t { generic, global, shared, local, param, constant };

/* A position in the CUDA source, from .loc; `inlined_at` is where the function it lies in was inlined. */
struct Location {
  unsigned file = 0, line = 0; /* file 0: unknown */
  unsigned inlined_file = 0, inlined_line = 0;
};

struct Operand {
  enum Kind { name, integer, real32, real64, address, vector } kind = name;
  std::string text;     /* name: what it names; address: its base, empty for a number alone */
  uint64_t value = 0;   /* integer; bits of a real; offset of an address */
  bool negated = false; /* !%p */
  std::vector<Operand> elements; /* {a, b}, or a|b */
};

struct Opcode {
  std::string guard; /* the predicate after '@', or empty */
  bool guard_negated = false;
  std::vector<std::string> words; /* "ld", "global", "f32" */
  std::vector<Operand> operands;
  std::string text; /* as written, for messages */
  unsigned ptx_line = 0;
  Location location;
};

/* call (results), function, (arguments) */
struct Call {
  std::string function;
  std::vector<std::string> results, arguments;
};

/* A register, or a variable in a state space. */
struct Declaration {
  std::string name;
  Type type = Type::none;
  unsigned count = 0; /* registers: %r<count>, or 0 for one of exactly this name */
  Space space = Space::generic;
  size_t alignment = 1, size = 0;
  bool external = false;              /* dynamic shared memory, or another module's */
  std::vector<unsigned char> initial; /* empty for zeros */
  struct Reference {                  /* the address of another variable within `initial` */
    size_t offset;
    std::string name;
    uint64_t addend;
  };
  std::vector<Reference> references;
};

struct Statement {
  enum Kind { opcode, call, label, open, close, reg, variable, branch_targets } kind;
  Opcode op;               /* opcode, call (its guard, text and location) */
  Call callee;             /* call */
  std::string name;        /* label, branch_targets */
  Declaration declaration; /* reg, variable */
  std::vector<std::string> targets;
};

struct Function {
  std::string name;
  bool entry = false;
  bool defined = false;
  uint32_t max_threads = 0;
  std::vector<Declaration> parameters, results;
  std::string_view body; /* what is between its braces; see statements_of */
  unsigned body_line = 0;
};

struct Syntax {
  std::string text;
  std::string target; /* "sm_80" */
  std::map<unsigned, std::string> files;
  std::vector<Declaration> variables;
  std::map<std::string, Function> functions;
};

/* Errors: Error with the line of PTX. */
std::unique_ptr<Syntax> parse(std::string_view text);

/* Bodies are read when they are needed: a module has hundreds of kernels, and a test runs a few. */
std::vector<Statement> statements_of(const Function &f);

} // namespace cudasim::ptx

#endif

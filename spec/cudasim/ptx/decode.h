/*
** Making an Instruction out of the text of one. Each family of opcodes has a file of its own that lists its
** opcodes, each with a function that takes modifiers and operands from a Decoder. What the function does
** not take is not understood, and refused.
*/
#ifndef CUDASIM_PTX_DECODE_H
#define CUDASIM_PTX_DECODE_H

#include "ptx/program.h"

#include <initializer_list>

namespace cudasim::ptx {

/* Resolves names while a program is made. */
class Names {
public:
  virtual ~Names() = default;
  virtual bool find_register(const std::string &name, Register *r, Type *type) = 0;
  virtual bool find_special(const std::string &name, Register *r) = 0;
  /* A variable's address in its space. */
  virtual bool find_variable(const std::string &name, uint64_t *address, Space *space) = 0;
  virtual Register constant(uint64_t value, unsigned bytes) = 0; /* bytes 0: a predicate */
  virtual Register scratch() = 0; /* for a result that nobody wants, 8 bytes a lane */
  virtual uint32_t
  label(const std::string &name) = 0; /* to be resolved when the code is complete */
};

class Decoder {
public:
  Decoder(const Opcode &opcode, Names &names);

  Instruction out;
  const Opcode &op;

  /* Takes a modifier; false when it is not there. */
  bool has(std::string_view modifier);
  /* The index of the modifier that is there, or `otherwise`. */
  unsigned one_of(std::initializer_list<const char *> modifiers, unsigned otherwise);
  /* The next modifier that names a type; Type::none when there is no more. */
  Type type();
  /* .rn, .rz, .rm, .rp */
  void rounding();
  void ftz() { out.flush = has("ftz"); }
  void sat() { out.saturate = has("sat"); }

  size_t operands() const { return op.operands.size(); }
  void operands(size_t least, size_t most);

  /* The register that operand k reads or writes, which must have the width of the type. */
  Register read(size_t k, Type t) { return read(operand(k), t); }
  Register read(const Operand &o, Type t);
  Register write(size_t k, Type t) { return write(operand(k), t); }
  Register write(const Operand &o, Type t);
  /* The same for any width of at least the type's. */
  Register read_wider(const Operand &o, Type t, uint8_t *width);
  Register write_wider(const Operand &o, Type t, uint8_t *width);
  /* A predicate that may be negated, which goes to out.negated. */
  Register read_predicate(size_t k);

  /* [register + offset] or [variable + offset]: sets from[`slot`], offset and from_bytes. */
  void address(size_t k, unsigned slot);
  uint64_t number(size_t k); /* of an operand that must be one */
  const Operand &operand(size_t k) const;
  Names &names() { return resolver; }

  /* Chooses the handler; NULL: this type is not supported. */
  void run(Handler h);
  void finish(); /* everything has been taken */
  [[noreturn]] void fail(const std::string &what) const;

private:
  Names &resolver;
  std::vector<bool> taken; /* by word of the opcode */
  Register find(const Operand &o, Type *type);
};

using Decode = void (*)(Decoder &);
using Opcodes = std::map<std::string_view, Decode>;

void add_arithmetic(Opcodes &);  /* add, mul, fma, min, ... of all types */
void add_functions(Opcodes &);   /* sqrt, ex2, sin, testp, ... */
void add_integers(Opcodes &);    /* logic, shifts, bit fields, carries */
void add_comparisons(Opcodes &); /* setp, set, selp, slct */
void add_conversions(Opcodes &); /* cvt */
void add_moves(Opcodes &);       /* mov, cvta, isspacep */
void add_memory(Opcodes &);      /* ld, st, fences */
void add_atomics(Opcodes &);     /* atom, red */
void add_collectives(Opcodes &); /* shfl, vote, match, redux, barriers */

void decode_carry(Decoder &); /* add, sub and mad with .cc, addc, subc, madc */

/* Calls f with a value of the C++ type that holds a lane of `t` and returns what it returns: a handler.
** Bits count as unsigned. */
template <class F> Handler with_integer(Type t, F f) {
  switch (t) {
  case Type::u16:
  case Type::b16:
    return f(uint16_t{});
  case Type::s16:
    return f(int16_t{});
  case Type::u32:
  case Type::b32:
    return f(uint32_t{});
  case Type::s32:
    return f(int32_t{});
  case Type::u64:
  case Type::b64:
    return f(uint64_t{});
  case Type::s64:
    return f(int64_t{});
  default:
    return nullptr;
  }
}

template <class F> Handler with_float(Type t, F f) {
  switch (t) {
  case Type::f16:
    return f(Half{});
  case Type::bf16:
    return f(Bfloat{});
  case Type::f32:
    return f(float{});
  case Type::f64:
    return f(double{});
  default:
    return nullptr;
  }
}

/* The same for a type of which only the bits matter. */
template <class F> Handler with_bits(Type t, F f) {
  switch (bytes(t)) {
  case 2:
    return f(uint16_t{});
  case 4:
    return f(uint32_t{});
  case 8:
    return f(uint64_t{});
  default:
    return nullptr;
  }
}

} // namespace cudasim::ptx

#endif

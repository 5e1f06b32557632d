#include "ptx/decode.h"

#include <cstring>

namespace cudasim::ptx {

Decoder::Decoder(const Opcode &opcode, Names &names)
    : op(opcode), resolver(names), taken(opcode.words.size(), false) {
  taken[0] = true;
  out.location = op.location;
  out.text = op.text;
  if (!op.guard.empty()) {
    Operand guard;
    guard.text = op.guard;
    out.guard = read(guard, Type::pred);
    out.guard_negated = op.guard_negated;
  }
}

void Decoder::fail(const std::string &what) const {
  throw Error("PTX line " + std::to_string(op.ptx_line) + ": " + what + ": " + op.text);
}

bool Decoder::has(std::string_view modifier) {
  for (size_t i = 1; i < op.words.size(); i++)
    if (!taken[i] && op.words[i] == modifier) {
      taken[i] = true;
      return true;
    }
  return false;
}

unsigned Decoder::one_of(std::initializer_list<const char *> modifiers, unsigned otherwise) {
  unsigned k = 0;
  for (const char *m : modifiers) {
    if (has(m)) return k;
    k++;
  }
  return otherwise;
}

Type Decoder::type() {
  for (size_t i = 1; i < op.words.size(); i++) {
    Type t = type_named(op.words[i]);
    if (taken[i] || t == Type::none) continue;
    taken[i] = true;
    return t;
  }
  return Type::none;
}

void Decoder::rounding() {
  out.rounding = static_cast<Rounding>(one_of({"rn", "rz", "rm", "rp"}, 0));
}

void Decoder::operands(size_t least, size_t most) {
  if (op.operands.size() < least || op.operands.size() > most)
    fail("unexpected number of operands");
}

const Operand &Decoder::operand(size_t k) const {
  if (k >= op.operands.size()) fail("too few operands");
  return op.operands[k];
}

uint64_t Decoder::number(size_t k) {
  if (operand(k).kind != Operand::integer) fail("expected a number as operand");
  return operand(k).value;
}

/* A register, special or declared. */
Register Decoder::find(const Operand &o, Type *type) {
  Register r;
  if (resolver.find_register(o.text, &r, type)) return r;
  *type = Type::u32;
  if (resolver.find_special(o.text, &r)) return r;
  return no_register;
}

Register Decoder::read_wider(const Operand &o, Type t, uint8_t *width) {
  *width = static_cast<uint8_t>(bytes(t));
  switch (o.kind) {
  case Operand::integer:
    return resolver.constant(o.value, bytes(t));
  case Operand::real32:
    if (t != Type::f64) return resolver.constant(o.value, bytes(t));
    {
      float narrow;
      uint32_t bits = static_cast<uint32_t>(o.value);
      std::memcpy(&narrow, &bits, sizeof narrow);
      double wide = narrow;
      uint64_t wide_bits;
      std::memcpy(&wide_bits, &wide, sizeof wide_bits);
      return resolver.constant(wide_bits, 8);
    }
  case Operand::real64:
    if (bytes(t) != 8) fail("a number of 64 bits for ." + std::string(name(t)));
    return resolver.constant(o.value, 8);
  case Operand::name: {
    Type of_register;
    Register r = find(o, &of_register);
    if (r != no_register) {
      *width = static_cast<uint8_t>(bytes(of_register));
      if ((of_register == Type::pred) != (t == Type::pred) || *width < bytes(t))
        fail(o.text + " is too narrow for ." + name(t));
      return r;
    }
    uint64_t at;
    Space space;
    if (resolver.find_variable(o.text, &at, &space)) return resolver.constant(at, bytes(t));
    fail("unknown name '" + o.text + "'");
  }
  default:
    fail("unexpected form of operand");
  }
}

Register Decoder::read(const Operand &o, Type t) {
  if (o.negated) fail("a negated operand is not supported here");
  uint8_t width;
  Register r = read_wider(o, t, &width);
  if (width != bytes(t)) fail("'" + o.text + "' has not the width of ." + name(t));
  return r;
}

Register Decoder::write_wider(const Operand &o, Type t, uint8_t *width) {
  if (o.kind != Operand::name) fail("expected a register to write to");
  if (o.text == "_") {
    *width = static_cast<uint8_t>(bytes(t));
    return resolver.scratch();
  }
  Type of_register;
  Register r;
  if (!resolver.find_register(o.text, &r, &of_register)) fail("unknown register '" + o.text + "'");
  *width = static_cast<uint8_t>(bytes(of_register));
  if ((of_register == Type::pred) != (t == Type::pred) || *width < bytes(t))
    fail(o.text + " is too narrow for ." + name(t));
  return r;
}

Register Decoder::write(const Operand &o, Type t) {
  uint8_t width;
  Register r = write_wider(o, t, &width);
  if (width != bytes(t)) fail("'" + o.text + "' has not the width of ." + name(t));
  return r;
}

Register Decoder::read_predicate(size_t k) {
  Operand plain = operand(k);
  out.negated = plain.negated;
  plain.negated = false;
  return read(plain, Type::pred);
}

void Decoder::address(size_t k, unsigned slot) {
  const Operand &o = operand(k);
  if (o.kind != Operand::address) fail("expected an address");
  out.offset = static_cast<int64_t>(o.value);
  out.from_bytes = 8;
  if (o.text.empty()) {
    out.from[slot] = resolver.constant(0, 8);
    return;
  }
  Type type;
  Register r = find(o, &type);
  uint64_t at;
  Space space;
  if (r != no_register) {
    if (bytes(type) < 4) fail("'" + o.text + "' is too narrow for an address");
    out.from[slot] = r;
    out.from_bytes = static_cast<uint8_t>(bytes(type));
  } else if (resolver.find_variable(o.text, &at, &space)) {
    out.from[slot] = resolver.constant(at, 8);
    /* The parameters of a device function that was inlined lie in the thread's local memory. */
    if (out.space == Space::param || out.space == Space::generic)
      out.space = space;
    else if (space != out.space)
      fail("a variable of another space");
  } else {
    fail("unknown name '" + o.text + "'");
  }
}

void Decoder::run(Handler h) {
  if (h == nullptr) fail("an instruction of this type is not supported");
  out.run = h;
}

void Decoder::finish() {
  for (size_t i = 0; i < taken.size(); i++)
    if (!taken[i]) fail("unknown modifier ." + op.words[i]);
}

} // namespace cudasim::ptx

/* mov, with packing and unpacking; addresses between the generic space and the others. */
#include "ptx/elementwise.h"

#include <cstring>

namespace cudasim::ptx {

namespace {

template <class T> void move(Warp &w, const Instruction &i, Mask m) {
  const T *a = w.lanes_of<T>(i.from[0]);
  compute<T>(w, i.to, m, [=](unsigned l) { return a[l]; });
}

void move_predicate(Warp &w, const Instruction &i, Mask m) {
  assign(w.predicate(i.to), m, w.predicate(i.from[0]) ^ (i.negated ? all_lanes : 0));
}

/* mov.b64 d, {a, b} and mov.b64 {d, e}, a: the first element holds the low bits. */
void pack(Warp &w, const Instruction &i, Mask m) {
  const unsigned whole = i.to_bytes, part = whole / i.count;
  for (unsigned k = 0; k < i.count; k++) {
    const unsigned char *from = w.lanes_of<unsigned char>(i.list[k]);
    unsigned char *to = w.lanes_of<unsigned char>(i.to) + k * part;
    each(m, [&](unsigned l) { std::memcpy(to + l * whole, from + l * part, part); });
  }
}
void unpack(Warp &w, const Instruction &i, Mask m) {
  const unsigned whole = i.from_bytes, part = whole / i.count;
  for (unsigned k = 0; k < i.count; k++) {
    const unsigned char *from = w.lanes_of<unsigned char>(i.from[0]) + k * part;
    unsigned char *to = w.lanes_of<unsigned char>(i.list[k]);
    each(m, [&](unsigned l) { std::memcpy(to + l * part, from + l * whole, part); });
  }
}

uint64_t window_of(Space s) {
  switch (s) {
  case Space::shared:
    return shared_window;
  case Space::local:
    return local_window;
  case Space::param:
    return param_window;
  default:
    return 0;
  }
}

/* cvta: `offset` is what makes an address of a space generic, or the reverse. Between registers of 32 and 64
** bits too. */
template <class D, class S> void convert_address(Warp &w, const Instruction &i, Mask m) {
  const S *a = w.lanes_of<S>(i.from[0]);
  const uint64_t offset = static_cast<uint64_t>(i.offset);
  compute<D>(w, i.to, m, [=](unsigned l) { return static_cast<D>(a[l] + offset); });
}

/* isspacep: whether a generic address lies in a space. */
void in_space(Warp &w, const Instruction &i, Mask m) {
  const uint64_t *a = w.lanes_of<uint64_t>(i.from[0]);
  const uint64_t window = window_of(i.space);
  assign(w.predicate(i.to), m, where([=](unsigned l) { return (a[l] >> 56 << 56) == window; }));
}

constexpr std::initializer_list<const char *> space_names = {"global", "shared", "local", "const",
                                                             "param"};
constexpr Space spaces[] = {Space::global,   Space::shared, Space::local,
                            Space::constant, Space::param,  Space::generic};

void cvta(Decoder &d) {
  const bool to_space = d.has("to");
  const Space s = spaces[d.one_of(space_names, 5)];
  if (s == Space::generic) d.fail("expected a space");
  Type t = d.type();
  d.operands(2, 2);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  if (bytes(t) != 8) d.fail("only 64-bit addresses are supported");
  /* The parameters of an inlined function are local. */
  uint64_t at;
  Space real = s;
  const Operand &o = d.operand(1);
  if (o.kind == Operand::name && !o.text.empty() && o.text[0] != '%')
    d.names().find_variable(o.text, &at, &real);
  const int64_t window = static_cast<int64_t>(window_of(real));
  d.out.offset = to_space ? -window : window;
  d.run(convert_address<uint64_t, uint64_t>);
}

void isspacep(Decoder &d) {
  d.out.space = spaces[d.one_of(space_names, 5)];
  if (d.out.space == Space::generic) d.fail("expected a space");
  d.operands(2, 2);
  d.out.to = d.write(0, Type::pred);
  d.out.from[0] = d.read(1, Type::u64);
  d.run(in_space);
}

void mov_elements(Decoder &d, Type t, const Operand &list, bool unpacks) {
  const size_t n = list.elements.size();
  if (n != 2 && n != 4) d.fail("expected two or four elements");
  const Type part = unsigned_of(static_cast<unsigned>(bytes(t) / n));
  if (bytes(part) < 2) d.fail("registers of 8 bits are not supported");
  d.out.count = static_cast<uint8_t>(n);
  for (size_t k = 0; k < n; k++)
    d.out.list[k] = unpacks ? d.write(list.elements[k], part) : d.read(list.elements[k], part);
}

void mov(Decoder &d) {
  Type t = d.type();
  d.operands(2, 2);
  d.out.to_bytes = d.out.from_bytes = static_cast<uint8_t>(bytes(t));
  if (d.operand(0).kind == Operand::vector) {
    mov_elements(d, t, d.operand(0), true);
    d.out.from[0] = d.read(1, t);
    return d.run(unpack);
  }
  d.out.to = d.write(0, t);
  if (d.operand(1).kind == Operand::vector) {
    mov_elements(d, t, d.operand(1), false);
    return d.run(pack);
  }
  if (t == Type::pred) {
    d.out.from[0] = d.read_predicate(1);
    return d.run(move_predicate);
  }
  d.out.from[0] = d.read(1, t);
  d.run(with_bits(t, [](auto lane) -> Handler { return move<decltype(lane)>; }));
}

} // namespace

void add_moves(Opcodes &table) {
  table["mov"] = mov;
  table["cvta"] = cvta;
  table["isspacep"] = isspacep;
}

} // namespace cudasim::ptx

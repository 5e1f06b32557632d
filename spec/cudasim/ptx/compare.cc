/* setp and set, which compare; selp and slct, which choose. */
#include "ptx/elementwise.h"

namespace cudasim::ptx {

namespace {

/* In the order of `names`. Those with a u hold for NaN too. */
enum Comparison : uint8_t {
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  lo,
  ls,
  hi,
  hs,
  equ,
  neu,
  ltu,
  leu,
  gtu,
  geu,
  num,
  nan_
};
constexpr std::initializer_list<const char *> names = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                                       "lo",  "ls",  "hi",  "hs",  "equ", "neu",
                                                       "ltu", "leu", "gtu", "geu", "num", "nan"};

template <class T, class F> Mask compared(const T *a, const T *b, F f) {
  return where([=](unsigned l) { return f(a[l], b[l]); });
}

template <class T> Mask compared(uint8_t comparison, const T *a, const T *b) {
  switch (comparison) {
  case eq:
    return compared(a, b, [](T x, T y) { return x == y; });
  case ne:
    return compared(a, b, [](T x, T y) { return x < y || x > y; });
  case lt:
  case lo:
    return compared(a, b, [](T x, T y) { return x < y; });
  case le:
  case ls:
    return compared(a, b, [](T x, T y) { return x <= y; });
  case gt:
  case hi:
    return compared(a, b, [](T x, T y) { return x > y; });
  case ge:
  case hs:
    return compared(a, b, [](T x, T y) { return x >= y; });
  case equ:
    return compared(a, b, [](T x, T y) { return !(x < y || x > y); });
  case neu:
    return compared(a, b, [](T x, T y) { return x != y; });
  case ltu:
    return compared(a, b, [](T x, T y) { return !(x >= y); });
  case leu:
    return compared(a, b, [](T x, T y) { return !(x > y); });
  case gtu:
    return compared(a, b, [](T x, T y) { return !(x <= y); });
  case geu:
    return compared(a, b, [](T x, T y) { return !(x < y); });
  case num:
    return compared(a, b, [](T x, T y) { return x == x && y == y; });
  default:
    return compared(a, b, [](T x, T y) { return x != x || y != y; });
  }
}

/* Halves, and floats whose subnormals count as zero, are compared as floats. */
template <class T> Mask compared(Warp &w, const Instruction &i) {
  const T *a = w.lanes_of<T>(i.from[0]), *b = w.lanes_of<T>(i.from[1]);
  if constexpr (is_half<T>) {
    float x[lanes], y[lanes];
    for (unsigned l = 0; l < lanes; l++) x[l] = to_float(a[l]), y[l] = to_float(b[l]);
    return compared(i.selector, x, y);
  } else {
    if constexpr (std::is_same_v<T, float>)
      if (i.flush) {
        float x[lanes], y[lanes];
        for (unsigned l = 0; l < lanes; l++) x[l] = flushed(a[l]), y[l] = flushed(b[l]);
        return compared(i.selector, x, y);
      }
    return compared(i.selector, a, b);
  }
}

/* The predicate that the comparison is combined with, in from[2]; `offset` says how. */
enum Combination : int64_t { alone, with_and, with_or, with_xor };

Mask combined(int64_t how, Mask value, Mask other) {
  switch (how) {
  case with_and:
    return value & other;
  case with_or:
    return value | other;
  case with_xor:
    return value ^ other;
  default:
    return value;
  }
}

template <class T> void set_predicate(Warp &w, const Instruction &i, Mask m) {
  const Mask value = compared<T>(w, i);
  const Mask other = i.offset == alone ? 0 : w.predicate(i.from[2]) ^ (i.negated ? all_lanes : 0);
  assign(w.predicate(i.to), m, combined(i.offset, value, other));
  if (i.to_also != no_register)
    assign(w.predicate(i.to_also), m, combined(i.offset, ~value, other));
}

/* set: true is all ones in integers, 1.0 in floats. */
template <class T> void set_value(Warp &w, const Instruction &i, Mask m) {
  const Mask value = compared<T>(w, i);
  if (i.to_bytes == 2) {
    const uint16_t yes = i.type == Type::f16 ? 0x3c00 : i.type == Type::bf16 ? 0x3f80 : 0xffff;
    compute<uint16_t>(w, i.to, m, [=](unsigned l) { return value >> l & 1 ? yes : uint16_t{0}; });
  } else {
    const uint32_t yes = i.type == Type::f32 ? bits_as<uint32_t>(1.0f) : ~0u;
    compute<uint32_t>(w, i.to, m, [=](unsigned l) { return value >> l & 1 ? yes : 0u; });
  }
}

template <class T> void select(Warp &w, const Instruction &i, Mask m) {
  const T *a = w.lanes_of<T>(i.from[0]), *b = w.lanes_of<T>(i.from[1]);
  const Mask p = w.predicate(i.from[2]) ^ (i.negated ? all_lanes : 0);
  compute<T>(w, i.to, m, [=](unsigned l) { return p >> l & 1 ? a[l] : b[l]; });
}

/* slct: a where c >= 0, else b. */
template <class T> void select_by_sign(Warp &w, const Instruction &i, Mask m) {
  const T *a = w.lanes_of<T>(i.from[0]), *b = w.lanes_of<T>(i.from[1]);
  const uint32_t *c = w.lanes_of<uint32_t>(i.from[2]);
  const bool real = i.from_type == Type::f32;
  compute<T>(w, i.to, m, [=](unsigned l) {
    return (real ? bits_as<float>(c[l]) >= 0 : static_cast<int32_t>(c[l]) >= 0) ? a[l] : b[l];
  });
}

unsigned comparison(Decoder &d) {
  unsigned k = d.one_of(names, 99);
  if (k == 99) d.fail("unknown comparison");
  return k;
}

void setp(Decoder &d) {
  d.out.selector = static_cast<uint8_t>(comparison(d));
  d.out.offset = d.one_of({"and", "or", "xor"}, 3) + 1;
  if (d.out.offset == 4) d.out.offset = alone;
  d.ftz();
  Type t = d.type();
  d.operands(d.out.offset == alone ? 3 : 4, d.out.offset == alone ? 3 : 4);
  if (d.operand(0).kind == Operand::vector) { /* p|q */
    if (d.operand(0).elements.size() != 2) d.fail("expected p|q");
    d.out.to = d.write(d.operand(0).elements[0], Type::pred);
    d.out.to_also = d.write(d.operand(0).elements[1], Type::pred);
  } else {
    d.out.to = d.write(0, Type::pred);
  }
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  if (d.out.offset != alone) d.out.from[2] = d.read_predicate(3);
  auto handler = [](auto lane) -> Handler { return set_predicate<decltype(lane)>; };
  d.run(is_integer(t) ? with_integer(t, handler) : with_float(t, handler));
}

void set(Decoder &d) {
  d.out.selector = static_cast<uint8_t>(comparison(d));
  d.ftz();
  d.out.type = d.type();
  Type t = d.type();
  d.operands(3, 3);
  d.out.to_bytes = static_cast<uint8_t>(bytes(d.out.type));
  if (d.out.to_bytes != 2 && d.out.to_bytes != 4) d.fail("a result of this type is not supported");
  d.out.to = d.write(0, d.out.type);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  auto handler = [](auto lane) -> Handler { return set_value<decltype(lane)>; };
  d.run(is_integer(t) ? with_integer(t, handler) : with_float(t, handler));
}

void selp(Decoder &d) {
  Type t = d.type();
  d.operands(4, 4);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  d.out.from[2] = d.read_predicate(3);
  d.run(with_bits(t, [](auto lane) -> Handler { return select<decltype(lane)>; }));
}

void slct(Decoder &d) {
  d.ftz();
  Type t = d.type();
  d.out.from_type = d.type();
  d.operands(4, 4);
  if (bytes(d.out.from_type) != 4) d.fail("the choice is of 32 bits");
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  d.out.from[2] = d.read(3, d.out.from_type);
  d.run(with_bits(t, [](auto lane) -> Handler { return select_by_sign<decltype(lane)>; }));
}

} // namespace

void add_comparisons(Opcodes &table) {
  table["setp"] = setp;
  table["set"] = set;
  table["selp"] = selp;
  table["slct"] = slct;
}

} // namespace cudasim::ptx

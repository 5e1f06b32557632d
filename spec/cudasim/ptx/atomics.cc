/* atom and red: the lanes of a warp one after the other, lowest first. */
#include "ptx/access.h"
#include "ptx/elementwise.h"

#include <cstring>

namespace cudasim::ptx {

namespace {

struct AtomicAdd {
  template <class T> T operator()(T old, T b, T) const { return static_cast<T>(old + b); }
};
struct AtomicMin {
  template <class T> T operator()(T old, T b, T) const { return b < old ? b : old; }
};
struct AtomicMax {
  template <class T> T operator()(T old, T b, T) const { return b > old ? b : old; }
};
struct AtomicAnd {
  template <class T> T operator()(T old, T b, T) const { return static_cast<T>(old & b); }
};
struct AtomicOr {
  template <class T> T operator()(T old, T b, T) const { return static_cast<T>(old | b); }
};
struct AtomicXor {
  template <class T> T operator()(T old, T b, T) const { return static_cast<T>(old ^ b); }
};
struct AtomicExchange {
  template <class T> T operator()(T, T b, T) const { return b; }
};
struct AtomicCompareAndSwap {
  template <class T> T operator()(T old, T b, T c) const { return old == b ? c : old; }
};
struct AtomicInc {
  template <class T> T operator()(T old, T b, T) const {
    return old >= b ? T{0} : static_cast<T>(old + 1);
  }
};
struct AtomicDec {
  template <class T> T operator()(T old, T b, T) const {
    return old == 0 || old > b ? b : static_cast<T>(old - 1);
  }
};

template <class F, class T> void atomic(Warp &w, const Instruction &i, Mask m) {
  Places p;
  locate(w, i, m, sizeof(T), Access::strong_write, &p);
  const T *b = w.lanes_of<T>(i.from[1]);
  const T *c = i.from[2] == no_register ? b : w.lanes_of<T>(i.from[2]);
  T *d = i.to == no_register ? nullptr : w.lanes_of<T>(i.to);
  each(m, [&](unsigned l) {
    T old;
    std::memcpy(&old, p.at[l], sizeof old);
    const T now = apply<F>(old, b[l], c[l]);
    std::memcpy(p.at[l], &now, sizeof now);
    if (d != nullptr) d[l] = old;
  });
}

template <class F> Handler on_integers(Type t) {
  return with_integer(t, [](auto lane) -> Handler { return atomic<F, decltype(lane)>; });
}

Handler add_handler(Type t) {
  if (t == Type::f16x2) return atomic<AtomicAdd, Pair<Half>>;
  if (t == Type::bf16x2) return atomic<AtomicAdd, Pair<Bfloat>>;
  if (is_float(t))
    return with_float(t, [](auto lane) -> Handler { return atomic<AtomicAdd, decltype(lane)>; });
  return on_integers<AtomicAdd>(t);
}

Handler handler_of(unsigned operation, Type t) {
  switch (operation) {
  case 0:
    return add_handler(t);
  case 1:
    return on_integers<AtomicMin>(t);
  case 2:
    return on_integers<AtomicMax>(t);
  case 3:
    return on_integers<AtomicAnd>(t);
  case 4:
    return on_integers<AtomicOr>(t);
  case 5:
    return on_integers<AtomicXor>(t);
  case 6:
    return on_integers<AtomicExchange>(t);
  case 7:
    return on_integers<AtomicCompareAndSwap>(t);
  case 8:
    return on_integers<AtomicInc>(t);
  case 9:
    return on_integers<AtomicDec>(t);
  default:
    return nullptr;
  }
}

/* Semantics, scope, space, operation, type. */
Type modifiers(Decoder &d, unsigned *operation) {
  d.one_of({"relaxed", "acquire", "release", "acq_rel"}, 0);
  d.one_of({"cta", "cluster", "gpu", "sys"}, 0);
  constexpr Space spaces[] = {Space::global, Space::shared, Space::shared, Space::generic};
  d.out.space = spaces[d.one_of({"global", "shared", "shared::cta"}, 3)];
  d.has("noftz");
  *operation = d.one_of({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"}, 10);
  return d.type();
}

void atom(Decoder &d) {
  unsigned operation;
  const Type t = modifiers(d, &operation);
  const bool swap = operation == 7;
  d.operands(swap ? 4 : 3, swap ? 4 : 3);
  d.out.to = d.write(0, t);
  d.address(1, 0);
  d.out.from[1] = d.read(2, t);
  if (swap) d.out.from[2] = d.read(3, t);
  d.run(handler_of(operation, t));
}

void red(Decoder &d) {
  unsigned operation;
  const Type t = modifiers(d, &operation);
  d.operands(2, 2);
  d.address(0, 0);
  d.out.from[1] = d.read(1, t);
  d.run(operation == 6 || operation == 7 ? nullptr : handler_of(operation, t));
}

} // namespace

void add_atomics(Opcodes &table) {
  table["atom"] = atom;
  table["red"] = red;
}

} // namespace cudasim::ptx

/* Logic, shifts, bit fields and counts; permutations of bytes; dot products of bytes. */
#include "ptx/elementwise.h"

#include <algorithm>

namespace cudasim::ptx {

namespace {

struct And {
  template <class T> T operator()(T a, T b) const { return static_cast<T>(a & b); }
};
struct Or {
  template <class T> T operator()(T a, T b) const { return static_cast<T>(a | b); }
};
struct Xor {
  template <class T> T operator()(T a, T b) const { return static_cast<T>(a ^ b); }
};
struct Not {
  template <class T> T operator()(T a) const { return static_cast<T>(~a); }
};
struct Cnot {
  template <class T> T operator()(T a) const { return a == 0; }
};
struct Brev {
  template <class T> T operator()(T a) const {
    T result = 0;
    for (unsigned k = 0; k < sizeof(T) * 8; k++)
      result = static_cast<T>(result << 1 | (a >> k & 1));
    return result;
  }
};

template <class F, unsigned N> void logic_of_predicates(Warp &w, const Instruction &i, Mask m) {
  if constexpr (N == 1)
    assign(w.predicate(i.to), m, F{}(w.predicate(i.from[0])));
  else
    assign(w.predicate(i.to), m, F{}(w.predicate(i.from[0]), w.predicate(i.from[1])));
}

/* Shifts by the width and more give 0, or copies of the sign. */
struct ShiftLeft {
  template <class T> T operator()(T a, uint32_t n) const {
    return n >= sizeof(T) * 8 ? T{0} : static_cast<T>(a << n);
  }
};
struct ShiftRight {
  template <class T> T operator()(T a, uint32_t n) const {
    constexpr uint32_t width = sizeof(T) * 8;
    if constexpr (std::is_signed_v<T>)
      return static_cast<T>(a >> std::min(n, width - 1));
    else
      return n >= width ? T{0} : static_cast<T>(a >> n);
  }
};
template <class F, class T> void shift(Warp &w, const Instruction &i, Mask m) {
  const T *a = w.lanes_of<T>(i.from[0]);
  const uint32_t *n = w.lanes_of<uint32_t>(i.from[1]);
  compute<T>(w, i.to, m, [=](unsigned l) { return F{}(a[l], n[l]); });
}

/* shf: 64 bits {b, a} shifted, the upper or the lower half of the result. */
enum Funnel : uint8_t { left_wrap, left_clamp, right_wrap, right_clamp };

void funnel_shift(Warp &w, const Instruction &i, Mask m) {
  const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]), *b = w.lanes_of<uint32_t>(i.from[1]),
                 *c = w.lanes_of<uint32_t>(i.from[2]);
  const bool wrap = i.selector == left_wrap || i.selector == right_wrap;
  const bool left = i.selector == left_wrap || i.selector == left_clamp;
  compute<uint32_t>(w, i.to, m, [=](unsigned l) {
    const uint64_t both = static_cast<uint64_t>(b[l]) << 32 | a[l];
    const uint32_t n = wrap ? c[l] & 31 : std::min(c[l], 32u);
    return static_cast<uint32_t>(left ? both << n >> 32 : both >> n);
  });
}

/* Bit k of the result is bit (a_k b_k c_k) of the table. */
void lop3(Warp &w, const Instruction &i, Mask m) {
  const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]), *b = w.lanes_of<uint32_t>(i.from[1]),
                 *c = w.lanes_of<uint32_t>(i.from[2]);
  const uint8_t table = i.selector;
  compute<uint32_t>(w, i.to, m, [=](unsigned l) {
    uint32_t result = 0;
    for (unsigned k = 0; k < 8; k++) {
      const uint32_t row = (k & 4 ? a[l] : ~a[l]) & (k & 2 ? b[l] : ~b[l]) & (k & 1 ? c[l] : ~c[l]);
      if (table >> k & 1) result |= row;
    }
    return result;
  });
}

/* The default mode of prmt: each four bits of c choose a byte of {b, a}, or copies of its sign. */
void permute_bytes(Warp &w, const Instruction &i, Mask m) {
  const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]), *b = w.lanes_of<uint32_t>(i.from[1]),
                 *c = w.lanes_of<uint32_t>(i.from[2]);
  compute<uint32_t>(w, i.to, m, [=](unsigned l) {
    const uint64_t both = static_cast<uint64_t>(b[l]) << 32 | a[l];
    uint32_t result = 0;
    for (unsigned k = 0; k < 4; k++) {
      const uint32_t choice = c[l] >> 4 * k & 15, byte = both >> 8 * (choice & 7) & 0xff;
      result |= (choice & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte) << 8 * k;
    }
    return result;
  });
}

/* bfe: `length` bits of a from position `start` on, extended by their sign or by zeros. */
template <class T> void extract(Warp &w, const Instruction &i, Mask m) {
  using U = std::make_unsigned_t<T>;
  constexpr uint32_t width = sizeof(T) * 8;
  const T *a = w.lanes_of<T>(i.from[0]);
  const uint32_t *start = w.lanes_of<uint32_t>(i.from[1]),
                 *length = w.lanes_of<uint32_t>(i.from[2]);
  compute<T>(w, i.to, m, [=](unsigned l) {
    const uint32_t p = start[l] & 0xff, n = length[l] & 0xff;
    if (n == 0) return T{0};
    const bool sign = std::is_signed_v<T> && a[l] >> std::min(p + n - 1, width - 1) & 1;
    const U ones = ~U{0}, mask = n >= width ? ones : static_cast<U>((U{1} << n) - 1);
    U field = p >= width ? U{0} : static_cast<U>(static_cast<U>(a[l]) >> p & mask);
    /* bits beyond the top of a are sign too */
    const U known = p >= width ? U{0} : p == 0 ? mask : static_cast<U>(mask & (ones >> p));
    return static_cast<T>(sign ? field | static_cast<U>(~known) : field);
  });
}

/* bfi: b with `length` bits from position `start` on replaced by those of a. */
template <class U> void insert(Warp &w, const Instruction &i, Mask m) {
  constexpr uint32_t width = sizeof(U) * 8;
  const U *a = w.lanes_of<U>(i.from[0]), *b = w.lanes_of<U>(i.from[1]);
  const uint32_t *start = w.lanes_of<uint32_t>(i.from[2]),
                 *length = w.lanes_of<uint32_t>(i.from[3]);
  compute<U>(w, i.to, m, [=](unsigned l) {
    const uint32_t p = start[l] & 0xff, n = length[l] & 0xff;
    if (p >= width) return b[l];
    const U mask = static_cast<U>((n >= width ? ~U{0} : (U{1} << n) - 1) << p);
    return static_cast<U>((b[l] & ~mask) | (a[l] << p & mask));
  });
}

template <class T> uint32_t leading_zeros(T a) {
  if (a == 0) return sizeof(T) * 8;
  return static_cast<uint32_t>(sizeof(T) == 8 ? __builtin_clzll(a)
                                              : __builtin_clz(static_cast<uint32_t>(a)));
}
struct Popc {
  template <class T> uint32_t operator()(T a) const {
    return static_cast<uint32_t>(__builtin_popcountll(a));
  }
};
struct Clz {
  template <class T> uint32_t operator()(T a) const { return leading_zeros(a); }
};
template <class F, class U> void count(Warp &w, const Instruction &i, Mask m) {
  const U *a = w.lanes_of<U>(i.from[0]);
  compute<uint32_t>(w, i.to, m, [=](unsigned l) { return F{}(a[l]); });
}

/* bfind: the position of the highest bit that differs from the sign; all ones when there is none. */
template <class T> void find_highest(Warp &w, const Instruction &i, Mask m) {
  using U = std::make_unsigned_t<T>;
  const T *a = w.lanes_of<T>(i.from[0]);
  const bool distance = i.selector; /* .shiftamt */
  compute<uint32_t>(w, i.to, m, [=](unsigned l) {
    const U bits = static_cast<U>(a[l] < 0 ? ~a[l] : a[l]);
    if (bits == 0) return ~uint32_t{0};
    const uint32_t zeros = leading_zeros(bits);
    return distance ? zeros : static_cast<uint32_t>(sizeof(T) * 8 - 1) - zeros;
  });
}

/* dp4a, dp2a: c + the dot product of bytes of a with bytes of b (dp4a) or halves of a with bytes of b. */
template <bool signed_a, bool signed_b> void dot4(Warp &w, const Instruction &i, Mask m) {
  using A = std::conditional_t<signed_a, int8_t, uint8_t>;
  using B = std::conditional_t<signed_b, int8_t, uint8_t>;
  const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]), *b = w.lanes_of<uint32_t>(i.from[1]),
                 *c = w.lanes_of<uint32_t>(i.from[2]);
  compute<uint32_t>(w, i.to, m, [=](unsigned l) {
    uint32_t sum = c[l];
    for (unsigned k = 0; k < 32; k += 8)
      sum += static_cast<uint32_t>(static_cast<A>(a[l] >> k) * static_cast<B>(b[l] >> k));
    return sum;
  });
}

/* Carries ----------------------------------------------------------------------------------------- */

enum CarryKind : uint8_t { add_, sub_, mad_low, mad_high, kinds = 3, takes = 4, gives = 8 };

/* add.cc, addc, sub.cc, subc, mad.cc, madc: chains of words through one flag a lane. */
template <class U> void with_carry(Warp &w, const Instruction &i, Mask m) {
  const U *a = w.lanes_of<U>(i.from[0]), *b = w.lanes_of<U>(i.from[1]);
  const U *c = (i.selector & kinds) >= mad_low ? w.lanes_of<U>(i.from[2]) : nullptr;
  U *to = w.lanes_of<U>(i.to);
  using Wide = unsigned __int128;
  constexpr unsigned width = sizeof(U) * 8;
  each(m, [&](unsigned l) {
    const Wide flag = i.selector & takes ? w.carry >> l & 1 : 0;
    Wide sum;
    switch (i.selector & kinds) {
    case add_:
      sum = Wide{a[l]} + b[l] + flag;
      break;
    case sub_:
      sum = Wide{a[l]} - b[l] - flag;
      break;
    case mad_low:
      sum = Wide{static_cast<U>(Wide{a[l]} * b[l])} + c[l] + flag;
      break;
    default:
      sum = Wide{static_cast<U>(Wide{a[l]} * b[l] >> width)} + c[l] + flag;
      break;
    }
    to[l] = static_cast<U>(sum);
    if (i.selector & gives) assign(w.carry, Mask{1} << l, sum >> width & 1 ? all_lanes : 0);
  });
}

} // namespace

void decode_carry(Decoder &d) {
  const std::string &name = d.op.words[0];
  unsigned kind = name.substr(0, 3) == "add" ? add_ : name.substr(0, 3) == "sub" ? sub_ : mad_low;
  if (kind == mad_low) kind += d.one_of({"lo", "hi"}, 0);
  if (name.back() == 'c') kind |= takes;
  if (d.has("cc")) kind |= gives;
  d.out.selector = static_cast<uint8_t>(kind);
  Type t = d.type();
  const bool three = (kind & kinds) >= mad_low;
  d.operands(three ? 4 : 3, three ? 4 : 3);
  if (is_signed(t) && (kind & kinds) == mad_high) d.fail("only unsigned high products with carry");
  d.out.to = d.write(0, t);
  for (unsigned k = 0; k < (three ? 3u : 2u); k++) d.out.from[k] = d.read(k + 1, t);
  d.run(bytes(t) == 4 ? with_carry<uint32_t> : bytes(t) == 8 ? with_carry<uint64_t> : nullptr);
}

namespace {

template <class F, unsigned N> void logic(Decoder &d) {
  Type t = d.type();
  d.operands(N + 1, N + 1);
  d.out.to = d.write(0, t);
  for (unsigned k = 0; k < N; k++) d.out.from[k] = d.read(k + 1, t);
  if constexpr (!std::is_same_v<F, Cnot> && !std::is_same_v<F, Brev>)
    if (t == Type::pred) return d.run(logic_of_predicates<F, N>);
  d.run(bits_handler<F, N>(t));
}

template <class F> void shift_of(Decoder &d) {
  Type t = d.type();
  d.operands(3, 3);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, Type::u32);
  d.run(with_integer(t, [](auto lane) -> Handler { return shift<F, decltype(lane)>; }));
}

void words(Decoder &d, unsigned n) { /* operands of 32 bits */
  d.out.to = d.write(0, Type::b32);
  for (unsigned k = 0; k < n; k++) d.out.from[k] = d.read(k + 1, Type::b32);
}

template <class F> void count_of(Decoder &d) {
  Type t = d.type();
  d.operands(2, 2);
  d.out.to = d.write(0, Type::u32);
  d.out.from[0] = d.read(1, t);
  d.run(bytes(t) == 4 ? count<F, uint32_t> : bytes(t) == 8 ? count<F, uint64_t> : nullptr);
}

void bfind(Decoder &d) {
  d.out.selector = d.has("shiftamt");
  Type t = d.type();
  d.operands(2, 2);
  d.out.to = d.write(0, Type::u32);
  d.out.from[0] = d.read(1, t);
  d.run(bytes(t) < 4 ? nullptr : with_integer(t, [](auto lane) -> Handler {
    return find_highest<decltype(lane)>;
  }));
}

void bfe(Decoder &d) {
  Type t = d.type();
  d.operands(4, 4);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, Type::u32);
  d.out.from[2] = d.read(3, Type::u32);
  d.run(bytes(t) < 4 ? nullptr : with_integer(t, [](auto lane) -> Handler {
    return extract<decltype(lane)>;
  }));
}

void bfi(Decoder &d) {
  Type t = d.type();
  d.operands(5, 5);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  d.out.from[2] = d.read(3, Type::u32);
  d.out.from[3] = d.read(4, Type::u32);
  d.run(bytes(t) == 4 ? insert<uint32_t> : bytes(t) == 8 ? insert<uint64_t> : nullptr);
}

void shf(Decoder &d) {
  const unsigned right = d.one_of({"l", "r"}, 0), clamp = d.one_of({"wrap", "clamp"}, 0);
  d.type();
  d.operands(4, 4);
  words(d, 3);
  d.out.selector = static_cast<uint8_t>(right * 2 + clamp);
  d.run(funnel_shift);
}

void lop3_of(Decoder &d) {
  d.type();
  d.operands(5, 5);
  words(d, 3);
  d.out.selector = static_cast<uint8_t>(d.number(4));
  d.run(lop3);
}

void prmt(Decoder &d) {
  d.type();
  d.operands(4, 4);
  words(d, 3);
  d.run(permute_bytes);
}

void dp4a(Decoder &d) {
  const bool a = is_signed(d.type()), b = is_signed(d.type());
  d.operands(4, 4);
  words(d, 3);
  d.run(a ? (b ? dot4<true, true> : dot4<true, false>)
          : (b ? dot4<false, true> : dot4<false, false>));
}

} // namespace

void add_integers(Opcodes &table) {
  table["and"] = logic<And, 2>;
  table["or"] = logic<Or, 2>;
  table["xor"] = logic<Xor, 2>;
  table["not"] = logic<Not, 1>;
  table["cnot"] = logic<Cnot, 1>;
  table["brev"] = logic<Brev, 1>;
  table["shl"] = shift_of<ShiftLeft>;
  table["shr"] = shift_of<ShiftRight>;
  table["shf"] = shf;
  table["lop3"] = lop3_of;
  table["prmt"] = prmt;
  table["bfe"] = bfe;
  table["bfi"] = bfi;
  table["bfind"] = bfind;
  table["popc"] = count_of<Popc>;
  table["clz"] = count_of<Clz>;
  table["dp4a"] = dp4a;
  table["addc"] = table["subc"] = table["madc"] = decode_carry;
}

} // namespace cudasim::ptx

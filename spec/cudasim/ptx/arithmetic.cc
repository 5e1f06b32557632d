/* add, sub, mul, mad, fma, div, rem, min, max, abs, neg, of integers and floats of every width. */
#include "ptx/elementwise.h"

#include <limits>

namespace cudasim::ptx {

namespace {

/* Integers wrap: this is compiled with -fwrapv. Those of 16 bits are computed as int and cut. */
struct Add {
  template <class T> T operator()(T a, T b) const { return static_cast<T>(a + b); }
};
struct Sub {
  template <class T> T operator()(T a, T b) const { return static_cast<T>(a - b); }
};
struct Mul {
  template <class T> T operator()(T a, T b) const {
    if constexpr (sizeof(T) == 2)
      return static_cast<T>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
    else
      return a * b;
  }
};
struct Mad {
  template <class T> T operator()(T a, T b, T c) const { return Add{}(Mul{}(a, b), c); }
};

struct AddSaturated {
  int32_t operator()(int32_t a, int32_t b) const { return cut(int64_t{a} + b); }
  static int32_t cut(int64_t x) {
    constexpr int64_t least = std::numeric_limits<int32_t>::min(),
                      most = std::numeric_limits<int32_t>::max();
    return static_cast<int32_t>(x < least ? least : x > most ? most : x);
  }
};
struct SubSaturated {
  int32_t operator()(int32_t a, int32_t b) const { return AddSaturated::cut(int64_t{a} - b); }
};

template <class T> struct Twice;
template <> struct Twice<uint16_t> { using type = uint32_t; };
template <> struct Twice<int16_t> { using type = int32_t; };
template <> struct Twice<uint32_t> { using type = uint64_t; };
template <> struct Twice<int32_t> { using type = int64_t; };
template <> struct Twice<uint64_t> { using type = unsigned __int128; };
template <> struct Twice<int64_t> { using type = __int128; };

struct MulHigh {
  template <class T> T operator()(T a, T b) const {
    using Wide = typename Twice<T>::type;
    return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> (sizeof(T) * 8));
  }
};
struct MadHigh {
  template <class T> T operator()(T a, T b, T c) const { return Add{}(MulHigh{}(a, b), c); }
};

/* mul.wide and mad.wide: the result, and what is added, have twice the bits. */
template <class T> void mul_wide(Warp &w, const Instruction &i, Mask m) {
  using Wide = typename Twice<T>::type;
  const T *a = w.lanes_of<T>(i.from[0]), *b = w.lanes_of<T>(i.from[1]);
  compute<Wide>(w, i.to, m,
                [=](unsigned l) { return static_cast<Wide>(a[l]) * static_cast<Wide>(b[l]); });
}
template <class T> void mad_wide(Warp &w, const Instruction &i, Mask m) {
  using Wide = typename Twice<T>::type;
  const T *a = w.lanes_of<T>(i.from[0]), *b = w.lanes_of<T>(i.from[1]);
  const Wide *c = w.lanes_of<Wide>(i.from[2]);
  compute<Wide>(w, i.to, m, [=](unsigned l) {
    return static_cast<Wide>(a[l]) * static_cast<Wide>(b[l]) + c[l];
  });
}

/* mul24 and mad24: the low 24 bits of the operands, the low 32 of the result. */
struct Mul24 {
  template <class T> T operator()(T a, T b) const { return Mul{}(low(a), low(b)); }
  template <class T> static T low(T x) { return static_cast<T>(x << 8) >> 8; }
};
struct Mad24 {
  template <class T> T operator()(T a, T b, T c) const { return Mul24{}(a, b) + c; }
};

/* By zero: all ones, as the hardware gives; PTX leaves it open. */
struct Div {
  template <class T> T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return static_cast<T>(-1);
      if constexpr (std::is_signed_v<T>)
        if (b == -1) return Sub{}(T{0}, a);
    }
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T> T operator()(T a, T b) const {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return 0;
    return static_cast<T>(a % b);
  }
};

/* IEEE 754-2008 minimum: a number wins over a NaN, and -0 is less than +0. */
struct Min {
  template <class T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      T least = a < b || (a == b && std::signbit(a)) ? a : b;
      return a != a ? b : b != b ? a : least;
    } else {
      return a < b ? a : b;
    }
  }
};
struct Max {
  template <class T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      T most = a > b || (a == b && !std::signbit(a)) ? a : b;
      return a != a ? b : b != b ? a : most;
    } else {
      return a > b ? a : b;
    }
  }
};
/* min.NaN, max.NaN */
template <class F> struct OrNan {
  template <class T> T operator()(T a, T b) const {
    return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : F{}(a, b);
  }
};

struct Abs {
  template <class T> T operator()(T a) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(a);
    else
      return static_cast<T>(a < 0 ? 0 - a : a);
  }
};
struct Neg {
  template <class T> T operator()(T a) const { return static_cast<T>(-a); }
};

struct Fma {
  float operator()(float a, float b, float c) const { return std::fma(a, b, c); }
  double operator()(double a, double b, double c) const { return std::fma(a, b, c); }
};
struct HalfFma {
  float operator()(float a, float b, float c) const { return fma_odd(a, b, c); }
};

struct Sad { /* c + |a - b| */
  template <class T> T operator()(T a, T b, T c) const {
    return static_cast<T>(c + static_cast<T>(a < b ? b - a : a - b));
  }
};

/* Decoding ----------------------------------------------------------------------------------------- */

/* Operands d, a, b, ... of one type. */
void operands(Decoder &d, Type t, unsigned n) {
  d.operands(n + 1, n + 1);
  d.out.type = t;
  d.out.to = d.write(0, t);
  for (unsigned k = 0; k < n; k++) d.out.from[k] = d.read(k + 1, t);
}

/* Rounding and the like of float instructions. */
Type float_modifiers(Decoder &d) {
  d.rounding();
  d.ftz();
  d.sat();
  return d.type();
}

bool is_real(Type t) { return t == Type::f32 || t == Type::f64; }

bool carries(const Decoder &d) {
  for (const std::string &word : d.op.words)
    if (word == "cc") return true;
  return false;
}

template <class F, class Saturated> void sum(Decoder &d) {
  if (carries(d)) return decode_carry(d);
  bool saturated = d.has("sat");
  d.rounding();
  d.ftz();
  Type t = d.type();
  operands(d, t, 2);
  if (is_integer(t) && saturated)
    d.run(t == Type::s32 ? elementwise<Saturated, int32_t, 2> : nullptr);
  else
    d.run(any_handler<F, 2>(t));
  d.out.saturate = saturated;
  if (saturated && !is_integer(t) && !is_real(t)) d.fail("saturation of halves is not supported");
}

Handler wide_handler(Type t, bool add) {
  switch (t) {
  case Type::u16:
    return add ? mad_wide<uint16_t> : mul_wide<uint16_t>;
  case Type::s16:
    return add ? mad_wide<int16_t> : mul_wide<int16_t>;
  case Type::u32:
    return add ? mad_wide<uint32_t> : mul_wide<uint32_t>;
  case Type::s32:
    return add ? mad_wide<int32_t> : mul_wide<int32_t>;
  default:
    return nullptr;
  }
}

/* mul and mad of integers. */
template <class Low, class High, unsigned N> void product(Decoder &d) {
  const unsigned part = d.one_of({"lo", "hi", "wide"}, 0);
  Type t = d.type();
  if (part == 2) {
    Type wide = unsigned_of(bytes(t) * 2);
    d.operands(N + 1, N + 1);
    d.out.to = d.write(0, wide);
    d.out.from[0] = d.read(1, t);
    d.out.from[1] = d.read(2, t);
    if (N == 3) d.out.from[2] = d.read(3, wide);
    d.run(wide_handler(t, N == 3));
  } else {
    operands(d, t, N);
    d.run(part == 0 ? integer_handler<Low, N>(t) : integer_handler<High, N>(t));
  }
}

bool names_float(const Decoder &d) {
  const Type t = type_named(d.op.words.back());
  return t != Type::none && !is_integer(t);
}

void mul(Decoder &d) {
  if (!names_float(d)) return product<Mul, MulHigh, 2>(d);
  Type t = float_modifiers(d);
  operands(d, t, 2);
  d.run(float_handler<Mul, 2>(t));
}

void fma(Decoder &d) {
  Type t = float_modifiers(d);
  operands(d, t, 3);
  if (is_real(t))
    d.run(t == Type::f32 ? elementwise<Fma, float, 3> : elementwise<Fma, double, 3>);
  else
    d.run(float_handler<HalfFma, 3>(t));
}

void mad(Decoder &d) {
  if (carries(d)) return decode_carry(d);
  if (names_float(d))
    fma(d);
  else
    product<Mad, MadHigh, 3>(d);
}

template <class F, unsigned N> void product24(Decoder &d) {
  if (!d.has("lo")) d.fail("only the low half is supported");
  Type t = d.type();
  operands(d, t, N);
  d.run(t == Type::u32   ? elementwise<F, uint32_t, N>
        : t == Type::s32 ? elementwise<F, int32_t, N>
                         : nullptr);
}

void div(Decoder &d) {
  d.one_of({"approx", "full"}, 0); /* exact enough for both */
  Type t = float_modifiers(d);
  operands(d, t, 2);
  d.run(is_integer(t)    ? integer_handler<Div, 2>(t)
        : t == Type::f32 ? elementwise<Div, float, 2>
        : t == Type::f64 ? elementwise<Div, double, 2>
                         : nullptr);
}

template <class F, unsigned N> void integer(Decoder &d) {
  Type t = d.type();
  operands(d, t, N);
  d.run(integer_handler<F, N>(t));
}

template <class F> void extreme(Decoder &d) {
  const bool nan = d.has("NaN");
  d.ftz();
  Type t = d.type();
  operands(d, t, 2);
  d.run(nan ? float_handler<OrNan<F>, 2>(t) : any_handler<F, 2>(t));
}

template <class F> void sign(Decoder &d) {
  d.ftz();
  Type t = d.type();
  operands(d, t, 1);
  d.run(any_handler<F, 1>(t));
}

} // namespace

void add_arithmetic(Opcodes &table) {
  table["add"] = sum<Add, AddSaturated>;
  table["sub"] = sum<Sub, SubSaturated>;
  table["mul"] = mul;
  table["mad"] = mad;
  table["mul24"] = product24<Mul24, 2>;
  table["mad24"] = product24<Mad24, 3>;
  table["fma"] = fma;
  table["div"] = div;
  table["rem"] = integer<Rem, 2>;
  table["sad"] = integer<Sad, 3>;
  table["min"] = extreme<Min>;
  table["max"] = extreme<Max>;
  table["abs"] = sign<Abs>;
  table["neg"] = sign<Neg>;
}

} // namespace cudasim::ptx

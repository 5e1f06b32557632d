/* cvt: between integers, floats and halves, with every rounding and saturation. */
#include "ptx/elementwise.h"

#include <limits>

namespace cudasim::ptx {

namespace {

/* As the instruction's rounding says; RoundingScope has set it. */
template <class T> T rounded(T x) { return std::nearbyint(x); }

/* Out of range: the nearest value there is; NaN: 0. `x` is an integer. */
template <class D, class S> D integer_of(S x) {
  /* 2^(bits of D), or of its positive part: exact in S, and one above the largest value */
  const S above = std::ldexp(S(1), std::numeric_limits<D>::digits);
  if (x != x) return 0;
  if (x >= above) return std::numeric_limits<D>::max();
  if (x < static_cast<S>(std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
  return static_cast<D>(x);
}

/* Whether D holds all values of S. */
template <class D, class S>
constexpr bool holds = std::numeric_limits<D>::digits >=
                       std::numeric_limits<S>::digits &&std::is_signed_v<D> >= std::is_signed_v<S>;

template <class D, class S> D saturated_integer(S x) {
  if constexpr (!holds<D, S>) {
    if constexpr (std::is_signed_v<S>)
      if (x < 0 && (std::is_unsigned_v<D> ||
                    static_cast<int64_t>(x) < static_cast<int64_t>(std::numeric_limits<D>::min())))
        return std::numeric_limits<D>::min();
    if (x > 0 && static_cast<uint64_t>(x) > static_cast<uint64_t>(std::numeric_limits<D>::max()))
      return std::numeric_limits<D>::max();
  }
  return static_cast<D>(x);
}

/* A half from something wider, in the rounding that is not to nearest: from the nearest one or its
** neighbour. */
template <class H> H half_towards(double x, Rounding r) {
  H h = from_float<H>(to_float_odd(x));
  const double back = static_cast<double>(to_float(h));
  if (r == Rounding::nearest || back == x || x != x) return h;
  const bool up = r == Rounding::up || (r == Rounding::zero && x < 0);
  if (up ? back > x : back < x) return h; /* already on the side asked for */
  /* one step on: away from zero for what is up of a positive number or down of a negative one */
  if ((h.bits & 0x7fff) == 0)
    h.bits = static_cast<uint16_t>(up ? 1 : 0x8001);
  else
    h.bits = static_cast<uint16_t>(h.bits + (up == (h.bits < 0x8000) ? 1 : -1));
  return h;
}

template <class D, class S> D converted(S x, const Instruction &i) {
  if constexpr (is_half<S>) {
    if constexpr (std::is_same_v<D, S>) {
      if (!i.to_integer && !i.saturate) return x;
    }
    return converted<D>(to_float(x), i);
  } else if constexpr (is_half<D>) {
    if constexpr (std::is_integral_v<S>) {
      return half_towards<D>(static_cast<double>(x),
                             i.rounding); /* 64 bits: first to 53, all far out of range */
    } else {
      if (i.to_integer) x = rounded(x);
      if (i.saturate) x = clamped(x);
      if constexpr (std::is_same_v<S, float>)
        if (i.rounding == Rounding::nearest) return from_float<D>(x);
      return half_towards<D>(static_cast<double>(x), i.rounding);
    }
  } else if constexpr (std::is_integral_v<S> && std::is_integral_v<D>) {
    return i.saturate ? saturated_integer<D>(x) : static_cast<D>(x);
  } else if constexpr (std::is_integral_v<S>) {
    D y = static_cast<D>(x);
    return i.saturate ? clamped(y) : y;
  } else if constexpr (std::is_integral_v<D>) {
    if constexpr (std::is_same_v<S, float>)
      if (i.flush) x = flushed(x);
    return integer_of<D>(rounded(x));
  } else {
    if constexpr (std::is_same_v<S, float>)
      if (i.flush) x = flushed(x);
    if (i.to_integer) x = rounded(x);
    D y = static_cast<D>(x);
    if constexpr (std::is_same_v<D, float>)
      if (i.flush) y = flushed(y);
    return i.saturate ? clamped(y) : y;
  }
}

/* The low bits of a register that may be wider than S. */
template <class S> void load_lanes(Warp &w, Register r, unsigned bytes, S *x) {
  const unsigned char *p = w.lanes_of<unsigned char>(r);
  for (unsigned l = 0; l < lanes; l++) std::memcpy(&x[l], p + l * bytes, sizeof(S));
}

/* Extended, by the sign of a signed type, to the width of the register. */
template <class D> void store_lanes(Warp &w, Register r, unsigned bytes, Mask m, const D *y) {
  if constexpr (!std::is_integral_v<D>) {
    compute<D>(w, r, m, [=](unsigned l) { return y[l]; });
  } else if (bytes == 2) {
    compute<uint16_t>(w, r, m, [=](unsigned l) { return static_cast<uint16_t>(y[l]); });
  } else if (bytes == 4) {
    compute<uint32_t>(w, r, m, [=](unsigned l) { return static_cast<uint32_t>(y[l]); });
  } else {
    compute<uint64_t>(w, r, m, [=](unsigned l) { return static_cast<uint64_t>(y[l]); });
  }
}

template <class D, class S> void convert(Warp &w, const Instruction &i, Mask m) {
  RoundingScope scope(i.rounding);
  S x[lanes];
  D y[lanes];
  load_lanes(w, i.from[0], i.from_bytes, x);
  for (unsigned l = 0; l < lanes; l++) y[l] = converted<D>(x[l], i);
  store_lanes(w, i.to, i.to_bytes, m, y);
}

/* cvt.rn.f16x2.f32 d, a, b: a goes to the upper half. */
template <class H> void convert_pair(Warp &w, const Instruction &i, Mask m) {
  const float *a = w.lanes_of<float>(i.from[0]), *b = w.lanes_of<float>(i.from[1]);
  const bool relu = i.selector;
  auto half = [&](float x) {
    return half_towards<H>(static_cast<double>(relu && x < 0 ? 0 : x), i.rounding);
  };
  each(m, [&](unsigned l) { w.lanes_of<Pair<H>>(i.to)[l] = {half(b[l]), half(a[l])}; });
}

template <class F> Handler with_any(Type t, F f) {
  switch (t) {
  case Type::u8:
  case Type::b8:
    return f(uint8_t{});
  case Type::s8:
    return f(int8_t{});
  default:
    return is_float(t) ? with_float(t, f) : with_integer(t, f);
  }
}

void pair(Decoder &d, Type to) {
  if (d.type() != Type::f32) d.fail("only from f32");
  d.operands(3, 3);
  d.out.to = d.write(0, to);
  d.out.from[0] = d.read(1, Type::f32);
  d.out.from[1] = d.read(2, Type::f32);
  d.run(to == Type::f16x2 ? convert_pair<Half> : convert_pair<Bfloat>);
}

void cvt(Decoder &d) {
  const unsigned integer_rounding = d.one_of({"rni", "rzi", "rmi", "rpi"}, 4);
  d.rounding();
  if (integer_rounding != 4) {
    d.out.rounding = static_cast<Rounding>(integer_rounding);
    d.out.to_integer = true;
  }
  d.ftz();
  d.sat();
  d.out.selector = d.has("relu");
  const Type to = d.type();
  if (to == Type::f16x2 || to == Type::bf16x2) return pair(d, to);
  const Type from = d.type();
  d.operands(2, 2);
  if (d.out.selector) d.fail("relu is supported for pairs only");
  if (is_float(from) && is_integer(to) && !d.out.to_integer)
    d.fail("expected a rounding to an integer");
  d.out.to = d.write_wider(d.operand(0), to, &d.out.to_bytes);
  d.out.from[0] = d.read_wider(d.operand(1), from, &d.out.from_bytes);
  if (is_float(to) && d.out.to_bytes != bytes(to)) d.fail("a float in a wider register");
  d.run(with_any(to, [&](auto result) {
    using D = decltype(result);
    return with_any(from, [](auto operand) -> Handler { return convert<D, decltype(operand)>; });
  }));
}

} // namespace

void add_conversions(Opcodes &table) { table["cvt"] = cvt; }

} // namespace cudasim::ptx

/*
** Functions of one float: roots, reciprocals, powers of two, sines; copysign and testp. The approximate ones
** are the host's, which are more accurate than what PTX promises (2^-22 and the like).
*/
#include "ptx/elementwise.h"

namespace cudasim::ptx {

namespace {

struct Sqrt {
  template <class T> T operator()(T x) const { return std::sqrt(x); }
};
struct Rsqrt {
  template <class T> T operator()(T x) const { return 1 / std::sqrt(x); }
};
struct Rcp {
  template <class T> T operator()(T x) const { return 1 / x; }
};
struct Ex2 {
  float operator()(float x) const { return std::exp2(x); }
};
struct Lg2 {
  float operator()(float x) const { return std::log2(x); }
};
struct Sin {
  float operator()(float x) const { return std::sin(x); }
};
struct Cos {
  float operator()(float x) const { return std::cos(x); }
};
struct Tanh {
  float operator()(float x) const { return std::tanh(x); }
};

/* rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 look at the upper half of a double, and give one. */
template <class F> struct UpperHalf {
  double operator()(double x) const { return upper(F{}(upper(x))); }
  static double upper(double x) {
    double cut = bits_as<double>(bits_as<uint64_t>(x) & 0xffffffff00000000u);
    return std::fabs(cut) < 0x1p-1022 ? std::copysign(0.0, cut) : cut;
  }
};

/* The sign of a, the rest of b. */
struct Copysign {
  template <class T> T operator()(T a, T b) const { return std::copysign(b, a); }
};

void one_operand(Decoder &d, Type t) {
  d.operands(2, 2);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
}

template <class F>
void root(Decoder &d) { /* sqrt, rsqrt, rcp: arithmetic, so that it is vector code */
  const bool approximate = d.has("approx");
  d.rounding();
  d.ftz();
  Type t = d.type();
  one_operand(d, t);
  if (t == Type::f64 && approximate && d.out.flush)
    d.run(elementwise<UpperHalf<F>, double, 1>);
  else
    d.run(t == Type::f32   ? elementwise<F, float, 1>
          : t == Type::f64 ? elementwise<F, double, 1>
                           : nullptr);
}

template <class F> void function(Decoder &d) {
  if (!d.has("approx")) d.fail("only the approximate function is known");
  d.ftz();
  Type t = d.type();
  one_operand(d, t);
  switch (t) {
  case Type::f32:
    return d.run(function_of<F, float>);
  case Type::f16:
    return d.run(function_of<F, Half>);
  case Type::bf16:
    return d.run(function_of<F, Bfloat>);
  case Type::f16x2:
    return d.run(function_of<F, Pair<Half>>);
  case Type::bf16x2:
    return d.run(function_of<F, Pair<Bfloat>>);
  default:
    return d.run(nullptr);
  }
}

void copysign(Decoder &d) {
  Type t = d.type();
  d.operands(3, 3);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.out.from[1] = d.read(2, t);
  d.run(t == Type::f32   ? elementwise<Copysign, float, 2>
        : t == Type::f64 ? elementwise<Copysign, double, 2>
                         : nullptr);
}

enum Property : uint8_t { finite, infinite, number, not_a_number, normal, subnormal };

template <class T> bool has_property(T x, uint8_t property) {
  switch (property) {
  case finite:
    return std::isfinite(x);
  case infinite:
    return std::isinf(x);
  case number:
    return !std::isnan(x);
  case not_a_number:
    return std::isnan(x);
  case normal:
    return std::isnormal(x);
  default:
    return std::fpclassify(x) == FP_SUBNORMAL;
  }
}

template <class T> void test_property(Warp &w, const Instruction &i, Mask m) {
  const T *x = w.lanes_of<T>(i.from[0]);
  assign(w.predicate(i.to), m, where([&](unsigned l) { return has_property(x[l], i.selector); }));
}

void testp(Decoder &d) {
  d.out.selector = static_cast<uint8_t>(
      d.one_of({"finite", "infinite", "number", "notanumber", "normal", "subnormal"}, 6));
  if (d.out.selector == 6) d.fail("unknown property");
  Type t = d.type();
  d.out.to = d.write(0, Type::pred);
  d.out.from[0] = d.read(1, t);
  d.run(t == Type::f32 ? test_property<float> : t == Type::f64 ? test_property<double> : nullptr);
}

} // namespace

void add_functions(Opcodes &table) {
  table["sqrt"] = root<Sqrt>;
  table["rsqrt"] = root<Rsqrt>;
  table["rcp"] = root<Rcp>;
  table["ex2"] = function<Ex2>;
  table["lg2"] = function<Lg2>;
  table["sin"] = function<Sin>;
  table["cos"] = function<Cos>;
  table["tanh"] = function<Tanh>;
  table["copysign"] = copysign;
  table["testp"] = testp;
}

} // namespace cudasim::ptx

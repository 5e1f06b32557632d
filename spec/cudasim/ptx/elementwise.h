/* Handlers that compute each lane of the result from the same lane of the operands. */
#ifndef CUDASIM_PTX_ELEMENTWISE_H
#define CUDASIM_PTX_ELEMENTWISE_H

#include "ptx/decode.h"
#include "ptx/float16.h"
#include "ptx/machine.h"

#include <cfenv>
#include <type_traits>

namespace cudasim::ptx {

/* f16x2 and bf16x2. */
template <class H> struct Pair { H low, high; };

template <class T> constexpr bool is_half = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>;
template <class T> constexpr bool is_pair = false;
template <class H> constexpr bool is_pair<Pair<H>> = true;

/* Rounds as the instruction says for as long as it lives. The operands are read from memory and the results
** written to it within that time, so no compiler can move the arithmetic out of it. */
class RoundingScope {
public:
  explicit RoundingScope(Rounding r) : changed(r != Rounding::nearest) {
    if (changed)
      std::fesetround(r == Rounding::zero   ? FE_TOWARDZERO
                      : r == Rounding::down ? FE_DOWNWARD
                                            : FE_UPWARD);
  }
  ~RoundingScope() {
    if (changed) std::fesetround(FE_TONEAREST);
  }
  RoundingScope(const RoundingScope &) = delete;
  RoundingScope &operator=(const RoundingScope &) = delete;

private:
  bool changed;
};

inline float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

template <class T> T clamped(T x) { return x > 1 ? T(1) : x > 0 ? x : T(0); } /* NaN becomes 0 */

/* F of some lanes. Halves are computed as floats; every functor here is exact enough for that: a sum or a
** product of halves rounded twice, through float, is the one rounded once. */
template <class F, class T, class... Rest> T apply(T first, Rest... rest) {
  if constexpr (is_pair<T>)
    return {apply<F>(first.low, rest.low...), apply<F>(first.high, rest.high...)};
  else if constexpr (is_half<T>)
    return from_float<T>(static_cast<float>(F{}(to_float(first), to_float(rest)...)));
  else
    return F{}(first, rest...);
}

template <class F, class T, class... Operands>
void elementwise_of(Warp &w, const Instruction &i, Mask m, const Operands *...operand) {
  if constexpr (std::is_same_v<T, float>) {
    if (i.flush) {
      compute<T>(w, i.to, m, [=](unsigned l) { return flushed(F{}(flushed(operand[l])...)); });
      return;
    }
  }
  compute<T>(w, i.to, m, [=](unsigned l) { return apply<F>(operand[l]...); });
}

/* to = F(from[0], ..., from[N - 1]), all of type T. */
template <class F, class T, unsigned N> void elementwise(Warp &w, const Instruction &i, Mask m) {
  RoundingScope scope(std::is_floating_point_v<T> ? i.rounding : Rounding::nearest);
  const T *a = w.lanes_of<T>(i.from[0]);
  if constexpr (N == 1) elementwise_of<F, T>(w, i, m, a);
  if constexpr (N == 2) elementwise_of<F, T>(w, i, m, a, w.lanes_of<T>(i.from[1]));
  if constexpr (N == 3)
    elementwise_of<F, T>(w, i, m, a, w.lanes_of<T>(i.from[1]), w.lanes_of<T>(i.from[2]));
  if constexpr (std::is_floating_point_v<T>)
    if (i.saturate) {
      const T *y = w.lanes_of<T>(i.to);
      compute<T>(w, i.to, m, [=](unsigned l) { return clamped(y[l]); });
    }
}

/* The same where F calls a function for each lane: only for the lanes that want it. */
template <class F, class T> void function_of(Warp &w, const Instruction &i, Mask m) {
  const T *x = w.lanes_of<T>(i.from[0]);
  T *y = w.lanes_of<T>(i.to);
  each(m, [&](unsigned l) {
    if constexpr (std::is_same_v<T, float>)
      y[l] = i.flush ? flushed(F{}(flushed(x[l]))) : F{}(x[l]);
    else
      y[l] = apply<F>(x[l]);
  });
}

template <class F, unsigned N> Handler integer_handler(Type t) {
  return with_integer(t, [](auto lane) -> Handler { return elementwise<F, decltype(lane), N>; });
}

template <class F, unsigned N> Handler float_handler(Type t) {
  if (t == Type::f16x2) return elementwise<F, Pair<Half>, N>;
  if (t == Type::bf16x2) return elementwise<F, Pair<Bfloat>, N>;
  return with_float(t, [](auto lane) -> Handler { return elementwise<F, decltype(lane), N>; });
}

template <class F, unsigned N> Handler any_handler(Type t) {
  return is_integer(t) ? integer_handler<F, N>(t) : float_handler<F, N>(t);
}

template <class F, unsigned N> Handler bits_handler(Type t) {
  return with_bits(t, [](auto lane) -> Handler { return elementwise<F, decltype(lane), N>; });
}

} // namespace cudasim::ptx

#endif

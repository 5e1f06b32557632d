/* What the lanes of a warp do together: shuffles, votes, matches, reductions; and barriers. */
#include "ptx/decode.h"
#include "ptx/machine.h"

namespace cudasim::ptx {

namespace {

enum Direction : uint8_t { up, down, butterfly, index };

/* The lane that `lane` reads, or `lane` itself and *valid = false when there is none: PTX ISA, shfl.sync. */
unsigned source_lane(uint8_t direction, unsigned lane, uint32_t b, uint32_t c, bool *valid) {
  const int segment = c >> 8 & 31, clamp = c & 31, offset = static_cast<int>(b & 31),
            l = static_cast<int>(lane);
  const int most = (l & segment) | (clamp & ~segment), least = l & segment;
  int from = 0;
  switch (direction) {
  case up:
    from = l - offset;
    *valid = from >= most;
    break;
  case down:
    from = l + offset;
    *valid = from <= most;
    break;
  case butterfly:
    from = l ^ offset;
    *valid = from <= most;
    break;
  default:
    from = least | (offset & ~segment);
    *valid = from <= most;
    break;
  }
  return *valid ? static_cast<unsigned>(from) : lane;
}

void shuffle(Warp &w, const Instruction &i, Mask m) {
  const uint32_t *a = w.lanes_of<uint32_t>(i.from[0]), *b = w.lanes_of<uint32_t>(i.from[1]),
                 *c = w.lanes_of<uint32_t>(i.from[2]);
  uint32_t result[lanes];
  Mask in_range = 0;
  each(m, [&](unsigned l) {
    bool valid;
    const unsigned from = source_lane(i.selector, l, b[l], c[l], &valid);
    if (!(m >> from & 1))
      w.fail(i, l, "warp", "shuffle reads lane %u, which is not there (lanes %08x)", from, m);
    result[l] = a[from];
    in_range |= static_cast<Mask>(valid) << l;
  });
  uint32_t *to = w.lanes_of<uint32_t>(i.to);
  each(m, [&](unsigned l) { to[l] = result[l]; });
  if (i.to_also != no_register) assign(w.predicate(i.to_also), m, in_range);
}

enum Vote : uint8_t { ballot, any, all, uniform };

void vote(Warp &w, const Instruction &i, Mask m) {
  const Mask yes = (w.predicate(i.from[0]) ^ (i.negated ? all_lanes : 0)) & m;
  if (i.selector == ballot) return compute<uint32_t>(w, i.to, m, [=](unsigned) { return yes; });
  const bool result = i.selector == any   ? yes != 0
                      : i.selector == all ? yes == m
                                          : yes == 0 || yes == m;
  assign(w.predicate(i.to), m, result ? all_lanes : 0);
}

void active_mask(Warp &w, const Instruction &i, Mask m) {
  compute<uint32_t>(w, i.to, m, [=](unsigned) { return m; });
}

/* match.any: the lanes with the same value as this one. match.all: all of them, if they are the same. */
template <class U> void match(Warp &w, const Instruction &i, Mask m) {
  const U *a = w.lanes_of<U>(i.from[0]);
  uint32_t result[lanes];
  bool same = true;
  each(m, [&](unsigned l) {
    result[l] = where([&](unsigned other) { return a[other] == a[l]; }) & m;
    same = same && result[l] == m;
  });
  uint32_t *to = w.lanes_of<uint32_t>(i.to);
  const bool together = i.selector;
  each(m, [&](unsigned l) { to[l] = !together ? result[l] : same ? m : 0; });
  if (i.to_also != no_register) assign(w.predicate(i.to_also), m, same ? all_lanes : 0);
}

enum Reduction : uint8_t { sum, least, most, conjunction, disjunction, exclusive };

template <class T> void reduce(Warp &w, const Instruction &i, Mask m) {
  const T *a = w.lanes_of<T>(i.from[0]);
  T total = a[__builtin_ctz(m)];
  each(m & (m - 1), [&](unsigned l) {
    switch (i.selector) {
    case sum:
      total = static_cast<T>(static_cast<uint32_t>(total) + static_cast<uint32_t>(a[l]));
      break;
    case least:
      total = a[l] < total ? a[l] : total;
      break;
    case most:
      total = a[l] > total ? a[l] : total;
      break;
    case conjunction:
      total &= a[l];
      break;
    case disjunction:
      total |= a[l];
      break;
    default:
      total ^= a[l];
      break;
    }
  });
  compute<T>(w, i.to, m, [=](unsigned) { return total; });
}

void synchronise(Warp &w, const Instruction &, Mask m) { w.clock.synchronise(m, w.alive); }

/* bar.red: when all have arrived, each gets what the block found. */
void barrier_result(Warp &w, const Instruction &i, Mask m) {
  const uint32_t count = w.block->barrier_count;
  if (i.selector == 0) return compute<uint32_t>(w, i.to, m, [=](unsigned) { return count; });
  const bool result = i.selector == 1 ? count == w.block->threads : count != 0;
  assign(w.predicate(i.to), m, result ? all_lanes : 0);
}

/* Decoding ----------------------------------------------------------------------------------------- */

/* "d" or "d|p" */
void write_also(Decoder &d, Type t) {
  const Operand &o = d.operand(0);
  if (o.kind != Operand::vector) {
    d.out.to = d.write(o, t);
    return;
  }
  if (o.elements.size() != 2) d.fail("expected d|p");
  d.out.to = d.write(o.elements[0], t);
  d.out.to_also = d.write(o.elements[1], Type::pred);
}

/* The last operand of an instruction that waits for the lanes of a mask. */
void membership(Decoder &d, size_t k) {
  if (!d.has("sync")) d.fail("only the form with .sync is supported");
  d.out.flow = Flow::converge;
  d.out.from[3] = d.read(k, Type::u32);
}

void shfl(Decoder &d) {
  membership(d, 4);
  d.out.selector = static_cast<uint8_t>(d.one_of({"up", "down", "bfly", "idx"}, 3));
  d.type();
  d.operands(5, 5);
  write_also(d, Type::b32);
  for (unsigned k = 0; k < 3; k++) d.out.from[k] = d.read(k + 1, Type::b32);
  d.run(shuffle);
}

void vote_of(Decoder &d) {
  membership(d, 2);
  d.out.selector = static_cast<uint8_t>(d.one_of({"ballot", "any", "all", "uni"}, 0));
  const Type t = d.type();
  d.operands(3, 3);
  if ((d.out.selector == ballot) != (t == Type::b32)) d.fail("unexpected type");
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read_predicate(1);
  d.run(vote);
}

void activemask(Decoder &d) {
  d.type();
  d.operands(1, 1);
  d.out.to = d.write(0, Type::b32);
  d.run(active_mask);
}

void match_of(Decoder &d) {
  membership(d, 2);
  d.out.selector = static_cast<uint8_t>(d.one_of({"any", "all"}, 0));
  const Type t = d.type();
  d.operands(3, 3);
  write_also(d, Type::b32);
  d.out.from[0] = d.read(1, t);
  d.run(bytes(t) == 4 ? match<uint32_t> : bytes(t) == 8 ? match<uint64_t> : nullptr);
}

void redux(Decoder &d) {
  membership(d, 2);
  d.out.selector = static_cast<uint8_t>(d.one_of({"add", "min", "max", "and", "or", "xor"}, 0));
  const Type t = d.type();
  d.operands(3, 3);
  d.out.to = d.write(0, t);
  d.out.from[0] = d.read(1, t);
  d.run(bytes(t) != 4 ? nullptr : is_signed(t) ? reduce<int32_t> : reduce<uint32_t>);
}

/* bar.sync, barrier.sync, bar.red of the whole block; bar.warp.sync. */
void bar(Decoder &d) {
  d.out.is_barrier = true;
  d.has("cta");
  if (d.has("warp")) {
    membership(d, 0);
    d.operands(1, 1);
    return d.run(synchronise);
  }
  d.has("aligned");
  d.out.flow = Flow::barrier;
  if (d.has("sync")) {
    d.operands(1, 1); /* a second one would be a number of threads */
    d.number(0);
    return;
  }
  if (!d.has("red")) d.fail("this form of barrier is not supported");
  d.out.selector = static_cast<uint8_t>(d.one_of({"popc", "and", "or"}, 0));
  const Type t = d.type();
  d.operands(3, 3);
  d.out.to = d.write(0, d.out.selector == 0 ? Type::u32 : Type::pred);
  if ((d.out.selector == 0) != (t == Type::u32)) d.fail("unexpected type");
  d.number(1);
  d.out.from[0] = d.read_predicate(2);
  d.run(barrier_result);
}

} // namespace

void add_collectives(Opcodes &table) {
  table["shfl"] = shfl;
  table["vote"] = vote_of;
  table["activemask"] = activemask;
  table["match"] = match_of;
  table["redux"] = redux;
  table["bar"] = table["barrier"] = bar;
}

} // namespace cudasim::ptx

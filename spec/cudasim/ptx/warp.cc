/*
** Runs one warp. Its lanes form fragments, one for each place where some of them are. The fragment with the
** lowest program counter runs until it meets another or must wait; compilers lay out code so that lanes that
** diverged meet again at a higher counter, and there their fragments become one.
*/
#include "ptx/machine.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace cudasim::ptx {

namespace {

constexpr uint32_t nowhere = ~uint32_t{0};

class Runner {
public:
  explicit Runner(Warp &warp) : w(warp), code(warp.block->launch->program->code.data()) {}

  void run() {
    for (;;) {
      join();
      Fragment *f = lowest();
      if (f != nullptr)
        advance(f);
      else if (w.fragments.empty())
        return;
      else if (everyone_at_a_barrier())
        return;
      else
        stuck();
    }
  }

private:
  /* Fragments at the same place become one, which may go on. */
  void join() {
    std::vector<Fragment> &all = w.fragments;
    for (size_t a = 0; a < all.size(); a++)
      for (size_t b = a + 1; b < all.size();)
        if (all[a].pc == all[b].pc) {
          all[a].lanes |= all[b].lanes;
          all[a].waiting = false;
          all.erase(all.begin() + static_cast<std::ptrdiff_t>(b));
        } else {
          b++;
        }
  }

  Fragment *lowest() {
    Fragment *best = nullptr;
    for (Fragment &f : w.fragments)
      if (!f.waiting && (best == nullptr || f.pc < best->pc)) best = &f;
    return best;
  }

  bool everyone_at_a_barrier() {
    w.at_barrier = w.fragments.size() == 1 && code[w.fragments[0].pc].flow == Flow::barrier;
    return w.at_barrier;
  }

  Mask guarded(const Instruction &i, Mask m) {
    if (i.guard == no_register) return m;
    return m & (i.guard_negated ? ~w.predicate(i.guard) : w.predicate(i.guard));
  }

  /* Runs a fragment until it reaches the place of another one, splits, waits or ends. */
  void advance(Fragment *f) {
    uint32_t pc = f->pc, boundary = nowhere;
    const Mask m = f->lanes;
    const bool alone = w.fragments.size() == 1;
    for (const Fragment &other : w.fragments)
      if (other.pc > pc) boundary = std::min(boundary, other.pc);
    do {
      const Instruction &i = code[pc];
      const Mask active = guarded(i, m);
      i.executed += static_cast<unsigned>(__builtin_popcount(active));
      w.steps++;
      if (i.flow == Flow::next) {
        if (active) i.run(w, i, active);
        pc++;
      } else if (i.flow == Flow::branch && (active == m || active == 0)) {
        if (active) {
          if (i.target <= pc) check_limit(i, m);
          pc = i.target;
          if (!alone) break; /* it may be where another one waits */
        } else {
          pc++;
        }
      } else {
        f->pc = pc;
        return divide(f, i, active);
      }
    } while (pc < boundary);
    f->pc = pc;
  }

  void check_limit(const Instruction &i, Mask m) {
    const uint64_t limit = w.block->launch->options->limit;
    if (w.steps > limit)
      w.fail(i, static_cast<unsigned>(__builtin_ctz(m)), "endless",
             "the warp has executed %llu instructions", static_cast<unsigned long long>(limit));
  }

  /* An instruction after which the lanes of a fragment may be at different places. `active`: those that
  ** its guard lets execute it; the others go on behind it. */
  void divide(Fragment *f, const Instruction &i, Mask active) {
    const Mask others = f->lanes & ~active;
    const uint32_t next = f->pc + 1;
    f->lanes = active;
    if (active == 0) {
      *f = {next, others, false};
      return;
    }
    switch (i.flow) {
    case Flow::branch:
      check_limit(i, active);
      f->pc = i.target;
      break;
    case Flow::leave:
      remove(f);
      check_nobody_waits_for(active);
      w.alive &= ~active;
      break;
    case Flow::barrier:
      f->waiting = true;
      break;
    case Flow::converge:
      converge(f, i);
      break;
    case Flow::indexed:
      dispatch(f, i);
      break;
    case Flow::next:
      break;
    }
    if (others) w.fragments.push_back({next, others, false});
  }

  /* Lanes that left before a shuffle are not missed there; lanes that leave instead of coming are. */
  void check_nobody_waits_for(Mask leaving) {
    for (const Fragment &f : w.fragments) {
      const Instruction &i = code[f.pc];
      if (!f.waiting || i.flow != Flow::converge) continue;
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(f.lanes));
      const Mask named = w.lanes_of<uint32_t>(i.from[3])[lane];
      if (named & leaving)
        w.fail(i, lane, "warp", "lanes %08x of the mask %08x left without coming here",
               named & leaving, named);
    }
  }

  void remove(Fragment *f) { w.fragments.erase(w.fragments.begin() + (f - w.fragments.data())); }

  void dispatch(Fragment *f, const Instruction &i) {
    const uint32_t *index = w.lanes_of<uint32_t>(i.from[0]);
    const Mask m = f->lanes;
    remove(f);
    each(m, [&](unsigned l) {
      if (index[l] >= i.targets.size())
        w.fail(i, l, "bounds", "branch to target %u of %zu", index[l], i.targets.size());
      w.fragments.push_back({i.targets[index[l]], Mask{1} << l, false});
    });
  }

  /* Runs the instruction for each group of lanes that is complete; the rest waits. */
  void converge(Fragment *f, const Instruction &i) {
    const uint32_t *mask = w.lanes_of<uint32_t>(i.from[3]);
    const uint32_t next = f->pc + 1;
    Mask undecided = f->lanes, done = 0;
    while (undecided) {
      const unsigned first = static_cast<unsigned>(__builtin_ctz(undecided));
      const Mask named = mask[first], group = named & w.alive;
      if (!(named >> first & 1))
        w.fail(i, first, "warp", "the lane is not in its own mask, %08x", named);
      if (group & ~f->lanes) {
        undecided &= ~group;
        continue;
      }
      each(group, [&](unsigned l) {
        if (mask[l] != named)
          w.fail(i, l, "warp", "lanes arrive with masks %08x and %08x", named, mask[l]);
      });
      i.run(w, i, group);
      done |= group;
      undecided &= ~group;
    }
    f->lanes &= ~done;
    f->waiting = true;
    if (f->lanes == 0)
      *f = {next, done, false};
    else if (done)
      w.fragments.push_back({next, done, false});
  }

  /* All fragments wait, and not for the same barrier. */
  [[noreturn]] void stuck() {
    std::sort(w.fragments.begin(), w.fragments.end(),
              [](const Fragment &a, const Fragment &b) { return a.pc < b.pc; });
    const Fragment &f = w.fragments[0];
    const Instruction &i = code[f.pc];
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(f.lanes));
    std::string elsewhere;
    if (w.fragments.size() > 1) {
      const Location &there = code[w.fragments[1].pc].location;
      elsewhere = ", others wait at " + w.block->launch->program->file(there.file) + ":" +
                  std::to_string(there.line);
    }
    if (i.flow == Flow::barrier)
      w.fail(i, lane, "barrier", "divergent barrier: only lanes %08x of %08x are here%s", f.lanes,
             w.alive, elsewhere.c_str());
    w.fail(i, lane, "warp", "only lanes %08x are here of the mask %08x%s", f.lanes,
           w.lanes_of<uint32_t>(i.from[3])[lane], elsewhere.c_str());
  }

  Warp &w;
  const Instruction *code;
};

} // namespace

void run(Warp &w) { Runner(w).run(); }

Dim3 Block::thread(uint32_t linear) const {
  const Dim3 &size = launch->block;
  return {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
}

void Warp::fail(const Instruction &i, unsigned lane, const char *kind, const char *format, ...) {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  const Launch &launch = *block->launch;
  const Program &program = *launch.program;
  const Location &at = i.location;
  Violation v;
  v.kind = kind;
  v.kernel = program.name;
  v.file = program.file(at.file);
  v.line = at.line;
  v.block = block->index;
  v.thread = block->thread(thread(lane));
  std::string inlined;
  if (at.inlined_file != 0)
    inlined = " (inlined at " + program.file(at.inlined_file) + ":" +
              std::to_string(at.inlined_line) + ")";
  char text[2048];
  std::snprintf(text, sizeof text,
                "%s:%u%s: %s: %s; kernel %s, block (%u,%u,%u), thread (%u,%u,%u), in '%s'",
                v.file.c_str(), v.line, inlined.c_str(), kind, what, v.kernel.c_str(), v.block.x,
                v.block.y, v.block.z, v.thread.x, v.thread.y, v.thread.z, i.text.c_str());
  v.text = text;
  if (launch.options->report)
    launch.options->report(v);
  else
    std::fprintf(stderr, "%s\n", text);
  throw Stop{};
}

} // namespace cudasim::ptx

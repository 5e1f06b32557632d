#include "ptx/coverage.h"
#include "ptx/module.h"

#include <cstdio>
#include <cstdlib>
#include <set>

namespace cudasim {

namespace ptx {

namespace {

struct Line {
  uint64_t count = 0;
  bool barrier = false;
};
using Lines = std::map<std::pair<std::string, unsigned>, Line>; /* by file and number */

struct Coverage {
  std::set<const LoadedModule *> modules;
  Lines gone; /* of modules that are no more */

  static Coverage &instance() {
    static Coverage &c = *new Coverage; /* outlives what runs at exit */
    return c;
  }

  /* Kernels that nobody asked for are made ready now: their lines count, with 0. */
  static void add(const LoadedModule &m, Lines *lines) {
    for (const std::string &name : m.kernels()) {
      const Program &p = static_cast<const LoadedKernel *>(m.kernel(name))->program;
      for (const Instruction &i : p.code)
        if (i.location.file != 0 && i.location.line != 0) {
          Line &line = (*lines)[{p.file(i.location.file), i.location.line}];
          line.count += i.executed;
          line.barrier = line.barrier || i.is_barrier;
        }
    }
  }
};

const char *wanted() { return std::getenv("CVSIM_COV"); }

} // namespace

void add_coverage(const LoadedModule *m) {
  Coverage &c = Coverage::instance();
  static bool registered = false;
  if (wanted() != nullptr && !registered) {
    registered = true;
    std::atexit([] { write_coverage(wanted()); });
  }
  c.modules.insert(m);
}

void remove_coverage(const LoadedModule *m) {
  Coverage &c = Coverage::instance();
  if (wanted() != nullptr) Coverage::add(*m, &c.gone);
  c.modules.erase(m);
}

} // namespace ptx

void write_coverage(const std::string &path) {
  ptx::Coverage &c = ptx::Coverage::instance();
  ptx::Lines lines = c.gone;
  for (const ptx::LoadedModule *m : c.modules) ptx::Coverage::add(*m, &lines);
  std::FILE *f = std::fopen(path.c_str(), "a");
  if (f == nullptr) throw Error("cannot write the coverage to " + path);
  for (const auto &[place, line] : lines)
    std::fprintf(f, "%s:%u %llu%s\n", place.first.c_str(), place.second,
                 static_cast<unsigned long long>(line.count), line.barrier ? " barrier" : "");
  std::fclose(f);
}

} // namespace cudasim

/* Every planted bug of bugs.cu must be reported: its kind, its line, in every order of blocks and warps. */
#include "selftest/tests.h"

#include <algorithm>
#include <set>

namespace cudasim::selftest {

namespace {

struct Planted {
  std::string kernel;
  Dim3 grid, block;
  unsigned shared = 0;
  std::map<unsigned, std::string> expected; /* kind, by line */
};

/* Reads bugs.cu: the comments say what to launch and what to expect. */
std::vector<Planted> planted_in(const std::string &path) {
  std::ifstream f(path);
  std::vector<Planted> all;
  Planted next;
  std::string line;
  for (unsigned number = 1; std::getline(f, line); number++) {
    if (std::sscanf(line.c_str(), "/* (%u, %u, %u)", &next.grid.x, &next.block.x, &next.shared) ==
        3)
      continue;
    if (line.rfind("KERNEL ", 0) == 0) {
      next.kernel = line.substr(7, line.find('(') - 7);
      all.push_back(next);
    }
    const size_t bug = line.find("// BUG: ");
    if (bug == std::string::npos) continue;
    const std::string kind = line.substr(bug + 8);
    all.back().expected[number] = kind.substr(0, kind.find_first_of(", "));
  }
  return all;
}

void launch_planted(const Module &m, TestMemory &memory, const Planted &p, Options options) {
  Buffer<float> x(memory, 256), y(memory, 256), z(memory, 256);
  for (size_t i = 0; i < x.size; i++) x[i] = static_cast<float>(i), y[i] = z[i] = 0;
  std::vector<Violation> found;
  options.limit = 100000;
  const bool clean =
      run(m, p.kernel, p.grid, p.block, p.shared, options, &found, x.address, y.address, z.address);
  const std::string what = p.kernel + " on " + m.target();
  check(!clean && found.size() == 1, what + ": nothing was reported");
  if (found.size() != 1) return;
  const Violation &v = found[0];
  auto line = p.expected.find(v.line);
  check(line != p.expected.end() && line->second == v.kind, what + ": not as expected: " + v.text);
  check(v.file.find("bugs.cu") != std::string::npos, what + ": wrong file: " + v.file);
}

} // namespace

void test_bugs(const std::string &ptx, const std::string &source) {
  TestMemory memory;
  const auto m = Module::load(read_file(ptx), memory);
  const std::vector<Planted> all = planted_in(source);
  std::set<std::string> kernels;
  for (const Planted &p : all) {
    kernels.insert(p.kernel);
    for (Order order : {Order::forward, Order::reverse, Order::random}) {
      Options options;
      options.order = order;
      launch_planted(*m, memory, p, options);
    }
  }
  const std::vector<std::string> names = m->kernels();
  check(!all.empty() && std::set<std::string>(names.begin(), names.end()) == kernels,
        "kernels without a planted bug");
}

} // namespace cudasim::selftest

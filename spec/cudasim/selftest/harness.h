/* What the self-tests of the engine share: a device memory of their own, counting, launching. */
#ifndef CUDASIM_SELFTEST_HARNESS_H
#define CUDASIM_SELFTEST_HARNESS_H

#include "engine.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

namespace cudasim::selftest {

inline int passed, failed;

inline void check(bool good, const std::string &what) {
  (good ? passed : failed)++;
  if (!good) std::printf("FAIL %s\n", what.c_str());
}

inline std::string read_file(const std::string &path) {
  std::ifstream f(path);
  std::stringstream text;
  text << f.rdbuf();
  if (!f) throw Error("cannot read " + path);
  return text.str();
}

/* Allocations lie far apart, at addresses that are nobody's on the host. */
class TestMemory : public Memory {
public:
  bool find(uint64_t address, Range *range) override {
    auto after = blocks.upper_bound(address);
    if (after == blocks.begin()) return false;
    auto &[base, bytes] = *--after;
    if (address >= base + bytes.size()) return false;
    *range = {base, base + bytes.size(), bytes.data()};
    return true;
  }
  uint64_t allocate(const std::string &, size_t size, size_t) override {
    const uint64_t base = next;
    blocks[base].resize(size);
    next += (size + 0xffffff) & ~uint64_t{0xffff};
    return base;
  }
  void accessed(uint64_t address, size_t, bool) override {
    granules += address / granule != last, last = address / granule;
  }

  template <class T> T *host(uint64_t address) {
    Range r;
    if (!find(address, &r)) throw Error("no such allocation");
    return reinterpret_cast<T *>(r.host + (address - r.base));
  }

  uint64_t granules = 0;

private:
  std::map<uint64_t, std::vector<unsigned char>> blocks;
  uint64_t next = 0x700000000000, last = 0;
};

/* Device memory that looks like an array on the host. */
template <class T> class Buffer {
public:
  Buffer(TestMemory &m, size_t n)
      : address(m.allocate("", n * sizeof(T), 256)), data(m.host<T>(address)), size(n) {}
  T &operator[](size_t i) { return data[i]; }
  const uint64_t address;
  T *const data;
  const size_t size;
};

/* Launches a kernel with these parameters; false when there was a violation, which goes to `found`. */
template <class... A>
bool run(const Module &m, const std::string &name, Dim3 grid, Dim3 block, size_t shared,
         Options options, std::vector<Violation> *found, A... argument) {
  const Kernel *k = m.kernel(name);
  if (k == nullptr) throw Error("no kernel " + name);
  const void *arguments[] = {&argument..., nullptr};
  if (sizeof...(A) != k->parameters().size()) throw Error("wrong number of parameters for " + name);
  options.report = [found](const Violation &v) { found->push_back(v); };
  return launch(*k, grid, block, shared, k->pack(arguments), options);
}

} // namespace cudasim::selftest

#endif

#include "ptx/module.h"
#include "ptx/coverage.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace cudasim {

std::vector<unsigned char> Kernel::pack(const void *const *arguments) const {
  std::vector<unsigned char> block;
  for (size_t k = 0; k < parameters().size(); k++) {
    const Parameter &p = parameters()[k];
    block.resize(p.offset + p.size);
    std::memcpy(&block[p.offset], arguments[k], p.size);
  }
  return block;
}

namespace {

std::string &skipped_barrier() {
  static const char *from_environment = std::getenv("CVSIM_SKIP_BARRIER");
  static std::string &place = *new std::string(from_environment == nullptr ? "" : from_environment);
  return place;
}

/* The barriers whose place ends with the one to skip become instructions that do nothing. */
void leave_out_barriers(ptx::Program *p) {
  const std::string &skipped = skipped_barrier();
  if (skipped.empty()) return;
  for (ptx::Instruction &i : p->code) {
    const std::string place = p->file(i.location.file) + ":" + std::to_string(i.location.line);
    const bool same = place.size() >= skipped.size() &&
                      place.compare(place.size() - skipped.size(), skipped.size(), skipped) == 0;
    if (!i.is_barrier || !same) continue;
    if (i.to != ptx::no_register)
      throw Error("a barrier with a result cannot be left out: " + i.text);
    i.flow = ptx::Flow::next;
    i.run = [](ptx::Warp &, const ptx::Instruction &, ptx::Mask) {};
  }
}

} // namespace

void skip_barrier(const std::string &place) { skipped_barrier() = place; }

std::unique_ptr<Module> Module::load(std::string_view text, Memory &memory) {
  return std::make_unique<ptx::LoadedModule>(ptx::parse(text), memory);
}

namespace ptx {

size_t LoadedKernel::shared_bytes() const {
  size_t total = 0;
  for (const SharedVariable &v : program.shared) total += v.size;
  return total;
}

LoadedModule::LoadedModule(std::unique_ptr<Syntax> s, Memory &m) : syntax(std::move(s)), memory(m) {
  for (const Declaration &d : syntax->variables) {
    if (d.space != Space::global && d.space != Space::constant) continue;
    if (d.external) throw Error("PTX: the variable " + d.name + " is in another module");
    variables[d.name] = memory.allocate(d.name, std::max<size_t>(d.size, 1), d.alignment);
  }
  write_initial_values();
  add_coverage(this);
}

LoadedModule::~LoadedModule() { remove_coverage(this); }

void LoadedModule::write_initial_values() {
  for (const Declaration &d : syntax->variables) {
    auto found = variables.find(d.name);
    if (found == variables.end()) continue;
    std::vector<unsigned char> value = d.initial;
    value.resize(d.size);
    for (const Declaration::Reference &r : d.references) {
      auto to = variables.find(r.name);
      if (to == variables.end())
        throw Error("PTX: " + d.name + " refers to " + r.name + ", which is no variable");
      const uint64_t address = to->second + r.addend;
      std::memcpy(&value[r.offset], &address, sizeof address);
    }
    Range range;
    if (!memory.find(found->second, &range) || found->second + d.size > range.end)
      throw Error("PTX: no memory for " + d.name);
    if (d.size > 0) std::memcpy(range.host + (found->second - range.base), value.data(), d.size);
  }
}

const Kernel *LoadedModule::kernel(const std::string &name) const {
  auto known = ready.find(name);
  if (known != ready.end()) return known->second.get();
  auto found = syntax->functions.find(name);
  if (found == syntax->functions.end() || !found->second.entry || !found->second.defined)
    return nullptr;
  Program program = assemble(*syntax, found->second, variables);
  leave_out_barriers(&program);
  std::unique_ptr<LoadedKernel> &kernel = ready[name];
  kernel = std::make_unique<LoadedKernel>(std::move(program), &memory);
  return kernel.get();
}

bool LoadedModule::variable(const std::string &name, uint64_t *address, size_t *size) const {
  for (const Declaration &d : syntax->variables) {
    auto found = variables.find(name);
    if (d.name != name || found == variables.end()) continue;
    *address = found->second;
    *size = d.size;
    return true;
  }
  return false;
}

std::vector<std::string> LoadedModule::kernels() const {
  std::vector<std::string> list;
  for (const auto &[name, f] : syntax->functions)
    if (f.entry && f.defined) list.push_back(name);
  return list;
}

} // namespace ptx

} // namespace cudasim

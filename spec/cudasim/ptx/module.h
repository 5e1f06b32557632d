/* A loaded module: its text, its variables in device memory, and the kernels that have been asked for. */
#ifndef CUDASIM_PTX_MODULE_H
#define CUDASIM_PTX_MODULE_H

#include "ptx/machine.h"

namespace cudasim::ptx {

class LoadedKernel : public Kernel {
public:
  LoadedKernel(Program p, Memory *m) : program(std::move(p)), memory(m) {}
  const std::string &name() const override { return program.name; }
  const std::vector<Parameter> &parameters() const override { return program.parameters; }
  size_t shared_bytes() const override;
  size_t local_bytes() const override { return program.local_bytes; }
  uint32_t max_threads() const override { return program.max_threads; }

  const Program program;
  Memory *const memory;
};

class LoadedModule : public Module {
public:
  LoadedModule(std::unique_ptr<Syntax> s, Memory &m);
  ~LoadedModule() override;
  const std::string &target() const override { return syntax->target; }
  const Kernel *kernel(const std::string &name) const override;
  bool variable(const std::string &name, uint64_t *address, size_t *size) const override;
  std::vector<std::string> kernels() const override;

private:
  void write_initial_values();

  const std::unique_ptr<Syntax> syntax;
  Memory &memory;
  Variables variables;
  mutable std::map<std::string, std::unique_ptr<LoadedKernel>> ready;
};

} // namespace cudasim::ptx

#endif

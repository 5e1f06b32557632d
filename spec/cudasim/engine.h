/*
** The PTX engine of the CUDA simulator: executes kernels as nvcc compiled them, on the CPU, and checks
** every access they make. The runtime (the fake libcudart) owns memory, streams and errors, and calls
** the engine to load modules and to run launches. Nothing here is safe to call from two threads at once.
**
** Model: one warp executes 32 lanes together; lanes that diverge run lowest program counter first and
** join where their counters meet. Blocks run one after the other, each to its end, in the order asked
** for; between barriers the warps of a block run one after the other, in the same kind of order.
** Fences order nothing that is not ordered already: weak memory is not modelled.
**
** Checked, the first violation ends the launch:
**   bounds       global accesses lie in one live allocation, shared ones in one declared variable,
**                local and parameter accesses in what the kernel declares
**   alignment    to the size of the access, of the whole vector for vectors
**   race         two accesses to a byte, one of them a write, not both atomic, by different threads that
**                no barrier orders; lanes of one warp are ordered by __syncwarp alone, blocks by nothing
**   uninitialised read of shared memory that the block did not write
**   barrier      all threads of the block arrive at the same one; a thread that left before counts as missing
**   warp         lanes named in the mask of a shuffle, vote or __syncwarp arrive there, and are the ones read
**   endless      a warp that executes more instructions than Options::limit
**   trap         trap and failed assert()
*/
#ifndef CUDASIM_ENGINE_H
#define CUDASIM_ENGINE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cudasim {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

/* PTX that the engine does not understand (the text is in what()), or a launch that cannot be. */
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/* One live allocation: device addresses [base, end), and where the host finds its first byte. */
struct Range {
  uint64_t base, end;
  unsigned char *host;
};

/* The memory of one device, as the runtime keeps it. */
class Memory {
public:
  virtual ~Memory() = default;

  /* The live allocation that contains `address`; false when there is none. The engine keeps the answer
  ** until the end of the launch. */
  virtual bool find(uint64_t address, Range *range) = 0;

  /* Device memory for a __device__ or __constant__ variable of a module, for as long as the module. */
  virtual uint64_t allocate(const std::string &name, size_t size, size_t alignment) = 0;

  /* Called during a launch for what it accesses, at least once for each kind of access and each
  ** aligned granule of `granule` bytes; [address, address + size) lies within one granule. */
  virtual void accessed(uint64_t address, size_t size, bool write) {
    (void)address, (void)size, (void)write;
  }
  static constexpr uint64_t granule = 256;
};

struct Violation {
  std::string kind;         /* one of the words above */
  std::string kernel, file; /* the file as given to nvcc */
  unsigned line = 0;
  Dim3 block, thread; /* indices */
  std::string text;   /* the whole message, with all of these */
};

enum class Order { forward, reverse, random };

struct Options {
  Order order = Order::forward;   /* CVSIM_ORDER=forward|reverse|random */
  uint64_t seed = 0;              /* CVSIM_SEED */
  bool race = true;               /* CVSIM_RACE=0 turns off race and uninitialised, for speed */
  uint64_t limit = 1'000'000'000; /* instructions of a warp in a block, CVSIM_LIMIT */
  std::function<void(const Violation &)> report; /* when none: the text goes to stderr */

  static Options from_environment(); /* errors: Error naming a variable with a wrong value */
};

/* A __global__ function of a module. Lives as long as the module. */
class Kernel {
public:
  struct Parameter {
    size_t offset, size;
  };

  virtual ~Kernel() = default;
  virtual const std::string &name() const = 0; /* mangled */
  virtual const std::vector<Parameter> &parameters() const = 0;
  virtual size_t shared_bytes() const = 0;  /* static shared memory */
  virtual size_t local_bytes() const = 0;   /* of one thread */
  virtual uint32_t max_threads() const = 0; /* of __launch_bounds__; 0 when there are none */

  /* The parameters of a launch as one block, from a pointer to each as cudaLaunchKernel gets them. */
  std::vector<unsigned char> pack(const void *const *arguments) const;
};

class Module {
public:
  /* Parses the text of one PTX module, allocates its variables in `memory` and writes their initial
  ** values. Errors: Error with the line of PTX that is not understood. */
  static std::unique_ptr<Module> load(std::string_view text, Memory &memory);
  virtual ~Module() = default;

  virtual const std::string &target() const = 0; /* "sm_80" */
  /* NULL when there is none. Made ready when it is first asked for. Errors: Error with the instruction that is not understood. */
  virtual const Kernel *kernel(const std::string &name) const = 0;
  virtual std::vector<std::string> kernels() const = 0; /* all names */
  virtual bool variable(const std::string &name, uint64_t *address, size_t *size) const = 0;
};

/* Runs a kernel to its end. `parameters` as made by Kernel::pack when the launch was asked for.
** False when a violation was reported; what was written until then stays written. */
bool launch(const Kernel &kernel, Dim3 grid, Dim3 block, size_t dynamic_shared_bytes,
            const std::vector<unsigned char> &parameters, const Options &options);

/* For the test of the tests: barriers at this "file.cu:line" are left out of kernels made ready from now on;
** at first the one that CVSIM_SKIP_BARRIER names. Empty: none. */
void skip_barrier(const std::string &place);

/* Appends "file:line count" for each source line that any loaded kernel has code for, with " barrier" behind
** where there is one; count is the thread instructions executed so far. Done at exit if CVSIM_COV names a
** file. */
void write_coverage(const std::string &path);

} // namespace cudasim

#endif

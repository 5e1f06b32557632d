/*
** Kernels: the PTX that nvcc put into the program, and launches of it on the engine.
*/
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>

#include <fatbinary_section.h>

#include "engine.h"
#include "memory.h"
#include "sim.h"
#include "stream.h"

using namespace cudasim;

namespace {

/* The layout of a fat binary, as far as it is read here: a header, then entries, of which those of
** kind 1 hold PTX, as text when nvcc was given --compress-mode=none. */
struct FatHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes; /* of what follows the header */
};
struct FatEntry {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t bytes; /* of what follows the entry's header */
  uint32_t compressed_bytes, options_offset;
  uint16_t minor, major;
  uint32_t architecture; /* 90 */
};
constexpr uint32_t kFatMagic = 0xBA55ED50;
constexpr uint16_t kPtx = 1;

/* What one __cudaRegisterFatBinary brought. */
struct Image {
  const char *data;
  std::map<int, std::unique_ptr<Module>> modules; /* by device, loaded when first launched from */
};

struct Function {
  Image *image;
  std::string name;                 /* mangled */
  size_t dynamic_shared = 48 << 10; /* what a launch may ask for */
};

struct Variable {
  Image *image;
  std::string name;
};

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};

struct Kernels {
  std::map<const void *, Function> functions; /* by the host's stub */
  std::map<const void *, Variable> variables; /* by the host's shadow */
  Options options = Options::from_environment();
};

Kernels &kernels() {
  static auto *k = [] {
    auto *made = new Kernels;
    made->options.report = [](const Violation &v) { violation("%s", v.text.c_str()); };
    return made;
  }();
  return *k;
}

thread_local std::vector<Configuration>
    configurations; /* of launches that are being put together */

[[noreturn]] void stop(const std::string &why) {
  fprintf(stderr, "cudasim: %s\n", why.c_str());
  abort();
}

/* The text for the highest architecture that the device can still run. */
std::string_view find_ptx(const Image &image) {
  auto *header = reinterpret_cast<const FatHeader *>(image.data);
  if (header->magic != kFatMagic) stop("this is no fat binary");
  std::string_view best;
  uint32_t best_architecture = 0;
  const char *p = image.data + header->header_bytes, *end = p + header->bytes;
  while (p < end) {
    auto *entry = reinterpret_cast<const FatEntry *>(p);
    const char *text = p + entry->header_bytes;
    p = text + entry->bytes;
    if (entry->kind != kPtx || entry->architecture > uint32_t(architecture())) continue;
    if (entry->architecture < best_architecture) continue;
    if (entry->compressed_bytes != 0) stop("the PTX is compressed: nvcc --compress-mode=none");
    best_architecture = entry->architecture;
    best = std::string_view(text, strnlen(text, entry->bytes));
  }
  if (best.empty()) stop("there is no PTX for sm_" + std::to_string(architecture()));
  return best;
}

/* What the engine does not understand is nobody's bug but ours. */
template <class Action> auto engine_does(Action action) {
  try {
    return action();
  } catch (const Error &e) {
    stop(e.what());
  }
}

Module &module_of(Image &image, int device) {
  std::unique_ptr<Module> &m = image.modules[device];
  if (m == nullptr)
    m = engine_does([&] { return Module::load(find_ptx(image), engine_memory(device)); });
  return *m;
}

/* The function's code for the current device; NULL when there is none. */
const Kernel *kernel_of(const Function &f) {
  Module &m = module_of(*f.image, current_device());
  return engine_does([&] { return m.kernel(f.name); });
}

Dim3 to_engine(dim3 d) { return {d.x, d.y, d.z}; }

cudaError_t check_launch(const Function &f, const Kernel &k, dim3 grid, dim3 block, size_t shared) {
  size_t threads = size_t(block.x) * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0)
    return cudaErrorInvalidConfiguration;
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535 || block.z > 64 || threads > 1024)
    return cudaErrorInvalidConfiguration;
  if (k.max_threads() != 0 && threads > k.max_threads()) return cudaErrorLaunchOutOfResources;
  if (shared > f.dynamic_shared) return cudaErrorInvalidValue;
  if (shared + k.shared_bytes() > shared_memory_limit()) return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t launch_kernel(const void *stub, dim3 grid, dim3 block, void **arguments, size_t shared,
                          cudaStream_t stream) {
  auto found = kernels().functions.find(stub);
  if (found == kernels().functions.end()) return cudaErrorInvalidDeviceFunction;
  if (unknown_stream(stream)) return cudaErrorInvalidResourceHandle;
  const Function &f = found->second;
  if (device_of(stream) != current_device()) return cudaErrorInvalidResourceHandle;
  const Kernel *k = kernel_of(f);
  if (k == nullptr) return cudaErrorInvalidDeviceFunction;
  if (cudaError_t e = check_launch(f, *k, grid, block, shared)) return e;
  auto parameters = k->pack(const_cast<const void *const *>(arguments));
  return enqueue(stream, k->name().c_str(), [=] {
    engine_does([&] {
      return launch(*k, to_engine(grid), to_engine(block), shared, parameters, kernels().options);
    });
  });
}

} // namespace

CUDASIM_EXPORT cudaError_t cudaLaunchKernel(const void *stub, dim3 grid, dim3 block,
                                            void **arguments, size_t shared, cudaStream_t stream) {
  CUDASIM_CALL_OR(cudaErrorLaunchOutOfResources);
  return failed(launch_kernel(stub, grid, block, arguments, shared, stream));
}

CUDASIM_EXPORT cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *stub,
                                               void **arguments) {
  CUDASIM_CALL_OR(cudaErrorLaunchOutOfResources);
  if (config->numAttrs != 0) return failed(cudaErrorNotSupported); /* clusters and the like */
  return failed(launch_kernel(stub, config->gridDim, config->blockDim, arguments,
                              config->dynamicSmemBytes, config->stream));
}

CUDASIM_EXPORT cudaError_t cudaFuncSetAttribute(const void *stub, cudaFuncAttribute attribute,
                                                int value) {
  CUDASIM_CALL();
  auto found = kernels().functions.find(stub);
  if (found == kernels().functions.end()) return failed(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || size_t(value) > shared_memory_limit()) return failed(cudaErrorInvalidValue);
  found->second.dynamic_shared = size_t(value);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, const void *stub) {
  CUDASIM_CALL();
  auto found = kernels().functions.find(stub);
  if (found == kernels().functions.end()) return failed(cudaErrorInvalidDeviceFunction);
  const Function &f = found->second;
  const Kernel *k = kernel_of(f);
  if (k == nullptr) return failed(cudaErrorInvalidDeviceFunction);
  *out = {};
  out->maxThreadsPerBlock = k->max_threads() != 0 ? int(k->max_threads()) : 1024;
  out->sharedSizeBytes = k->shared_bytes();
  out->localSizeBytes = k->local_bytes();
  out->maxDynamicSharedSizeBytes = int(f.dynamic_shared);
  out->ptxVersion = out->binaryVersion = architecture();
  out->numRegs = 32; /* ptxas would know */
  return cudaSuccess;
}

/* As many blocks as threads allow: registers are not known here. */
CUDASIM_EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *,
                                                                         int threads, size_t) {
  CUDASIM_CALL();
  *blocks = std::max(1, (architecture() == 75 ? 1024 : 2048) / std::max(threads, 1));
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGetSymbolAddress(void **out, const void *shadow) {
  CUDASIM_CALL();
  auto found = kernels().variables.find(shadow);
  uint64_t address;
  size_t bytes;
  if (found == kernels().variables.end()) return failed(cudaErrorInvalidValue);
  Module &m = module_of(*found->second.image, current_device());
  if (!m.variable(found->second.name, &address, &bytes)) return failed(cudaErrorInvalidValue);
  *out = reinterpret_cast<void *>(address);
  return cudaSuccess;
}

/* What the code that nvcc generates for the host calls; declared in crt/host_runtime.h. ------------ */

CUDASIM_EXPORT void **__cudaRegisterFatBinary(void *wrapper) {
  auto *w = static_cast<const __fatBinC_Wrapper_t *>(wrapper);
  auto *image = new Image;
  image->data = reinterpret_cast<const char *>(w->data);
  return reinterpret_cast<void **>(image);
}

CUDASIM_EXPORT void __cudaRegisterFatBinaryEnd(void **) {}

CUDASIM_EXPORT void __cudaUnregisterFatBinary(void **handle) {
  std::lock_guard<std::recursive_mutex> held(lock());
  auto *image = reinterpret_cast<Image *>(handle);
  auto &functions = kernels().functions;
  for (auto f = functions.begin(); f != functions.end();)
    f = f->second.image == image ? functions.erase(f) : std::next(f);
  auto &variables = kernels().variables;
  for (auto v = variables.begin(); v != variables.end();)
    v = v->second.image == image ? variables.erase(v) : std::next(v);
  delete image;
}

CUDASIM_EXPORT void __cudaRegisterFunction(void **handle, const char *stub, char *,
                                           const char *name, int, uint3 *, uint3 *, dim3 *, dim3 *,
                                           int *) {
  std::lock_guard<std::recursive_mutex> held(lock());
  kernels().functions[stub] = {reinterpret_cast<Image *>(handle), name};
}

CUDASIM_EXPORT void __cudaRegisterVar(void **handle, char *shadow, char *, const char *name, int,
                                      size_t, int, int) {
  std::lock_guard<std::recursive_mutex> held(lock());
  kernels().variables[shadow] = {reinterpret_cast<Image *>(handle), name};
}

CUDASIM_EXPORT char __cudaInitModule(void **) { return 0; }

CUDASIM_EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                                    CUstream_st *stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

CUDASIM_EXPORT cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared,
                                                      void *stream) {
  if (configurations.empty()) return failed(cudaErrorInvalidConfiguration);
  const Configuration &c = configurations.back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t *>(stream) = c.stream;
  configurations.pop_back();
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub) {
  std::lock_guard<std::recursive_mutex> held(lock());
  if (kernels().functions.count(stub) == 0) return failed(cudaErrorInvalidDeviceFunction);
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void *>(stub));
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block,
                                              void **arguments, size_t shared,
                                              cudaStream_t stream) {
  CUDASIM_CALL_OR(cudaErrorLaunchOutOfResources);
  return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block, arguments, shared,
                          stream);
}

/*
** Settings, broken rules, injected failures, and the list of what is alive.
*/
#include "sim.h"

#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace cudasim {

namespace {

constexpr std::array<const char *, size_t(Kind::count)> kKinds = {
    "device", "pinned", "stream", "event", "graph", "cublas", "cudnn", "descriptor"};

struct State {
  std::recursive_mutex lock;
  std::map<std::string, long> calls;
  std::string fail_call; /* empty: none */
  long fail_after = 0;   /* calls of it until the one that fails */
  cudaError_t sticky = cudaSuccess;
  uint64_t random = 88172645463325252u;
  std::map<const void *, size_t> alive[size_t(Kind::count)];

  State() {
    std::string fail = setting("CVSIM_FAIL", "");
    size_t colon = fail.find(':');
    if (colon != std::string::npos) {
      fail_call = fail.substr(0, colon);
      fail_after = atol(fail.c_str() + colon + 1);
    }
    std::string schedule = setting("CVSIM_SCHED", "lazy");
    if (schedule.rfind("random:", 0) == 0)
      random ^= (strtoull(schedule.c_str() + 7, nullptr, 10) + 1) * 0x9E3779B97F4A7C15u;
  }
};

/* Never destroyed: the program may call CUDA from its own destructors. */
State &state() {
  static State *s = new State;
  return *s;
}

thread_local cudaError_t last_error = cudaSuccess;

void report_leaks() {
  for (size_t k = 0; k < kKinds.size(); k++)
    for (auto &[p, bytes] : state().alive[k])
      fprintf(stderr, "CVSIM LEAK: %s %p, %zu bytes\n", kKinds[k], p, bytes);
}

void report_calls(const std::string &path) {
  FILE *f = fopen(path.c_str(), "w");
  if (f == nullptr) return perror(path.c_str());
  for (auto &[name, count] : state().calls) fprintf(f, "%ld %s\n", count, name.c_str());
  fclose(f);
}

__attribute__((destructor)) void at_exit() {
  if (setting("CVSIM_LEAKS", 0L) != 0) report_leaks();
  std::string calls = setting("CVSIM_CALLS", "");
  if (!calls.empty()) report_calls(calls);
}

} // namespace

long setting(const char *name, long otherwise) {
  const char *s = getenv(name);
  return s != nullptr && *s != '\0' ? atol(s) : otherwise;
}

std::string setting(const char *name, const char *otherwise) {
  const char *s = getenv(name);
  return s != nullptr ? s : otherwise;
}

/* xorshift64, Marsaglia 2003 */
unsigned random_below(unsigned n) {
  uint64_t &x = state().random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return unsigned((x >> 32) % n);
}

void violation(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "CVSIM VIOLATION: ");
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  if (setting("CVSIM_ABORT", 1L) != 0) {
    fflush(nullptr);
    _exit(kViolationStatus);
  }
  lose_context(cudaErrorIllegalAddress);
}

bool injected(const char *call) {
  State &s = state();
  s.calls[call]++;
  if (s.fail_after <= 0 || s.fail_call != call) return false;
  return --s.fail_after == 0;
}

cudaError_t sticky_error() { return state().sticky; }

void lose_context(cudaError_t error) {
  if (state().sticky == cudaSuccess) state().sticky = error;
}

cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

std::recursive_mutex &lock() { return state().lock; }

Call::Call(const char *name, cudaError_t wanted)
    : held(lock()), error(injected(name) ? wanted : sticky_error()) {
  if (error == cudaSuccess && setting("CVSIM_DRIVER", 1L) == 0)
    error = cudaErrorInsufficientDriver;
  else if (error == cudaSuccess && device_count() == 0)
    error = cudaErrorNoDevice;
}

void born(Kind kind, const void *p, size_t bytes) { state().alive[size_t(kind)][p] = bytes; }

void died(Kind kind, const void *p) { state().alive[size_t(kind)].erase(p); }

} // namespace cudasim

using namespace cudasim;

CUDASIM_EXPORT cudaError_t cudaGetLastError() {
  cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

CUDASIM_EXPORT cudaError_t cudaPeekAtLastError() {
  std::lock_guard<std::recursive_mutex> held(lock());
  return sticky_error() != cudaSuccess ? sticky_error() : last_error;
}

void cvsim_fail(const char *call, long nth) {
  std::lock_guard<std::recursive_mutex> held(lock());
  state().fail_call = call != nullptr ? call : "";
  state().fail_after = nth;
}

long cvsim_calls(const char *call) {
  std::lock_guard<std::recursive_mutex> held(lock());
  if (call == nullptr) return state().calls.clear(), 0;
  auto found = state().calls.find(call);
  return found != state().calls.end() ? found->second : 0;
}

const char *cvsim_call_name(int i) {
  std::lock_guard<std::recursive_mutex> held(lock());
  for (auto &[name, count] : state().calls)
    if (i-- == 0) return name.c_str();
  return nullptr;
}

long cvsim_live(const char *kind) {
  std::lock_guard<std::recursive_mutex> held(lock());
  for (size_t k = 0; k < kKinds.size(); k++) {
    if (strcmp(kind, kKinds[k]) != 0) continue;
    if (Kind(k) != Kind::device && Kind(k) != Kind::pinned) return long(state().alive[k].size());
    size_t bytes = 0;
    for (auto &[p, size] : state().alive[k]) bytes += size;
    return long(bytes);
  }
  return -1;
}

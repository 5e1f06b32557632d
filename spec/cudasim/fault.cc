#include "fault.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>

#include "sim.h"

namespace cudasim {

namespace {

struct sigaction before; /* the program's handler, or the sanitizer's */

/* The processor's error code says whether the access was a write (Intel SDM 3A, 4.7; 0x2). */
bool was_write(const void *context) {
#ifdef __x86_64__
  return (static_cast<const ucontext_t *>(context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
  (void)context;
  return true;
#endif
}

void handle(int, siginfo_t *info, void *context) {
  switch (explain_fault(uintptr_t(info->si_addr), was_write(context))) {
  case Fault::settled:
    return;
  case Fault::foreign:
    sigaction(SIGSEGV, &before, nullptr);
    return; /* happens again, to them */
  case Fault::fatal:
    fflush(nullptr);
    _exit(kViolationStatus);
  }
}

} // namespace

void catch_faults() {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before);
}

} // namespace cudasim

/*
** Numbers below the smallest normal one, 2^-126 in single precision, take a CPU a hundred times as long as others. Between
** these two calls they count as zero, in operands and results, on this thread. Where a CPU has no such setting nothing changes.
** What is computed between them must be a call that the compiler does not inline.
*/
#ifndef CVL_KERNELS_FLUSH_H
#define CVL_KERNELS_FLUSH_H

#if defined(__x86_64__)
#include <xmmintrin.h>
static inline unsigned cvl_flush_begin(void) {
  enum { FLUSH_RESULTS = 0x8000, OPERANDS_ARE_ZERO = 0x40 };
  unsigned former = _mm_getcsr();
  _mm_setcsr(former | FLUSH_RESULTS | OPERANDS_ARE_ZERO);
  return former;
}
static inline void cvl_flush_end(unsigned former) { _mm_setcsr(former); }
#else
static inline unsigned cvl_flush_begin(void) { return 0; }
static inline void cvl_flush_end(unsigned former) { (void)former; }
#endif

#endif

/* Facts about CPUs that no instruction set tells, measured. */
#ifndef CVL_KERNELS_CPU_H
#define CVL_KERNELS_CPU_H

#include <stdbool.h>
#include <stdint.h>

bool cvl_cpu_is_intel(void);

/* Whether a core waits for so many lines of its caches at a time that asking for hundreds costs nothing: Intel's (measured on
** Ice Lake) do not. */
bool cvl_cpu_waits_for_many(void);

/* Whether what one thread makes for all had better be written past the caches. Where groups of cores have last caches of their
** own, as AMD's, a line that a core of another group has read is written ten times as slowly as one past the caches (Zen 4:
** 3 and 27 GB/s; within a group 25 and 28). */
bool cvl_cpu_shares_past(void);

/* Elements from which on other threads are woken for a pass over a matrix, a vector or parameters. The same CPUs' threads want
** more, as each line that goes to and fro between groups takes 340 ns: an MLP of 235,146 parameters at batch 1 takes 0.26 ms
** on two of them, 0.07 on one thread, and 0.07 on two within a group. */
int64_t cvl_cpu_worth(void);

#endif

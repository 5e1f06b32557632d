#ifndef CVL_BIND_BENCH_H
#define CVL_BIND_BENCH_H

#include <lua.h>

/* The module convlua.core.bench: the machine's limits, and the choice of convolution algorithms. */
int cvl_open_bench(lua_State *L);

#endif

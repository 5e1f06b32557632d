/* The micro-kernels of products of floats. */
#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector.h"

typedef vec operand;
#define LOAD(p) load(p)
#define SPLAT(p) splat(*(p))
#define ADD_PRODUCT(c, a, b) ((c) + (a) * (b))
#define CHUNK_ROW CVL_CHUNK
#define SUMS __attribute__((always_inline)) inline
#define RUN(call) call
#include "kernels/tile_loops.h"

const cvl_tile CVL_ISA_NAME(cvl_tile)[2] = TILES(1);

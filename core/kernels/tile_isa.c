/* The micro-kernels of products of floats. */
#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector.h"

typedef vec operand;
#define LOAD(p) load(p)
#define SPLAT(p) splat(*(p))
#ifdef __FMA__
/* GCC knows three such instructions, by which of the three is overwritten, and moves accumulators about when it may choose. */
INLINE vec add_product(vec c, vec a, vec b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}
enum { TOGETHER = 4 };
#define ADD_PRODUCT(c, a, b) add_product(c, a, b)
#else
enum { TOGETHER = 1 };
#define ADD_PRODUCT(c, a, b) ((c) + (a) * (b))
#endif
#define CHUNK_ROW CVL_CHUNK
#define SUMS __attribute__((always_inline)) inline
#define RUN(call) call
#include "kernels/tile_loops.h"

/* Of every height: what is left of few rows is much of them. */
#define LYING(name, rows, vectors)                                                                \
  static void name##_by_rows_##rows(                                                              \
      const cvl_stretch *s, int stretches, int64_t a_step, int64_t b_row, float *const *row,      \
      int64_t column, cvl_tile_mode mode, const float *first, const cvl_ahead *next) {            \
    (void)b_row;                                                                                  \
    tile((form){rows, vectors, true, false, false}, s, stretches, a_step, 1, vectors *LANES, row, \
         column, mode, first, next, NULL);                                                        \
  }                                                                                               \
  static void name##_by_columns_##rows(                                                           \
      const cvl_stretch *s, int stretches, int64_t a_step, int64_t b_row, float *const *row,      \
      int64_t column, cvl_tile_mode mode, const float *first, const cvl_ahead *next) {            \
    tile((form){rows, vectors, false, false, false}, s, stretches, 1, a_step, b_row, row, column, \
         mode, first, next, NULL);                                                                \
  }
#define BY_ROWS(name, rows, vectors) [rows] = name##_by_rows_##rows,
#define BY_COLUMNS(name, rows, vectors) [rows] = name##_by_columns_##rows,

#define UP_TO_6(make, name, vectors)                                                          \
  make(name, 1, vectors) make(name, 2, vectors) make(name, 3, vectors) make(name, 4, vectors) \
      make(name, 5, vectors) make(name, 6, vectors)
#define UP_TO_12(make, name, vectors)                                                          \
  UP_TO_6(make, name, vectors)                                                                 \
  make(name, 7, vectors) make(name, 8, vectors) make(name, 9, vectors) make(name, 10, vectors) \
      make(name, 11, vectors) make(name, 12, vectors)
#if CVL_LANES == 16
#define UP_TO_WIDE UP_TO_12
#else
#define UP_TO_WIDE UP_TO_6
#endif

#define LYINGS(up_to, name, vectors)                                                          \
  up_to(LYING, name, vectors) static const cvl_lying name = {{up_to(BY_ROWS, name, vectors)}, \
                                                             {up_to(BY_COLUMNS, name, vectors)}}

LYINGS(UP_TO_WIDE, wide_lying, 2);
LYINGS(UP_TO_12, narrow_lying, 1);

#define WIDE TILE(wide, WIDE_ROWS, 2, 1, &wide_lying)
#if CVL_LANES == 16 /* 32 registers */
KERNELS(broad, BROAD_ROWS, 4)
KERNELS(broad_low, CVL_TILE_LOW_ROWS, 4)
LYINGS(UP_TO_6, broad_lying, 4);
#define BROAD TILE(broad, BROAD_ROWS, 4, 1, &broad_lying)
#else
#define BROAD WIDE
#endif

const cvl_tile CVL_ISA_NAME(cvl_tile)[CVL_TILES] = {
    BROAD,
    WIDE,
    TILE(narrow, NARROW_ROWS, 1, 1, &narrow_lying),
};

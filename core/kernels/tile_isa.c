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
#if CVL_LANES == 16
INLINE vec add_product_of(vec c, const float *a, vec b) {
  __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(b), "m"(*a));
  return c;
}
#define ADD_PRODUCT_OF(c, p, b) add_product_of(c, p, b)
#endif
#if CVL_LANES >= 8
#define HALF_LANES (CVL_LANES / 2)
typedef half_vec half_operand;
INLINE half_vec add_half(half_vec c, half_vec a, half_vec b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}
#define LOAD_HALF(p) load_half(p)
#define LOW(x) low_half(x)
#define ADD_HALF(c, a, b) add_half(c, a, b)
#endif
#define CHUNK_ROW CVL_CHUNK
#define SUMS __attribute__((always_inline)) inline
#define RUN(call) call
#include "kernels/tile_loops.h"

/* Of every height: what is left of few rows is much of them. */
#define LYING(name, rows, columns)                                                                 \
  static void name##_by_rows_##rows(                                                               \
      const cvl_stretch *s, int stretches, int64_t a_step, int64_t b_row, float *const *row,       \
      int64_t column, cvl_tile_mode mode, const float *first, const cvl_ahead *next) {             \
    (void)b_row;                                                                                   \
    tile((form){rows, columns, true, false, false}, s, stretches, a_step, 1, columns, row, column, \
         mode, first, next, NULL);                                                                 \
  }                                                                                                \
  static void name##_by_columns_##rows(                                                            \
      const cvl_stretch *s, int stretches, int64_t a_step, int64_t b_row, float *const *row,       \
      int64_t column, cvl_tile_mode mode, const float *first, const cvl_ahead *next) {             \
    tile((form){rows, columns, false, false, false}, s, stretches, 1, a_step, b_row, row, column,  \
         mode, first, next, NULL);                                                                 \
  }
#define BY_ROWS(name, rows, columns) [rows] = name##_by_rows_##rows,
#define BY_COLUMNS(name, rows, columns) [rows] = name##_by_columns_##rows,

#define UP_TO_6(make, name, columns)                                                          \
  make(name, 1, columns) make(name, 2, columns) make(name, 3, columns) make(name, 4, columns) \
      make(name, 5, columns) make(name, 6, columns)
#define UP_TO_8(make, name, columns) \
  UP_TO_6(make, name, columns) make(name, 7, columns) make(name, 8, columns)
#define UP_TO_12(make, name, columns) \
  UP_TO_8(make, name, columns)        \
  make(name, 9, columns) make(name, 10, columns) make(name, 11, columns) make(name, 12, columns)
#if CVL_LANES == 16
#define UP_TO_WIDE UP_TO_12
#define UP_TO_MIDDLE UP_TO_8
#else
#define UP_TO_WIDE UP_TO_6
#define UP_TO_MIDDLE UP_TO_6
#endif

#define LYINGS(up_to, name, columns)                                                          \
  up_to(LYING, name, columns) static const cvl_lying name = {{up_to(BY_ROWS, name, columns)}, \
                                                             {up_to(BY_COLUMNS, name, columns)}}

LYINGS(UP_TO_WIDE, wide_lying, 2 * LANES);
LYINGS(UP_TO_12, narrow_lying, LANES);

#define WIDE TILE(wide, WIDE_ROWS, 2 * LANES, 1, &wide_lying)
#if CVL_LANES == 16 /* 32 registers */
KERNELS(broad, BROAD_ROWS, 4 * LANES)
KERNELS(broad_low, CVL_TILE_LOW_ROWS, 4 * LANES)
LYINGS(UP_TO_6, broad_lying, 4 * LANES);
#define BROAD TILE(broad, BROAD_ROWS, 4 * LANES, 1, &broad_lying)
#else
#define BROAD WIDE
#endif

#ifdef HALF_LANES
KERNELS(middle, MIDDLE_ROWS, LANES + HALF_LANES)
KERNELS(middle_low, CVL_TILE_LOW_ROWS, LANES + HALF_LANES)
LYINGS(UP_TO_MIDDLE, middle_lying, LANES + HALF_LANES);
#define MIDDLE TILE(middle, MIDDLE_ROWS, LANES + HALF_LANES, 1, &middle_lying)
#else
#define MIDDLE WIDE
#endif

const cvl_tile CVL_ISA_NAME(cvl_tile)[CVL_TILES] = {
    BROAD,
    WIDE,
    MIDDLE,
    TILE(narrow, NARROW_ROWS, LANES, 1, &narrow_lying),
};

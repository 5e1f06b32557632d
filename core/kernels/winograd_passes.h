/*
** The passes of winograd.h for one algorithm and one kind of operands: included by *_isa.c files behind the algorithm's
** numbers, its PRODUCTS and its transforms along one axis, input_1d and so on, with AXES and its name in TABLE defined.
** Operands are floats unless vector_bf16.h is there.
*/
#include <stddef.h>

#include "kernels/winograd_planes.h"

#ifndef PACK
#define PACK 1
#define STORE store
#define STORE_FIRST store
#define STORE_SECOND NULL
#define OF_OPERANDS(name) CVL_ISA_NAME(name)
#endif

static void input(const float *const *pixel, int64_t C, float *v, int64_t plane, int64_t chunk,
                  bool past) {
  input_planes(input_1d, STORE, PACK, READS, SOURCES, pixel, C, v, plane, chunk, past);
}

static void output(const float *m, int64_t plane, int64_t columns, const cvl_epilogue *then,
                   const float *const *residual, const cvl_moments *moments, float *const *pixel,
                   bool past) {
  output_pixels(output_1d, TARGETS, WRITES, m, plane, columns, then, residual, moments, pixel,
                past);
}

static void gradient(const float *const *pixel, int64_t K, float *z, int64_t plane, int64_t panel,
                     int nr, bool past) {
  gradient_planes(gradient_1d, STORE_FIRST, WRITES, TARGETS, pixel, K, z, plane, panel, nr, past);
}

#if PACK == 2 /* sums over tiles: two of them share words */
static void input_first(const float *const *pixel, int64_t C, float *v, int64_t plane,
                        int64_t chunk, bool past) {
  input_planes(input_1d, STORE_FIRST, 1, READS, SOURCES, pixel, C, v, plane, chunk, past);
}

static void input_second(const float *const *pixel, int64_t C, float *v, int64_t plane,
                         int64_t chunk, bool past) {
  input_planes(input_1d, STORE_SECOND, 1, READS, SOURCES, pixel, C, v, plane, chunk, past);
}

static void gradient_second(const float *const *pixel, int64_t K, float *z, int64_t plane,
                            int64_t panel, int nr, bool past) {
  gradient_planes(gradient_1d, STORE_SECOND, WRITES, TARGETS, pixel, K, z, plane, panel, nr, past);
}
#else
#define input_first input
#define input_second NULL
#define gradient_second NULL
#endif

static void filter(const float *w, const int64_t tap[2], int64_t row, int64_t column, int64_t rows,
                   int64_t columns, int nr, float *u, int64_t plane, bool past) {
  filter_planes(filter_1d, STORE_FIRST, STORE_SECOND, FILTERS, w, tap, row, column, rows, columns,
                nr, u, plane, past);
}

static void filter_gradient(const float *u, int64_t plane, int64_t n, float *gw, int64_t tap) {
  filter_gradient_taps(filter_gradient_1d, FILTERS, u, plane, n, gw, tap);
}

#define FORTH(source, filter, target) {source, filter, target},
enum { COUNT = sizeof((cvl_product[]){PRODUCTS(FORTH)}) / sizeof(cvl_product) };

const cvl_winograd OF_OPERANDS(TABLE) = {.pack = PACK,
                                         .axes = AXES,
                                         .reads = READS,
                                         .step = STEP,
                                         .writes = WRITES,
                                         .taps = TAPS,
                                         .sources = SOURCES,
                                         .filters = FILTERS,
                                         .targets = TARGETS,
                                         .products = COUNT,
                                         .product = {PRODUCTS(FORTH)},
                                         .inset = INSET,
                                         .last = LAST,
                                         .input = input,
                                         .sum_input = {input_first, input_second},
                                         .output = output,
                                         .gradient = {gradient, gradient_second},
                                         .filter = filter,
                                         .filter_gradient = filter_gradient};

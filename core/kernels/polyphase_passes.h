/* 3 x 3 with stride 2, by phases (polyphase.h): included by the *_isa.c file of each kind of operands. */
#include "kernels/polyphase.h"

#define TABLE cvl_polyphase
enum { AXES = 2 };
#include "kernels/winograd_passes.h"

static void back_input(const float *const *pixel, int64_t C, float *v, int64_t plane, int64_t chunk,
                       bool past) {
  input_planes(back_input_1d, STORE, PACK, TARGETS, TARGETS, pixel, C, v, plane, chunk, past);
}

static void back_output(const float *m, int64_t plane, int64_t columns, const cvl_epilogue *then,
                        const float *const *residual, const cvl_moments *moments,
                        float *const *pixel, bool past) {
  output_pixels(back_output_1d, SOURCES, STEP, m, plane, columns, then, residual, moments, pixel,
                past);
}

/* Sources and targets have changed places. */
#define BACK(source, filter, target) {target, filter, source},
const cvl_winograd OF_OPERANDS(cvl_polyphase_back) = {.pack = PACK,
                                                      .axes = AXES,
                                                      .reads = 5,
                                                      .step = WRITES,
                                                      .writes = STEP,
                                                      .taps = TAPS,
                                                      .sources = TARGETS,
                                                      .filters = FILTERS,
                                                      .targets = SOURCES,
                                                      .products = COUNT,
                                                      .product = {PRODUCTS(BACK)},
                                                      .last = LAST,
                                                      .input = back_input,
                                                      .output = back_output,
                                                      .filter = filter};

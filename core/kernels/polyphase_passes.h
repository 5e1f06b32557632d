/* 3 x 3 with stride 2, by phases (polyphase.h): included by the *_isa.c file of each kind of operands. */
#include "kernels/polyphase.h"

#define TABLE cvl_polyphase
enum { READS = 9, PLACES = 9, WRITES = 4, STEP = 8, FILTER_PLACES = 6, SINGLE = 5, INSET = 0 };
#include "kernels/winograd_passes.h"

static void back_input(const float *const *pixel, int64_t C, float *v, int64_t plane,
                       int64_t chunk) {
  input_2d(back_input_1d, STORE, PACK, 5, PLACES, pixel, C, v, plane, chunk);
}

static void back_output(const float *m, int64_t plane, int64_t columns, const cvl_epilogue *then,
                        const float *const *residual, float *const *pixel, bool past) {
  output_2d(back_output_1d, PLACES, 8, m, plane, columns, then, residual, pixel, past);
}

const cvl_winograd OF_OPERANDS(cvl_polyphase_back) = {.pack = PACK,
                                                      .places = PLACES,
                                                      .reads = 5,
                                                      .step = 4,
                                                      .writes = 8,
                                                      .filter_places = FILTER_PLACES,
                                                      .single = SINGLE,
                                                      .input = back_input,
                                                      .output = back_output,
                                                      .filter = filter};

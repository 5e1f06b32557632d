/* 3 x 3 with stride 2, by phases: polyphase.h. */
#include "kernels/polyphase.h"
#include "kernels/winograd_2d.h"

static void input(const float *const *pixel, int64_t C, float *v, int64_t plane, int64_t chunk) {
  input_2d(input_1d, store, 1, 9, 9, pixel, C, v, plane, chunk);
}

static void output(const float *m, int64_t plane, int64_t columns, const float *bias,
                   float *const *pixel, bool past) {
  output_2d(output_1d, 9, 4, m, plane, columns, bias, pixel, past);
}

static void back_input(const float *const *pixel, int64_t C, float *v, int64_t plane,
                       int64_t chunk) {
  input_2d(back_input_1d, store, 1, 5, 9, pixel, C, v, plane, chunk);
}

static void back_output(const float *m, int64_t plane, int64_t columns, const float *bias,
                        float *const *pixel, bool past) {
  output_2d(back_output_1d, 9, 8, m, plane, columns, bias, pixel, past);
}

static void gradient(const float *const *pixel, int64_t K, float *z, int64_t plane, int64_t panel,
                     int nr) {
  gradient_2d(gradient_1d, store, 4, 9, pixel, K, z, plane, panel, nr);
}

static void filter(const float *w, int64_t tap, int64_t row, int64_t column, bool backwards,
                   int64_t rows, int64_t columns, int nr, float *u, int64_t plane) {
  filter_2d(filter_1d, store, NULL, w, tap, row, column, backwards, rows, columns, nr, u, plane);
}

static void filter_gradient(const float *u, int64_t plane, int64_t n, float *gw, int64_t tap) {
  filter_gradient_2d(filter_gradient_1d, u, plane, n, gw, tap);
}

const cvl_winograd CVL_ISA_NAME(cvl_polyphase) = {.pack = 1,
                                                  .places = 9,
                                                  .reads = 9,
                                                  .step = 8,
                                                  .writes = 4,
                                                  .single = 5,
                                                  .input = input,
                                                  .sum_input = {input},
                                                  .output = output,
                                                  .gradient = {gradient},
                                                  .filter = filter,
                                                  .filter_gradient = filter_gradient};

const cvl_winograd CVL_ISA_NAME(cvl_polyphase_back) = {.pack = 1,
                                                       .places = 9,
                                                       .reads = 5,
                                                       .step = 4,
                                                       .writes = 8,
                                                       .single = 5,
                                                       .input = back_input,
                                                       .output = back_output,
                                                       .filter = filter};

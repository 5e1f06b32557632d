#include "kernels/gemv.h"

#include "kernels/vector.h"
#include <stddef.h>

enum {
  COLUMNS = 8, /* vectors of y whose sums are held in registers, */
  DOTS = 4,    /* or rows of A */
  ROWS = 4     /* of C that are made together */
};

/* n vectors of y; n is a constant where this is called. */
INLINE void some_columns(const float *x, int64_t x_step, int64_t K, const float *b, int64_t b_row,
                         bool add, const float *first, float *y, const int n) {
  vec sum[COLUMNS];
#pragma GCC unroll 8
  for (int i = 0; i < n; i++)
    sum[i] = add ? load(y + i * LANES) : first != NULL ? load(first + i * LANES) : (vec){0};
  for (int64_t k = 0; k < K; k++, b += b_row) {
    vec v = splat(x[k * x_step]);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) sum[i] += v * load(b + i * LANES);
  }
#pragma GCC unroll 8
  for (int i = 0; i < n; i++) store(y + i * LANES, sum[i]);
}

static void last_columns(const float *x, int64_t x_step, int64_t K, const float *b, int64_t b_row,
                         int64_t n, bool add, const float *first, float *y) {
  float sum[LANES];
  for (int64_t i = 0; i < n; i++) sum[i] = add ? y[i] : first != NULL ? first[i] : 0;
  for (int64_t k = 0; k < K; k++, b += b_row)
    for (int64_t i = 0; i < n; i++) sum[i] += x[k * x_step] * b[i];
  for (int64_t i = 0; i < n; i++) y[i] = sum[i];
}

static const float *from(const float *first, int64_t i) { return first != NULL ? first + i : NULL; }

static void rows(const float *x, int64_t x_step, int64_t K, const float *b, int64_t b_row,
                 int64_t N, bool add, const float *first, float *y) {
  int64_t j = 0;
  for (; j + COLUMNS * LANES <= N; j += COLUMNS * LANES)
    some_columns(x, x_step, K, b + j, b_row, add, from(first, j), y + j, COLUMNS);
  for (; j + LANES <= N; j += LANES)
    some_columns(x, x_step, K, b + j, b_row, add, from(first, j), y + j, 1);
  if (j < N) last_columns(x, x_step, K, b + j, b_row, N - j, add, from(first, j), y + j);
}

/* Halves are added until one number is left. */
INLINE float total(vec v) {
  float s[LANES];
  store(s, v);
#pragma GCC unroll 4
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) s[i] += s[i + half];
  return s[0];
}

/* n dot products; n is a constant where this is called. */
INLINE void some_dots(const float *a, int64_t a_row, const float *x, int64_t K, bool add,
                      const float *first, float *y, const int n) {
  vec sum[DOTS] = {{0}};
  int64_t k = 0;
  for (; k + LANES <= K; k += LANES) {
    vec v = load(x + k);
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) sum[i] += load(a + i * a_row + k) * v;
  }
  for (int i = 0; i < n; i++) {
    float s = total(sum[i]);
    for (int64_t j = k; j < K; j++) s += a[i * a_row + j] * x[j];
    y[i] = (add ? y[i] : first != NULL ? first[i] : 0) + s;
  }
}

static void dots(const float *a, int64_t a_row, int64_t M, const float *x, int64_t K, bool add,
                 const float *first, float *y) {
  int64_t i = 0;
  for (; i + DOTS <= M; i += DOTS)
    some_dots(a + i * a_row, a_row, x, K, add, from(first, i), y + i, DOTS);
  for (; i < M; i++) some_dots(a + i * a_row, a_row, x, K, add, from(first, i), y + i, 1);
}

/* n rows of C; n is a constant where this is called. */
INLINE void some_rows(const float *a, int64_t a_step, const float *b, int64_t N, bool add,
                      const float *first, float *c, int64_t c_row, const int n) {
  int64_t j = 0;
  for (; j + LANES <= N; j += LANES) {
    vec v = load(b + j), start = !add && first != NULL ? load(first + j) : (vec){0};
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) {
      float *to = c + i * c_row + j;
      store(to, (add ? load(to) : start) + splat(a[i * a_step]) * v);
    }
  }
  for (; j < N; j++)
    for (int i = 0; i < n; i++) {
      float *to = c + i * c_row + j;
      *to = (add ? *to : first != NULL ? first[j] : 0) + a[i * a_step] * b[j];
    }
}

static void outer(const float *a, int64_t a_step, int64_t M, const float *b, int64_t N, bool add,
                  const float *first, float *c, int64_t c_row) {
  int64_t i = 0;
  for (; i + ROWS <= M; i += ROWS)
    some_rows(a + i * a_step, a_step, b, N, add, first, c + i * c_row, c_row, ROWS);
  for (; i < M; i++) some_rows(a + i * a_step, a_step, b, N, add, first, c + i * c_row, c_row, 1);
}

const cvl_gemv_kernels CVL_ISA_NAME(cvl_gemv) = {.rows = rows, .dots = dots, .outer = outer};

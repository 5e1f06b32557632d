#include "kernels/gemv.h"

#include <stddef.h>

#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/isa.h"
#include "kernels/sizes.h"

enum {
  PIECE = 1 << 14,    /* elements of the matrix in a chunk, about */
  STRIP = 128,        /* columns of a chunk of `rows`, at least: whole tiles of the kernels */
  LARGE = 1 << 17,    /* elements of a matrix whose rows are added up in parts */
  MOST_SUMS = 1 << 14 /* floats of sums that wait for the others */
};

static const cvl_gemv_kernels *kernels_used(void) { return CVL_OF_ISA(&cvl_gemv); }

typedef struct {
  const cvl_gemm *g;
  int64_t size; /* columns or rows of a chunk */
  float *sums;  /* {chunks, N}, where chunks are added up in the end */
} job;

static const float *from(const float *first, int64_t i) { return first != NULL ? first + i : NULL; }

/* One row of A. */
static void run_rows(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t n = chunk * j->size;
  (void)worker;
  kernels_used()->rows(g->a, g->a_col, g->K, g->b + n, g->b_row, min(j->size, g->N - n),
                       g->accumulate, from(g->bias, n), g->c + n);
}

/* One row of A: products with some rows of B. */
static void run_part(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t k = chunk * j->size;
  (void)worker;
  kernels_used()->rows(g->a + k * g->a_col, g->a_col, min(j->size, g->K - k), g->b + k * g->b_row,
                       g->b_row, g->N, false, NULL, j->sums + chunk * g->N);
}

/* One row of A, and a B that may stay in the cores' own caches: a thread takes those rows of it whose gradient it makes in
** run_outer(), and which, about, an optimizer lets it update. False where their sums would be many. */
static bool run_parts(const cvl_gemm *g) {
  _Alignas(64) float sums[MOST_SUMS];
  job j = {g, max(PIECE / g->N, 1), sums};
  int64_t parts = ceil_div(g->K, j.size);
  if (g->K * g->N < LARGE || parts * g->N > MOST_SUMS) return false;
  cvl_parallel_if(g->K * g->N >= cvl_cpu_worth(), parts, run_part, &j);
  for (int64_t n = 0; n < g->N && !g->accumulate; n++) g->c[n] = g->bias != NULL ? g->bias[n] : 0;
  for (int64_t i = 0; i < parts; i++)
    for (int64_t n = 0; n < g->N; n++) g->c[n] += sums[i * g->N + n];
  return true;
}

/* One row of A, and a B that is stored by columns. */
static void run_dots(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t n = chunk * j->size;
  (void)worker;
  kernels_used()->dots(g->b + n * g->b_col, g->b_col, min(j->size, g->N - n), g->a, g->K,
                       g->accumulate, from(g->bias, n), g->c + n);
}

static void run_outer(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_gemm *g = j->g;
  int64_t m = chunk * j->size;
  (void)worker;
  kernels_used()->outer(g->a + m * g->a_row, g->a_row, min(j->size, g->M - m), g->b, g->N,
                        g->accumulate, g->bias, g->c + m * g->c_row, g->c_row);
}

/* `n` rows or columns of `length` elements each, in chunks of a multiple of `least`. */
static void run(const cvl_gemm *g, cvl_body *body, int64_t n, int64_t length, int64_t least) {
  job j = {.g = g, .size = round_up(max(PIECE / length, 1), least)};
  cvl_parallel_if(n * length >= cvl_cpu_worth(), ceil_div(n, j.size), body, &j);
}

/* The transposed product, whose result is a row: C must be dense, and there is no bias, which is one number here. */
static bool run_column(const cvl_gemm *g) {
  cvl_gemm t = *g;
  if (g->c_row != 1 || g->bias != NULL) return false;
  t.M = 1, t.N = g->M;
  t.a = g->b, t.a_col = g->b_row;
  t.b = g->a, t.b_row = g->a_col, t.b_col = g->a_row;
  return cvl_gemv(&t);
}

bool cvl_gemv(const cvl_gemm *g) {
  if (g->bf16 || g->M == 0 || g->N == 0 || g->K == 0) return false;
  if (g->M == 1 && g->b_row == 1 && g->a_col == 1) {
    run(g, run_dots, g->N, g->K, 1);
  } else if (g->M == 1 && g->b_col == 1) {
    if (!run_parts(g)) run(g, run_rows, g->N, g->K, STRIP);
  } else if (g->K == 1 && g->b_col == 1) {
    run(g, run_outer, g->M, g->N, 1);
  } else {
    return g->N == 1 && g->M > 1 && run_column(g);
  }
  return true;
}

/*
** The gradient of a bias that was added to every row: gb[k] = the sum of column k of gy {rows, K}, each part of the rows in
** double, then the parts in their order. Within a part as many rows are taken at once as make a long loop. Included by
** kernels' files of ops only.
*/
#ifndef CVL_OPS_BIAS_ROWS_H
#define CVL_OPS_BIAS_ROWS_H

#include "base/mem.h"
#include "base/pool.h"
#include "ops/op.h"

enum { BIAS_PARTS = 32, BIAS_PART_ROWS = 256, BIAS_LONG = 64 };

typedef struct {
  const real *gy;
  double *sums; /* {parts, abreast, K} */
  int64_t rows, K, size, abreast;
} bias_columns;

static void sum_bias_part(void *context, int64_t part, int worker) {
  const bias_columns *c = context;
  int64_t first = part * c->size, left = c->rows - first;
  int64_t n = (left < c->size ? left : c->size) * c->K, width = c->abreast * c->K, i = 0;
  double *restrict s = c->sums + part * width;
  const real *restrict g = c->gy + first * c->K;
  (void)worker;
  for (; i + width <= n; i += width)
    for (int64_t k = 0; k < width; k++) s[k] += (double)g[i + k];
  for (int64_t k = 0; i + k < n; k++) s[k] += (double)g[i + k];
}

/* gy {n, K}, gb {K}. */
static int sum_bias(const real *gy, int64_t n, int64_t K, real *gb, cvl_err *e) {
  bias_columns c = {.gy = gy, .rows = n, .K = K};
  int64_t parts;
  if (c.K == 0) return 0;
  c.abreast = (BIAS_LONG - 1) / c.K + 1;
  parts = (c.rows + BIAS_PART_ROWS - 1) / BIAS_PART_ROWS;
  parts = parts > BIAS_PARTS ? BIAS_PARTS : parts;
  c.size = parts > 0 ? (c.rows + parts - 1) / parts : 1;
  parts = (c.rows + c.size - 1) / c.size;
  if ((c.sums = cvl_alloc_array((size_t)(parts * c.abreast * c.K), sizeof *c.sums)) == NULL)
    return cvl_fail_memory(e, parts * c.abreast * c.K * (int64_t)sizeof *c.sums); /* else zeroed */
  cvl_parallel(parts, sum_bias_part, &c);
  for (int64_t k = 0; k < c.K; k++) {
    double sum = 0;
    for (int64_t i = 0; i < parts * c.abreast; i++) sum += c.sums[i * c.K + k];
    gb[k] = (real)sum;
  }
  cvl_free(c.sums);
  return 0;
}

#endif

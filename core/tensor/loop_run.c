#include "base/pool.h"
#include "tensor/loop.h"

enum { GRAIN = 16384 }; /* elements that are worth another thread */

typedef struct {
  const cvl_loop *loop;
  cvl_row *row;
} job;

/* Elements first..last of the flattened loop. */
static void run(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_loop *l = j->loop;
  int64_t at[CVL_MAX_DIM], left = first;
  char *p[CVL_MAX_OPERANDS];
  int inner = l->ndim - 1;
  for (int i = 0; i < l->n; i++) p[i] = l->base[i];
  for (int d = inner; d >= 0; d--) {
    at[d] = left % l->dim[d];
    left /= l->dim[d];
    for (int i = 0; i < l->n; i++) p[i] += at[d] * l->stride[i][d];
  }
  while (first < last) {
    int64_t n = l->dim[inner] - at[inner];
    if (n > last - first) n = last - first;
    j->row(l, n, p);
    first += n;
    for (int i = 0; i < l->n; i++) p[i] -= at[inner] * l->step[i];
    at[inner] = 0;
    for (int d = inner - 1; d >= 0; d--) { /* the next row, carrying like an odometer */
      at[d]++;
      for (int i = 0; i < l->n; i++) p[i] += l->stride[i][d];
      if (at[d] < l->dim[d]) break;
      for (int i = 0; i < l->n; i++) p[i] -= at[d] * l->stride[i][d];
      at[d] = 0;
    }
  }
}

void cvl_loop_run(const cvl_loop *l, cvl_row *row) {
  job j = {l, row};
  int64_t count = 1;
  for (int d = 0; d < l->ndim; d++) count *= l->dim[d];
  cvl_parallel_range(count, GRAIN, run, &j);
}

#include "layers/initializer.h"

#include <math.h>

#include "base/mem.h"
#include "tensor/random.h"

const char *const cvl_initializers[] = {
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
    "lecun_normal",   "orthogonal",    "zeros",      "ones",      NULL};

static void write(cvl_tensor *x, int64_t i, double v) {
  if (x->dtype == CVL_F32)
    ((float *)cvl_data(x))[i] = (float)v;
  else
    ((double *)cvl_data(x))[i] = v;
}

/* v_k of q (element i at q[i * step]) loses its part along the k vectors before it and gets length 1: Gram-Schmidt, done
** twice, which is enough for orthogonality to rounding (Giraud et al. 2005). */
static void orthonormalise(double *q, int64_t vectors, int64_t length) {
  for (int64_t k = 0; k < vectors; k++) {
    double *v = q + k * length, norm = 0;
    for (int pass = 0; pass < 2; pass++)
      for (int64_t j = 0; j < k; j++) {
        const double *u = q + j * length;
        double dot = 0;
        for (int64_t i = 0; i < length; i++) dot += u[i] * v[i];
        for (int64_t i = 0; i < length; i++) v[i] -= dot * u[i];
      }
    for (int64_t i = 0; i < length; i++) norm += v[i] * v[i];
    norm = sqrt(norm);
    for (int64_t i = 0; i < length; i++) v[i] = norm > 0 ? v[i] / norm : 0;
  }
}

/* x as a matrix {rows, columns}, columns its last axis: the fewer of the two become orthonormal vectors. */
static int orthogonal(cvl_tensor *x, cvl_err *e) {
  int64_t count = cvl_count(x), columns = x->shape.ndim > 0 ? x->shape.dim[x->shape.ndim - 1] : 1;
  int64_t rows = columns > 0 ? count / columns : 0, vectors = rows < columns ? rows : columns;
  int64_t length = rows < columns ? columns : rows;
  double *q = cvl_alloc_array((size_t)count, sizeof *q);
  if (q == NULL) return cvl_fail_memory(e, count * (long long)sizeof *q);
  cvl_fill_normal(x, 0, 1);
  for (int64_t i = 0; i < count; i++) q[i] = cvl_element(x, i);
  orthonormalise(q, vectors, length);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++)
      write(x, r * columns + c, rows < columns ? q[r * length + c] : q[c * length + r]);
  cvl_free(q);
  return 0;
}

int cvl_initialize(cvl_tensor *x, cvl_initializer init, cvl_fans fans, cvl_err *e) {
  double in = fans.in > 0 ? fans.in : 1, both = fans.in + fans.out > 0 ? fans.in + fans.out : 1,
         limit;
  switch (init) {
  case CVL_INIT_GLOROT_UNIFORM:
  case CVL_INIT_HE_UNIFORM:
  case CVL_INIT_LECUN_UNIFORM:
    limit = sqrt(init == CVL_INIT_GLOROT_UNIFORM ? 6 / both
                 : init == CVL_INIT_HE_UNIFORM   ? 6 / in
                                                 : 3 / in);
    cvl_fill_uniform(x, -limit, limit);
    return 0;
  case CVL_INIT_GLOROT_NORMAL:
    cvl_fill_normal(x, 0, sqrt(2 / both));
    return 0;
  case CVL_INIT_HE_NORMAL:
    cvl_fill_normal(x, 0, sqrt(2 / in));
    return 0;
  case CVL_INIT_LECUN_NORMAL:
    cvl_fill_normal(x, 0, sqrt(1 / in));
    return 0;
  case CVL_INIT_ORTHOGONAL:
    return orthogonal(x, e);
  case CVL_INIT_ZEROS:
    return cvl_tensor_fill(x, 0, e);
  case CVL_INIT_ONES:
    return cvl_tensor_fill(x, 1, e);
  }
  return 0;
}

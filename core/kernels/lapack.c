#include "kernels/lapack.h"

#include <limits.h>
#include <math.h>

#include "base/mem.h"
#include "kernels/blas.h"

typedef void dsyev(const char *job, const char *part, const int *n, double *a, const int *lda,
                   double *w, double *work, const int *lwork, int *info, size_t, size_t);

int cvl_eigh(int64_t n, double *a, double *values, cvl_err *e) {
  dsyev *solve = (dsyev *)cvl_blas_symbol("dsyev_");
  int N = (int)n, ask = -1, info, rc = -1;
  double best, *work = NULL;
  if (solve == NULL)
    return cvl_fail(e, CVL_EDEVICE, 0, "needs LAPACK: install libopenblas0 (convlua doctor)");
  if (n == 0) return 0;
  if (n > 46340) /* n * n overflows LAPACK's int */
    return cvl_fail(e, CVL_EARG, 0, "at most 46340 rows expected, got %lld", (long long)n);
  for (int64_t i = 0; i < n; i++) /* LAPACK may not come to an end with NaN */
    for (int64_t j = 0; j <= i; j++)
      if (!isfinite(a[i * n + j]))
        return cvl_fail(e, CVL_EARG, 0, "element {%lld, %lld} is not finite", (long long)i + 1,
                        (long long)j + 1);
  /* Our rows are LAPACK's columns: the lower part is its upper one, and its columns of vectors are our rows. */
  solve("V", "U", &N, a, &N, values, &best, &ask, &info, 1, 1);
  int room = (int)best;
  if ((work = cvl_alloc_array((size_t)room, sizeof *work)) == NULL)
    return cvl_fail_memory(e, room * (long long)sizeof *work);
  solve("V", "U", &N, a, &N, values, work, &room, &info, 1, 1);
  if (info == 0)
    rc = 0;
  else
    cvl_fail(e, CVL_EARG, 0, "the eigenvalues did not converge");
  cvl_free(work);
  return rc;
}

/*
** cuBLAS, found at run time. One handle and one workspace of our own for each device and its one stream: results then have
** the same bits every time (cuBLAS, "Results Reproducibility"). Arithmetic is strict float32 unless the user allows TF32.
*/
#include "cuda/blas.h"

#if defined __has_include && __has_include(<cublas_v2.h>)

#include <cublas_v2.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda/library.h"

/* clang-format off */
#define FUNCTIONS(X)                                                            \
  X(Create_v2) X(Destroy_v2) X(GetVersion_v2) X(GetStatusString)                \
  X(SetStream_v2) X(SetWorkspace_v2) X(SetMathMode) X(GemmStridedBatchedEx)
/* clang-format on */

#define MEMBER(f) __typeof__(&cublas##f) f;
#define NAME(f) "cublas" #f,
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define SONAME "libcublas.so." TEXT(CUBLAS_VER_MAJOR)

typedef struct cvl_cuda_blas {
  struct {
    FUNCTIONS(MEMBER)
  } api;
  bool usable;
  cvl_err why; /* it is not */
  cublasHandle_t handle;
  void *workspace;
  bool tf32; /* as the handle is set */
} cvl_cuda_blas;

static const char *const names[] = {FUNCTIONS(NAME)};

static int check(const cvl_cuda_blas *b, cublasStatus_t status, const char *what, cvl_err *e) {
  if (status == CUBLAS_STATUS_SUCCESS) return 0;
  return cvl_fail(e, CVL_EDEVICE, 0, "%s: %s", what, b->api.GetStatusString(status));
}

/* NVIDIA's advice for the workspace: 32 MiB since Hopper, 4 MiB before. */
static size_t workspace_size(const cvl_cuda *d) { return (size_t)(d->major >= 9 ? 32 : 4) << 20; }

static int start(cvl_cuda *d, cvl_cuda_blas *b) {
  cvl_err *e = &b->why;
  if (cvl_library_load(SONAME, "CONVLUA_CUBLAS", sizeof names / sizeof names[0], names, &b->api,
                       e) != 0)
    return -1;
  if (check(b, b->api.Create_v2(&b->handle), "cublasCreate", e) != 0) return -1;
  if (check(b, b->api.SetStream_v2(b->handle, d->stream), "cublasSetStream", e) != 0) goto fail;
  if ((b->workspace = d->base.alloc(&d->base, workspace_size(d))) == NULL) {
    cvl_fail(e, CVL_ENOMEM, 0, "no memory for its workspace");
    goto fail;
  }
  /* After the stream, whose setting takes the workspace away. */
  if (check(b, b->api.SetWorkspace_v2(b->handle, b->workspace, workspace_size(d)),
            "cublasSetWorkspace", e) != 0)
    goto fail;
  if (check(b, b->api.SetMathMode(b->handle, CUBLAS_DEFAULT_MATH), "cublasSetMathMode", e) != 0)
    goto fail;
  b->usable = true;
  return 0;
fail:
  if (b->workspace != NULL) d->base.free(&d->base, b->workspace, workspace_size(d));
  b->api.Destroy_v2(b->handle);
  return -1;
}

/* The device's cuBLAS, started at the first call; NULL when there is no memory for it. */
static cvl_cuda_blas *blas_of(cvl_cuda *d) {
  if (d->blas == NULL && (d->blas = calloc(1, sizeof *d->blas)) != NULL && start(d, d->blas) != 0)
    fprintf(
        stderr,
        "convlua: %s: without cuBLAS, matrix products run on a kernel of convlua's own, which is "
        "slower (%s)\n",
        d->base.name, d->blas->why.msg);
  return d->blas;
}

/* ------------------------------------------------------------------------------------------------------- row-major to it */

/* A rows x columns operand as BLAS takes it: memory runs along its columns' index, or, transposed, along its rows'. */
typedef struct {
  cublasOperation_t op;
  int lead;
} form;

static bool form_of(int64_t rows, int64_t columns, int64_t row, int64_t col, form *f) {
  if (rows == 1)
    row = col == 1 ? columns : 1; /* the step along an axis of one element is anybody's */
  if (columns == 1) col = row == 1 ? rows : 1;
  if (col == 1 && row >= columns && row <= INT32_MAX) {
    *f = (form){CUBLAS_OP_N, (int)row};
    return true;
  }
  if (row == 1 && col >= rows && col <= INT32_MAX) {
    *f = (form){CUBLAS_OP_T, (int)col};
    return true;
  }
  return false;
}

/* y = a b row by row is y' = b' a' column by column. */
static int one_call(cvl_cuda_blas *b, cvl_dtype type, const cvl_cuda_product *p, form fa, form fb,
                    const char *a_data, const char *b_data, char *y, int64_t a_step, int64_t b_step,
                    int64_t batches, cvl_err *e) {
  const bool wide = type == CVL_F64;
  const cudaDataType_t t = wide               ? CUDA_R_64F
                           : type == CVL_BF16 ? CUDA_R_16BF
                           : type == CVL_F16  ? CUDA_R_16F
                                              : CUDA_R_32F;
  const float one = 1, zero = 0;
  const double one_wide = 1, zero_wide = 0;
  return check(b,
               b->api.GemmStridedBatchedEx(
                   b->handle, fb.op, fa.op, (int)p->N, (int)p->M, (int)p->K,
                   wide ? (const void *)&one_wide : &one, b_data, t, fb.lead, b_step, a_data, t,
                   fa.lead, a_step, wide ? (const void *)&zero_wide : &zero, y,
                   wide ? CUDA_R_64F : CUDA_R_32F, (int)p->N, p->M * p->N, (int)batches,
                   wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
               "cublasGemmStridedBatchedEx", e);
}

int cvl_cuda_blas_product(cvl_cuda *d, cvl_dtype type, const cvl_cuda_product *p, cvl_err *e) {
  cvl_cuda_blas *b = blas_of(d);
  const int64_t size = (int64_t)cvl_dtype_size(type),
                y_size = (int64_t)(type == CVL_F64 ? sizeof(double) : sizeof(float));
  const int last = p->batch.ndim - 1;
  const int64_t inner = last >= 0 ? p->batch.dim[last] : 1;
  int64_t outer = 1;
  form fa, fb;
  if (b == NULL || !b->usable) return 1;
  if (p->M > INT32_MAX || p->N > INT32_MAX || p->K > INT32_MAX || inner > INT32_MAX || p->K == 0)
    return 1;
  if (!form_of(p->M, p->K, p->a.row, p->a.col, &fa) ||
      !form_of(p->K, p->N, p->b.row, p->b.col, &fb))
    return 1;
  if (b->tf32 != d->tf32) {
    if (check(b,
              b->api.SetMathMode(b->handle,
                                 d->tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH),
              "cublasSetMathMode", e) != 0)
      return -1;
    b->tf32 = d->tf32;
  }
  for (int i = 0; i < last; i++) outer *= p->batch.dim[i];
  for (int64_t which = 0; which < outer; which++) { /* the last leading axis goes in one call */
    int64_t left = which, at_a = 0, at_b = 0;
    for (int i = last - 1; i >= 0; i--) {
      at_a += left % p->batch.dim[i] * p->a.batch[i];
      at_b += left % p->batch.dim[i] * p->b.batch[i];
      left /= p->batch.dim[i];
    }
    if (one_call(b, type, p, fa, fb, (const char *)p->a.data + at_a * size,
                 (const char *)p->b.data + at_b * size,
                 (char *)p->y + which * inner * p->M * p->N * y_size,
                 last >= 0 ? p->a.batch[last] : 0, last >= 0 ? p->b.batch[last] : 0, inner, e) != 0)
      return -1;
  }
  return 0;
}

int cvl_cuda_blas_version(cvl_cuda *d, cvl_err *e) {
  cvl_cuda_blas *b = blas_of(d);
  int version = 0;
  if (b != NULL && b->usable && b->api.GetVersion_v2(b->handle, &version) == CUBLAS_STATUS_SUCCESS)
    return version;
  return cvl_fail(e, CVL_EDEVICE, 0, "%s", b != NULL ? b->why.msg : "out of memory"), 0;
}

#else /* built without cuBLAS's headers */

int cvl_cuda_blas_product(cvl_cuda *d, cvl_dtype type, const cvl_cuda_product *p, cvl_err *e) {
  (void)d, (void)type, (void)p, (void)e;
  return 1;
}

int cvl_cuda_blas_version(cvl_cuda *d, cvl_err *e) {
  (void)d;
  return cvl_fail(e, CVL_EDEVICE, 0, "the plugin was built without cuBLAS's headers"), 0;
}

#endif

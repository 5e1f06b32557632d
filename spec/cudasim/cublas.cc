/*
** The fake libcublas: matrix products, column-major as BLAS has them, with every operand's whole extent
** checked. The sums are made in double precision.
*/
#include <cublas_v2.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "element.h"
#include "sim.h"

using namespace cudasim;

struct cublasContext {
  int device = current_device();
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
  void *workspace =
      nullptr; /* the caller's; without one cuBLAS allocates, which a capture forbids */
  size_t workspace_bytes = 0;
};

namespace {

/* Columns of `rows` elements, `ld` apart; `batch` such matrices `stride` apart, or one per pointer. */
struct Matrix {
  const void *p;
  const void *const *pointers; /* device array of `batch` pointers; NULL: p + i * stride */
  cudaDataType_t type;
  int rows, columns, ld;
  long long stride;

  size_t bytes() const {
    if (rows == 0 || columns == 0) return 0;
    return (size_t(columns - 1) * size_t(ld) + size_t(rows)) * element_bytes(type);
  }
};

struct Product {
  cublasOperation_t op_a, op_b;
  int m, n, k, batch;
  Matrix a, b, c;
  const void *alpha, *beta;
  bool device_scalars, tf32;
  cudaDataType_t scalar;
  double alpha_value = 0, beta_value = 0; /* when they are the host's */
};

Matrix matrix(const void *p, cudaDataType_t type, int rows, int columns, int ld, long long stride,
              bool transposed = false) {
  if (transposed) std::swap(rows, columns);
  return {p, nullptr, type, rows, columns, ld, stride};
}

/* op(M) as dense columns of doubles, op(M) having the transposed shape when op is not N. */
std::vector<double> load(const Matrix &m, const void *bytes, bool transposed, bool tf32) {
  std::vector<double> out(size_t(m.rows) * size_t(m.columns));
  for (int j = 0; j < m.columns; j++)
    for (int i = 0; i < m.rows; i++) {
      double v = load_element(bytes, size_t(j) * size_t(m.ld) + size_t(i), m.type);
      if (tf32) v = round_to_tf32(v);
      out[transposed ? size_t(i) * size_t(m.columns) + size_t(j)
                     : size_t(j) * size_t(m.rows) + size_t(i)] = v;
    }
  return out;
}

/* The device address of matrix number i. */
const void *address(const Matrix &m, int i, const char *what) {
  if (m.pointers == nullptr)
    return static_cast<const char *>(m.p) + m.stride * i * (long long)element_bytes(m.type);
  void *p = device_bytes(m.pointers + i, sizeof(void *), Access::read, what);
  return p != nullptr ? *static_cast<void **>(p) : nullptr;
}

void *operand(const Matrix &m, int i, Access access, const char *what) {
  const void *p = address(m, i, what);
  if (uintptr_t(p) % element_bytes(m.type) != 0) {
    violation("%s: %p is not aligned to its elements of %zu bytes", what, p, element_bytes(m.type));
    return nullptr;
  }
  return device_bytes(p, m.bytes(), access, what);
}

double scalar_value(const void *p, cudaDataType_t type) { return load_element(p, 0, type); }

/* C = alpha op(A) op(B) + beta C, for one matrix of the batch. With beta = 0 C is not read. */
void multiply(const Product &g, int index, double alpha, double beta) {
  void *c = operand(g.c, index, Access::write, "cublas C");
  if (c == nullptr) return;
  std::vector<double> a, b, column(size_t(g.m));
  if (g.k > 0 && alpha != 0) {
    void *a_bytes = operand(g.a, index, Access::read, "cublas A");
    void *b_bytes = operand(g.b, index, Access::read, "cublas B");
    if (a_bytes == nullptr || b_bytes == nullptr) return;
    a = load(g.a, a_bytes, g.op_a != CUBLAS_OP_N, g.tf32);
    b = load(g.b, b_bytes, g.op_b != CUBLAS_OP_N, g.tf32);
  }
  for (int j = 0; j < g.n; j++) {
    std::fill(column.begin(), column.end(), 0.0);
    for (int p = 0; p < (a.empty() ? 0 : g.k); p++) {
      double factor = b[size_t(j) * size_t(g.k) + size_t(p)];
      const double *from = &a[size_t(p) * size_t(g.m)];
      for (int i = 0; i < g.m; i++) column[size_t(i)] += from[i] * factor;
    }
    for (int i = 0; i < g.m; i++) {
      size_t at = size_t(j) * size_t(g.c.ld) + size_t(i);
      double old = beta != 0 ? beta * load_element(c, at, g.c.type) : 0;
      store_element(c, at, g.c.type, alpha * column[size_t(i)] + old);
    }
  }
}

/* Somebody else's bytes must not survive in the workspace; so much of it is written as is quick. */
void use_workspace(void *p, size_t bytes) {
  constexpr size_t kEnough = 64 << 10;
  if (bytes == 0) return;
  size_t used = std::min(bytes, kEnough);
  char *w = static_cast<char *>(device_bytes(p, used, Access::write, "cublas workspace"));
  char *last = static_cast<char *>(p) + bytes - 1;
  if (w != nullptr && device_bytes(last, 1, Access::read, "cublas workspace, its end") != nullptr)
    memset(w, 0xAB, used);
}

void run(const Product &g, void *workspace, size_t workspace_bytes) {
  double alpha = g.alpha_value, beta = g.beta_value;
  if (g.device_scalars) {
    size_t bytes = element_bytes(g.scalar);
    const void *a = device_bytes(g.alpha, bytes, Access::read, "cublas alpha");
    const void *b = device_bytes(g.beta, bytes, Access::read, "cublas beta");
    if (a == nullptr || b == nullptr) return;
    alpha = scalar_value(a, g.scalar);
    beta = scalar_value(b, g.scalar);
  }
  use_workspace(workspace, workspace_bytes);
  for (int i = 0; i < g.batch; i++) multiply(g, i, alpha, beta);
}

bool overlap(const void *p, size_t n, const void *q, size_t m) {
  return uintptr_t(p) < uintptr_t(q) + m && uintptr_t(q) < uintptr_t(p) + n;
}

/* Rules that cuBLAS does not check, and that give wrong numbers when broken. */
bool breaks_rule(const cublasContext *h, const Product &g, const char *call) {
  if (!g.device_scalars && (is_device_pointer(g.alpha) || is_device_pointer(g.beta)))
    violation("%s: alpha or beta is a device pointer in host pointer mode", call);
  else if (g.device_scalars && !(is_device_pointer(g.alpha) && is_device_pointer(g.beta)))
    violation("%s: alpha or beta is a host pointer in device pointer mode", call);
  else if (g.c.pointers == nullptr && g.batch > 1 &&
           size_t(g.c.stride) * element_bytes(g.c.type) < g.c.bytes())
    violation("%s: the matrices C of the batch overlap: stride %lld", call, g.c.stride);
  else if (g.c.pointers == nullptr && g.k > 0 &&
           (overlap(g.c.p, g.c.bytes(), g.a.p, g.a.bytes()) ||
            overlap(g.c.p, g.c.bytes(), g.b.p, g.b.bytes())))
    violation("%s: C overlaps A or B", call);
  else if (is_capturing(h->stream) && h->workspace_bytes == 0)
    violation("%s: captured without a workspace; cublasSetStream takes the old one away", call);
  else
    return false;
  return true;
}

bool too_small(const Matrix &m) { return m.ld < std::max(1, m.rows); }

cublasStatus_t product(cublasHandle_t h, Product g, const char *call) {
  if (h == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (too_small(g.a) || too_small(g.b) || too_small(g.c)) return CUBLAS_STATUS_INVALID_VALUE;
  if (element_bytes(g.a.type) == 0 || element_bytes(g.b.type) == 0 || element_bytes(g.c.type) == 0)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (g.m == 0 || g.n == 0 || g.batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (g.alpha == nullptr || g.beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  g.device_scalars = h->pointers == CUBLAS_POINTER_MODE_DEVICE;
  if (breaks_rule(h, g, call)) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!g.device_scalars) {
    g.alpha_value = scalar_value(g.alpha, g.scalar);
    g.beta_value = scalar_value(g.beta, g.scalar);
  }
  void *workspace = h->workspace;
  size_t bytes = h->workspace_bytes;
  cudaError_t e = enqueue(h->stream, call, [=] { run(g, workspace, bytes); });
  return e == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

/* Which types go with which kind of sum: table "cublasGemmEx" of the cuBLAS documentation, as far as
** it is simulated. */
bool supported(cublasComputeType_t compute, cudaDataType_t a, cudaDataType_t b, cudaDataType_t c) {
  if (compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC)
    return a == CUDA_R_64F && b == a && c == a;
  if (a != b || (c != a && c != CUDA_R_32F)) return false;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return a == CUDA_R_32F;
  if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC) return false;
  return a == CUDA_R_32F || a == CUDA_R_16F || a == CUDA_R_16BF;
}

bool rounds_to_tf32(const cublasContext *h, cublasComputeType_t compute, cudaDataType_t a) {
  if (a != CUDA_R_32F || architecture() < 80) return false;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return true;
  return compute == CUBLAS_COMPUTE_32F && (h->math & 0xf) == CUBLAS_TF32_TENSOR_OP_MATH;
}

} // namespace

/* The first lines of every call. */
#define CUBLAS_CALL(wanted)              \
  Call call(__func__, cudaErrorUnknown); \
  if (call.error != cudaSuccess)         \
  return sticky_error() != cudaSuccess ? CUBLAS_STATUS_EXECUTION_FAILED : (wanted)

#define CUBLAS_HANDLE(h) \
  if ((h) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED

CUDASIM_EXPORT cublasStatus_t cublasCreate_v2(cublasHandle_t *out) {
  CUBLAS_CALL(CUBLAS_STATUS_NOT_INITIALIZED);
  if (refuse_in_capture(__func__) != cudaSuccess) return CUBLAS_STATUS_ALLOC_FAILED;
  *out = new cublasContext;
  born(Kind::cublas, *out, 0);
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
  CUBLAS_CALL(CUBLAS_STATUS_INTERNAL_ERROR);
  CUBLAS_HANDLE(h);
  died(Kind::cublas, h);
  delete h;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

/* "Also unconditionally resets the workspace": the documentation of cublasSetStream. */
CUDASIM_EXPORT cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t stream) {
  CUBLAS_CALL(CUBLAS_STATUS_INTERNAL_ERROR);
  CUBLAS_HANDLE(h);
  if (unknown_stream(stream)) return CUBLAS_STATUS_INVALID_VALUE;
  h->stream = stream;
  h->workspace = nullptr;
  h->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *p, size_t bytes) {
  CUBLAS_CALL(CUBLAS_STATUS_INTERNAL_ERROR);
  CUBLAS_HANDLE(h);
  if (uintptr_t(p) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  h->workspace = p;
  h->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode) {
  CUBLAS_CALL(CUBLAS_STATUS_INTERNAL_ERROR);
  CUBLAS_HANDLE(h);
  h->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasGetMathMode(cublasHandle_t h, cublasMath_t *mode) {
  CUBLAS_HANDLE(h);
  *mode = h->math;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t mode) {
  CUBLAS_CALL(CUBLAS_STATUS_INTERNAL_ERROR);
  CUBLAS_HANDLE(h);
  h->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_EXPORT const char *cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_SUCCESS:
    return "the operation completed successfully";
  case CUBLAS_STATUS_NOT_INITIALIZED:
    return "the library was not initialized";
  case CUBLAS_STATUS_ALLOC_FAILED:
    return "the resource allocation failed";
  case CUBLAS_STATUS_INVALID_VALUE:
    return "an invalid value was passed";
  case CUBLAS_STATUS_NOT_SUPPORTED:
    return "the functionality is not supported";
  case CUBLAS_STATUS_EXECUTION_FAILED:
    return "the function failed to launch on the GPU";
  default:
    return "an internal operation failed";
  }
}

CUDASIM_EXPORT const char *cublasGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_ERROR";
}

CUDASIM_EXPORT cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t h, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
    const void *alpha, const void *a, cudaDataType_t a_type, int lda, long long stride_a,
    const void *b, cudaDataType_t b_type, int ldb, long long stride_b, const void *beta, void *c,
    cudaDataType_t c_type, int ldc, long long stride_c, int batch, cublasComputeType_t compute,
    cublasGemmAlgo_t) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  CUBLAS_HANDLE(h);
  if (!supported(compute, a_type, b_type, c_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Product g = {};
  g.op_a = op_a, g.op_b = op_b;
  g.m = m, g.n = n, g.k = k, g.batch = batch;
  g.a = matrix(a, a_type, m, k, lda, stride_a, op_a != CUBLAS_OP_N);
  g.b = matrix(b, b_type, k, n, ldb, stride_b, op_b != CUBLAS_OP_N);
  g.c = matrix(c, c_type, m, n, ldc, stride_c);
  g.alpha = alpha, g.beta = beta;
  g.scalar = a_type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  g.tf32 = rounds_to_tf32(h, compute, a_type);
  return product(h, g, __func__);
}

CUDASIM_EXPORT cublasStatus_t cublasGemmBatchedEx(
    cublasHandle_t h, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
    const void *alpha, const void *const a[], cudaDataType_t a_type, int lda, const void *const b[],
    cudaDataType_t b_type, int ldb, const void *beta, void *const c[], cudaDataType_t c_type,
    int ldc, int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  CUBLAS_HANDLE(h);
  if (!supported(compute, a_type, b_type, c_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Product g = {};
  g.op_a = op_a, g.op_b = op_b;
  g.m = m, g.n = n, g.k = k, g.batch = batch;
  g.a = matrix(nullptr, a_type, m, k, lda, 0, op_a != CUBLAS_OP_N);
  g.b = matrix(nullptr, b_type, k, n, ldb, 0, op_b != CUBLAS_OP_N);
  g.c = matrix(nullptr, c_type, m, n, ldc, 0);
  g.a.pointers = a, g.b.pointers = b, g.c.pointers = const_cast<const void *const *>(c);
  g.alpha = alpha, g.beta = beta;
  g.scalar = a_type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  g.tf32 = rounds_to_tf32(h, compute, a_type);
  return product(h, g, __func__);
}

CUDASIM_EXPORT cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t op_a,
                                           cublasOperation_t op_b, int m, int n, int k,
                                           const void *alpha, const void *a, cudaDataType_t a_type,
                                           int lda, const void *b, cudaDataType_t b_type, int ldb,
                                           const void *beta, void *c, cudaDataType_t c_type,
                                           int ldc, cublasComputeType_t compute,
                                           cublasGemmAlgo_t algorithm) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return cublasGemmStridedBatchedEx(h, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type,
                                    ldb, 0, beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

CUDASIM_EXPORT cublasStatus_t cublasSgemmStridedBatched(
    cublasHandle_t h, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
    const float *alpha, const float *a, int lda, long long stride_a, const float *b, int ldb,
    long long stride_b, const float *beta, float *c, int ldc, long long stride_c, int batch) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return cublasGemmStridedBatchedEx(h, op_a, op_b, m, n, k, alpha, a, CUDA_R_32F, lda, stride_a, b,
                                    CUDA_R_32F, ldb, stride_b, beta, c, CUDA_R_32F, ldc, stride_c,
                                    batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

CUDASIM_EXPORT cublasStatus_t cublasDgemmStridedBatched(
    cublasHandle_t h, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
    const double *alpha, const double *a, int lda, long long stride_a, const double *b, int ldb,
    long long stride_b, const double *beta, double *c, int ldc, long long stride_c, int batch) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return cublasGemmStridedBatchedEx(h, op_a, op_b, m, n, k, alpha, a, CUDA_R_64F, lda, stride_a, b,
                                    CUDA_R_64F, ldb, stride_b, beta, c, CUDA_R_64F, ldc, stride_c,
                                    batch, CUBLAS_COMPUTE_64F, CUBLAS_GEMM_DEFAULT);
}

CUDASIM_EXPORT cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t op_a,
                                             cublasOperation_t op_b, int m, int n, int k,
                                             const float *alpha, const float *a, int lda,
                                             const float *b, int ldb, const float *beta, float *c,
                                             int ldc) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return cublasSgemmStridedBatched(h, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c,
                                   ldc, 0, 1);
}

CUDASIM_EXPORT cublasStatus_t cublasDgemm_v2(cublasHandle_t h, cublasOperation_t op_a,
                                             cublasOperation_t op_b, int m, int n, int k,
                                             const double *alpha, const double *a, int lda,
                                             const double *b, int ldb, const double *beta,
                                             double *c, int ldc) {
  CUBLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return cublasDgemmStridedBatched(h, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c,
                                   ldc, 0, 1);
}

/* The fake cuBLAS against plain loops, and its rules. */
#include "test.h"

#include <cmath>

namespace {

cublasHandle_t handle(cudaStream_t s) {
  cublasHandle_t h;
  BLAS(cublasCreate_v2(&h));
  BLAS(cublasSetStream_v2(h, s));
  return h;
}

/* Small integers, so that every order of summing gives the same. */
std::vector<float> integers(size_t n, int seed) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; i++) v[i] = float((int(i) * 7 + seed) % 11 - 5);
  return v;
}

void products() {
  const int m = 5, n = 7, k = 3, lda = 9, ldb = 8, ldc = 6, batch = 2;
  const long long sa = 90, sb = 80, sc = 60;
  cudaStream_t s = new_stream();
  cublasHandle_t h = handle(s);
  auto a = integers(180, 1), b = integers(160, 2), c = integers(120, 3);
  float *da = upload(a), *db = upload(b), alpha = 2, beta = -1;
  CUDA(cudaDeviceSynchronize());
  for (int ta = 0; ta < 2; ta++)
    for (int tb = 0; tb < 2; tb++) {
      float *dc = upload(c);
      CUDA(cudaDeviceSynchronize());
      BLAS(cublasSgemmStridedBatched(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N,
                                     tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, da, lda, sa,
                                     db, ldb, sb, &beta, dc, ldc, sc, batch));
      CUDA(cudaStreamSynchronize(s));
      auto wanted = c;
      for (int q = 0; q < batch; q++)
        for (int j = 0; j < n; j++)
          for (int i = 0; i < m; i++) {
            float sum = 0;
            for (int p = 0; p < k; p++)
              sum += a[size_t(q * sa + (ta ? i * lda + p : p * lda + i))] *
                     b[size_t(q * sb + (tb ? p * ldb + j : j * ldb + p))];
            float &out = wanted[size_t(q * sc + j * ldc + i)];
            out = alpha * sum + beta * out;
          }
      CHECK(download(dc, 120) == wanted);
    }
}

void empty_products() {
  cudaStream_t s = new_stream();
  cublasHandle_t h = handle(s);
  float one = 1, zero = 0, *c = upload<float>({3, 4});
  CUDA(cudaDeviceSynchronize());
  BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 0, &one, nullptr, 2, nullptr, 1, &zero, c,
                      2));
  CUDA(cudaStreamSynchronize(s));
  CHECK((download(c, 2) == std::vector<float>{0, 0}));
  BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 0, 5, 3, &one, c, 1, c, 3, &zero, nullptr, 1));
}

void doubles() {
  cudaStream_t s = new_stream();
  cublasHandle_t h = handle(s);
  double one = 1, zero = 0, *a = upload<double>({1e-17, 1}), *b = upload<double>({1, 1}),
         *c = upload<double>({0});
  CUDA(cudaDeviceSynchronize());
  BLAS(cublasDgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &one, a, 1, b, 2, &zero, c, 1));
  CUDA(cudaStreamSynchronize(s));
  CHECK(download(c, 1)[0] == 1 + 1e-17);
}

float product_of(float x, float y, cublasMath_t mode) {
  cudaStream_t s = new_stream();
  cublasHandle_t h = handle(s);
  BLAS(cublasSetMathMode(h, mode));
  float one = 1, zero = 0, *a = upload<float>({x}), *b = upload<float>({y}),
        *c = upload<float>({0});
  CUDA(cudaDeviceSynchronize());
  BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, b, 1, &zero, c, 1));
  CUDA(cudaStreamSynchronize(s));
  return download(c, 1)[0];
}

void tf32_on_request_only() {
  float x = 1 + 0x1p-12f;
  CHECK(product_of(x, 1, CUBLAS_DEFAULT_MATH) == x);
  CHECK(product_of(x, 1, CUBLAS_TF32_TENSOR_OP_MATH) == 1);
}

void no_tf32_on_turing() {
  float x = 1 + 0x1p-12f;
  CHECK(product_of(x, 1, CUBLAS_TF32_TENSOR_OP_MATH) == x);
}

void sgemm(int m, int n, int k, int lda, int ldb, int ldc, size_t a_size, size_t b_size,
           size_t c_size) {
  cudaStream_t s = new_stream();
  cublasHandle_t h = handle(s);
  float one = 1, zero = 0;
  auto *a = upload(integers(a_size, 1)), *b = upload(integers(b_size, 1)),
       *c = upload(integers(c_size, 1));
  CUDA(cudaDeviceSynchronize());
  BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a, lda, b, ldb, &zero, c, ldc));
  CUDA(cudaStreamSynchronize(s));
}

void just_large_enough() { sgemm(3, 4, 2, 5, 6, 7, 5 + 3, 18 + 2, 21 + 3); }
void a_too_short() { sgemm(3, 4, 2, 5, 6, 7, 5 + 2, 18 + 2, 21 + 3); }
void b_too_short() { sgemm(3, 4, 2, 5, 6, 7, 5 + 3, 18 + 1, 21 + 3); }
void c_too_short() { sgemm(3, 4, 2, 5, 6, 7, 5 + 3, 18 + 2, 21 + 2); }

/* Row-major thinking: the leading dimension is the number of columns. */
void wrong_ld() {
  cublasHandle_t h = handle(new_stream());
  float one = 1, zero = 0, *a = upload(integers(100, 1));
  BLAS_IS(CUBLAS_STATUS_INVALID_VALUE,
          cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 5, 2, 3, &one, a, 3, a, 3, &zero, a, 5));
}

void device_scalar_in_host_mode() {
  cublasHandle_t h = handle(new_stream());
  float one = 1, *a = upload(integers(100, 1)), *c = upload(integers(100, 1));
  cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, a, a, 2, a, 2, &one, c, 2);
}

void in_place() {
  cublasHandle_t h = handle(new_stream());
  float one = 1, zero = 0, *a = upload(integers(100, 1));
  cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a + 50, 2, &zero, a + 2, 2);
}

/* Captured with the workspace that SetStream has taken away, or with it. */
void capture(bool set_again) {
  cudaStream_t s = new_stream();
  cudaGraph_t g;
  cublasHandle_t h = handle(s);
  void *workspace = device_block(1 << 20);
  float one = 1, zero = 0, *a = upload(integers(100, 1)), *c = upload(integers(100, 1));
  CUDA(cudaDeviceSynchronize());
  BLAS(cublasSetWorkspace_v2(h, workspace, 1 << 20));
  BLAS(cublasSetStream_v2(h, s));
  if (set_again) BLAS(cublasSetWorkspace_v2(h, workspace, 1 << 20));
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &zero, c, 2));
  CUDA(cudaStreamEndCapture(s, &g));
}

void capture_with_workspace() { capture(true); }
void capture_without_workspace() { capture(false); }

/* Two handles, two streams, one workspace. */
void shared_workspace() {
  void *workspace = device_block(1 << 20);
  float one = 1, zero = 0, *a = upload(integers(100, 1));
  CUDA(cudaDeviceSynchronize());
  for (int i = 0; i < 2; i++) {
    cublasHandle_t h = handle(new_stream());
    auto *c = static_cast<float *>(device_block(400));
    BLAS(cublasSetWorkspace_v2(h, workspace, 1 << 20));
    BLAS(cublasSgemm_v2(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &zero, c, 2));
  }
  CUDA(cudaDeviceSynchronize());
}

const char *const kExtent = "do not lie in one live allocation";

const Cases all({
    {"products", products, nullptr, nullptr},
    {"empty products", empty_products, nullptr, nullptr},
    {"doubles", doubles, nullptr, nullptr},
    {"TF32 on request only", tf32_on_request_only, nullptr, nullptr},
    {"no TF32 on Turing", no_tf32_on_turing, nullptr, "CVSIM_ARCH=75"},
    {"just large enough", just_large_enough, nullptr, nullptr},
    {"A too short", a_too_short, kExtent, nullptr},
    {"B too short", b_too_short, kExtent, nullptr},
    {"C too short", c_too_short, kExtent, nullptr},
    {"wrong ld", wrong_ld, nullptr, nullptr},
    {"device scalar in host mode", device_scalar_in_host_mode, "host pointer mode", nullptr},
    {"product in place", in_place, "C overlaps A or B", nullptr},
    {"capture with workspace", capture_with_workspace, nullptr, nullptr},
    {"capture without workspace", capture_without_workspace, "without a workspace", nullptr},
    {"shared workspace", shared_workspace, "stream order:", nullptr},
});

} // namespace

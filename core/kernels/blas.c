/*
** Two habits of OpenBLAS 0.3.21 are guarded against. Its results change with its number of threads: it always gets one,
** and products are cut into chunks here. And where memory is short it asks for its buffers for ever (OpenBLAS issue
** 5289, fixed in 0.3.30): there must be room for one per thread before the first call, and they are taken at once.
*/
#include "kernels/blas.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pool.h"
#include "kernels/sizes.h"

enum {
  SMALL = 32 * 32 * 32, /* multiply-adds below which a call costs more than the loops */
  CHUNK_M = 256,        /* rows of a chunk at most, */
  LEAST_M = 64,         /* and at least; */
  CHUNKS_M = 4,         /* chunks of them, between these */
  CHUNK_N = 512,
  ROW_MAJOR = 101, /* of cblas.h */
  AS_IT_IS = 111,
  TRANSPOSED = 112
};

static const size_t buffer_bytes = (size_t)129
                                   << 20; /* of address space, for each thread inside OpenBLAS */

typedef void dgemm(int order, int a_form, int b_form, int m, int n, int k, double alpha,
                   const double *a, int lda, const double *b, int ldb, double beta, double *c,
                   int ldc);

static struct {
  void *handle; /* of dlopen */
  dgemm *dgemm;
  bool concurrent;    /* every thread of the pool has its buffer */
  const char *reason; /* why there is none */
} blas;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool room_for(size_t bytes) {
  void *p =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  munmap(p, bytes);
  return true;
}

/* Lets OpenBLAS make the buffers of `n` threads: it keeps what it has once made. */
static bool make_buffers(int n) {
  void *(*take)(int) = (void *(*)(int))dlsym(blas.handle, "blas_memory_alloc");
  void (*give)(void *) = (void (*)(void *))dlsym(blas.handle, "blas_memory_free");
  void *buffer[CVL_MAX_THREADS];
  if (take == NULL || give == NULL) return false;
  for (int i = 0; i < n; i++) buffer[i] = take(0);
  for (int i = 0; i < n; i++) give(buffer[i]);
  return true;
}

/* Without access to the buffers: a product large enough to need one. */
static void warm_up(void) {
  enum { N = 200 };
  static double a[N * N], c[N * N];
  blas.dgemm(ROW_MAJOR, AS_IT_IS, AS_IT_IS, N, N, N, 1, a, N, a, N, 0, c, N);
}

static void load(void) {
  int threads = cvl_threads();
  void (*set_threads)(int);
  if (!room_for(buffer_bytes * (size_t)(threads + 1))) {
    blas.reason = "too little address space for OpenBLAS";
    return;
  }
  if ((blas.handle = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL)) == NULL) {
    blas.reason = "no libopenblas.so.0";
    return;
  }
  set_threads = (void (*)(int))dlsym(blas.handle, "openblas_set_num_threads");
  blas.dgemm = (dgemm *)dlsym(blas.handle, "cblas_dgemm");
  if (set_threads == NULL || blas.dgemm == NULL) {
    blas.reason = "libopenblas.so.0 lacks openblas_set_num_threads or cblas_dgemm";
    blas.dgemm = NULL;
    return;
  }
  set_threads(1);
  blas.concurrent = make_buffers(threads);
  if (!blas.concurrent) warm_up();
}

void cvl_blas_description(char *text, size_t size) {
  const char *(*config)(void), *(*core)(void);
  pthread_once(&once, load);
  if (blas.dgemm == NULL) {
    snprintf(text, size, "none (%s); plain loops", blas.reason);
    return;
  }
  config = (const char *(*)(void))dlsym(blas.handle, "openblas_get_config");
  core = (const char *(*)(void))dlsym(blas.handle, "openblas_get_corename");
  snprintf(text, size, "%s, core %s, one thread per call", config != NULL ? config() : "OpenBLAS",
           core != NULL ? core() : "unknown");
}

void *cvl_blas_symbol(const char *name) {
  pthread_once(&once, load);
  return blas.dgemm != NULL ? dlsym(blas.handle, name) : NULL;
}

/* How a matrix {rows, columns} looks to BLAS: its form and leading dimension; false when it cannot be told. */
static bool form_of(int64_t row, int64_t column, int64_t rows, int64_t columns, int *form,
                    int *leading) {
  bool as_it_is = column == 1 && row >= columns && row <= INT_MAX;
  if (!as_it_is && !(row == 1 && column >= rows && column <= INT_MAX)) return false;
  *form = as_it_is ? AS_IT_IS : TRANSPOSED;
  *leading = (int)(as_it_is ? row : column);
  return *leading > 0;
}

static void set_rows(const cvl_gemm_f64 *g) {
  if (g->accumulate) return;
  for (int64_t i = 0; i < g->M; i++)
    for (int64_t j = 0; j < g->N; j++) g->c[i * g->c_row + j] = g->bias != NULL ? g->bias[j] : 0;
}

static void plain(const cvl_gemm_f64 *g) {
  set_rows(g);
  for (int64_t i = 0; i < g->M; i++)
    for (int64_t k = 0; k < g->K; k++) {
      double a = g->a[i * g->a_row + k * g->a_col], *c = g->c + i * g->c_row;
      const double *b = g->b + k * g->b_row;
      if (g->b_col == 1)
        for (int64_t j = 0; j < g->N; j++) c[j] += a * b[j];
      else
        for (int64_t j = 0; j < g->N; j++) c[j] += a * b[j * g->b_col];
    }
}

typedef struct {
  const cvl_gemm_f64 *g;
  int64_t rows, chunks_m; /* of a chunk; one below the other */
  bool use_blas;
  int a_form, b_form, lda, ldb;
} job;

static void run_chunk(void *context, int64_t chunk, int worker) {
  const job *j = context;
  cvl_gemm_f64 g = *j->g;
  int64_t i = chunk % j->chunks_m * j->rows, k = chunk / j->chunks_m * CHUNK_N;
  (void)worker;
  g.a += i * g.a_row;
  g.b += k * g.b_col;
  g.c += i * g.c_row + k;
  g.bias = g.bias != NULL ? g.bias + k : NULL;
  g.M = min(j->rows, g.M - i);
  g.N = min(CHUNK_N, g.N - k);
  if (!j->use_blas) {
    plain(&g);
    return;
  }
  set_rows(&g); /* so that C is always added to */
  blas.dgemm(ROW_MAJOR, j->a_form, j->b_form, (int)g.M, (int)g.N, (int)g.K, 1, g.a, j->lda, g.b,
             j->ldb, 1, g.c, (int)g.c_row);
}

void cvl_dgemm(const cvl_gemm_f64 *g) {
  job j = {.g = g, .rows = clamp(ceil_div(g->M, CHUNKS_M), LEAST_M, CHUNK_M)};
  j.chunks_m = ceil_div(g->M, j.rows);
  int64_t chunks = j.chunks_m * ceil_div(g->N, CHUNK_N);
  if (g->M == 0 || g->N == 0) return;
  if ((double)g->M * (double)g->N * (double)g->K <= SMALL) {
    plain(g);
    return;
  }
  pthread_once(&once, load);
  j.use_blas = blas.dgemm != NULL && g->K <= INT_MAX && g->c_row >= g->N && g->c_row <= INT_MAX &&
               form_of(g->a_row, g->a_col, g->M, g->K, &j.a_form, &j.lda) &&
               form_of(g->b_row, g->b_col, g->K, g->N, &j.b_form, &j.ldb);
  if (j.use_blas && !blas.concurrent)
    for (int64_t i = 0; i < chunks; i++) run_chunk(&j, i, 0);
  else
    cvl_parallel(chunks, run_chunk, &j);
}

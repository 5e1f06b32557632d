#include "tensor/random.h"

#include <math.h>

#include "base/pool.h"
#include "base/rng.h"
#include "tensor/half.h"

enum { GRAIN = 4096 };

typedef struct {
  cvl_tensor *x;
  cvl_rng rng;
  double a, b; /* low and width, or mean and standard deviation */
  int64_t low, span;
} job;

/* Block k makes the elements 4 k .. 4 k + 3; two blocks, 2 k and 2 k + 1, where an element needs 64 bits. */
static void store(const job *j, int64_t i, double v) {
  if (i >= cvl_count(j->x)) return;
  if (j->x->dtype == CVL_F32)
    ((float *)cvl_data(j->x))[i] = (float)v;
  else if (j->x->dtype == CVL_F64)
    ((double *)cvl_data(j->x))[i] = v;
  else
    ((uint16_t *)cvl_data(j->x))[i] = cvl_half_from_f32(j->x->dtype, (float)v);
}

static void draw(const job *j, int64_t k, double u[4]) {
  uint32_t r[8];
  if (j->x->dtype != CVL_F64) {
    cvl_philox(&j->rng, j->rng.position + (uint64_t)k, r);
    for (int i = 0; i < 4; i++) u[i] = (double)cvl_uniform_f32(r[i]);
  } else {
    cvl_philox(&j->rng, j->rng.position + 2 * (uint64_t)k, r);
    cvl_philox(&j->rng, j->rng.position + 2 * (uint64_t)k + 1, r + 4);
    for (int i = 0; i < 4; i++) u[i] = cvl_uniform_f64(r[2 * i], r[2 * i + 1]);
  }
}

static double rounded(cvl_dtype t, double v) {
  return t == CVL_F64   ? v
         : t == CVL_F32 ? (double)(float)v
                        : (double)cvl_half_to_f32(t, cvl_half_from_f32(t, (float)v));
}

static void uniform(void *context, int64_t first, int64_t last) {
  const job *j = context;
  double u[4];
  for (int64_t k = first; k < last; k++) {
    draw(j, k, u);
    for (int i = 0; i < 4; i++) {
      double v = j->a + j->b * u[i];
      if (j->b > 0 && rounded(j->x->dtype, v) >= rounded(j->x->dtype, j->a + j->b))
        v = j->a; /* rounded up to the end */
      store(j, 4 * k + i, v);
    }
  }
}

static void normal(void *context, int64_t first, int64_t last) {
  const job *j = context;
  double u[4];
  for (int64_t k = first; k < last; k++) {
    draw(j, k, u);
    for (int i = 0; i < 4; i += 2) {
      double radius = sqrt(-2 * log(1 - u[i])), angle = 2 * 3.14159265358979323846 * u[i + 1];
      store(j, 4 * k + i, j->a + j->b * radius * cos(angle));
      store(j, 4 * k + i + 1, j->a + j->b * radius * sin(angle));
    }
  }
}

static void run(job *j, cvl_range_body *body) {
  int64_t blocks = (cvl_count(j->x) + 3) / 4;
  j->rng = cvl_take(j->x->dtype != CVL_F64 ? blocks : 2 * blocks);
  cvl_parallel_range(blocks, GRAIN, body, j);
}

void cvl_fill_uniform(cvl_tensor *x, double low, double high) {
  run(&(job){.x = x, .a = low, .b = high - low}, uniform);
}

void cvl_fill_normal(cvl_tensor *x, double mean, double stddev) {
  run(&(job){.x = x, .a = mean, .b = stddev}, normal);
}

void cvl_fill_integers(cvl_tensor *x, int64_t low, int64_t high) {
  int64_t n = cvl_count(x);
  uint64_t span = (uint64_t)high - (uint64_t)low + 1; /* 0: all 2^64 values */
  cvl_rng rng = cvl_take((n + 1) / 2);
  for (int64_t i = 0; i < n; i++) {
    uint32_t r[4];
    uint64_t bits;
    int64_t v;
    cvl_philox(&rng, rng.position + (uint64_t)(i / 2), r);
    bits = (uint64_t)r[2 * (i % 2)] << 32 | r[2 * (i % 2) + 1];
    /* the high half of bits * span: bias below 2^-64 of each value */
    v = (int64_t)((uint64_t)low +
                  (span == 0 ? bits : (uint64_t)(((unsigned __int128)bits * span) >> 64)));
    switch (x->dtype) {
    case CVL_F32:
      ((float *)cvl_data(x))[i] = (float)v;
      break;
    case CVL_F64:
      ((double *)cvl_data(x))[i] = (double)v;
      break;
    case CVL_I32:
      ((int32_t *)cvl_data(x))[i] = (int32_t)v;
      break;
    case CVL_I64:
      ((int64_t *)cvl_data(x))[i] = v;
      break;
    case CVL_BF16:
    case CVL_F16:
      ((uint16_t *)cvl_data(x))[i] = cvl_half_from_f32(x->dtype, cvl_half_odd((double)v));
      break;
    default:
      ((uint8_t *)cvl_data(x))[i] = (uint8_t)v;
      break;
    }
  }
}

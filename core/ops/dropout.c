/*
** y = dropout(x; rate, training)      y = x m / (1 - rate), each m independently 0 with probability rate, else 1
**   x, y: any shape, floating. Outside of training, y = x.
** Srivastava et al. 2014, JMLR 15, "Dropout"; scaled in training ("inverted"), so that nothing is left to do later.
** Element i draws number i % 4 of Philox block i / 4: the mask is never stored, backward makes it again.
*/
#include "ops/dropout.h"

#include <string.h>

#include "base/pool.h"

enum {
  GROUP = 16
}; /* blocks made side by side, so that the compiler can use vectors: 64 elements */

/* cvl_philox for GROUP blocks at once: out[i][l] is number i of block position + l. */
static inline void philox_group(const cvl_rng *g, uint64_t position, uint32_t out[4][GROUP]) {
  uint32_t c0[GROUP], c1[GROUP], c2[GROUP], c3[GROUP], k0 = (uint32_t)g->seed,
                                                       k1 = (uint32_t)(g->seed >> 32);
  for (int l = 0; l < GROUP; l++) {
    c0[l] = (uint32_t)(position + (uint64_t)l);
    c1[l] = (uint32_t)((position + (uint64_t)l) >> 32);
    c2[l] = (uint32_t)g->stream;
    c3[l] = (uint32_t)(g->stream >> 32);
  }
  for (int round = 0; round < 10; round++) {
    for (int l = 0; l < GROUP; l++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
      c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
      c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
      c1[l] = (uint32_t)p1;
      c3[l] = (uint32_t)p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  memcpy(out[0], c0, sizeof c0);
  memcpy(out[1], c1, sizeof c1);
  memcpy(out[2], c2, sizeof c2);
  memcpy(out[3], c3, sizeof c3);
}

/* keep[i] is ~0 or 0 for the 4 GROUP elements from `block` on. */
static inline void keep_group(const cvl_rng *g, uint64_t block, uint32_t threshold,
                              uint32_t keep[4 * GROUP]) {
  uint32_t r[4][GROUP];
  philox_group(g, g->position + block, r);
  for (int l = 0; l < GROUP; l++)
    for (int i = 0; i < 4; i++) keep[4 * l + i] = r[i][l] >= threshold ? ~0u : 0;
}

static uint32_t threshold_of(double rate) { return (uint32_t)(rate * 0x1p32); }

#ifndef CVL_DESCRIBE

enum { GRAIN = 128 }; /* groups */

typedef struct {
  const real *x;
  real *y;
  int64_t count;
  double rate;
  const cvl_rng *rng;
} job;

static void run(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const real scale = (real)(1 / (1 - j->rate));
  uint32_t threshold = threshold_of(j->rate);
  for (int64_t group = first; group < last; group++) {
    int64_t i = group * 4 * GROUP, n = j->count - i < 4 * GROUP ? j->count - i : 4 * GROUP;
    const real *restrict x = j->x + i;
    real *restrict y = j->y + i;
    uint32_t keep[4 * GROUP];
    keep_group(j->rng, (uint64_t)group * GROUP, threshold, keep);
    for (int64_t l = 0; l < n; l++) {
      real v = x[l] * scale;
      y[l] = keep[l] ? v : 0;
    }
  }
}

static int apply(const cvl_args *a, const cvl_tensor *x, cvl_tensor *y) {
  const cvl_dropout_options *o = a->options;
  job j = {cvl_data(x), cvl_data(y), cvl_count(x), o->rate, &a->rng};
  cvl_parallel_range((j.count + 4 * GROUP - 1) / (4 * GROUP), GRAIN, run, &j);
  return 0;
}

static int forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  return (void)e, apply(a, a->in[0], y);
}

static int backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                    cvl_tensor *const *gx, cvl_err *e) {
  (void)y, (void)e;
  return gx[0] == NULL ? 0 : apply(a, gy, gx[0]);
}
CVL_KERNELS(dropout, forward, backward)

#else
#include "ops/call.h"

/* The mask as a constant tensor, made on the host. */
static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  const cvl_dropout_options *o = a->options;
  double scale = 1 / (1 - o->rate);
  int64_t count;
  cvl_tensor *m, *there;
  (void)y, (void)i;
  if (gy == NULL || (m = cvl_tensor_full(&gy->shape, gy->dtype, cvl_cpu(), 0, s->e)) == NULL)
    return NULL;
  count = cvl_count(m);
  for (int64_t first = 0; first < count; first += 4 * GROUP) {
    uint32_t keep[4 * GROUP];
    keep_group(&a->rng, (uint64_t)first / 4, threshold_of(o->rate), keep);
    for (int64_t l = 0; l < 4 * GROUP && first + l < count; l++) {
      if (!keep[l]) continue;
      if (m->dtype == CVL_F32)
        ((float *)cvl_data(m))[first + l] = (float)scale;
      else
        ((double *)cvl_data(m))[first + l] = scale;
    }
  }
  there =
      cvl_device_of(gy) == cvl_cpu() ? cvl_retain(m) : cvl_tensor_clone(m, cvl_device_of(gy), s->e);
  cvl_release(m);
  return cvl_mul(s, gy, cvl_scope_own(s, there));
}

static bool trivial(const cvl_args *a) {
  const cvl_dropout_options *o = a->options;
  return !o->training || o->rate == 0;
}

#define O cvl_dropout_options
CVL_OP(dropout,
  .doc = "dropout(x, {rate = 0.5, training = true}) -> y\n"
         "Zeroes each element with probability rate and divides the others by 1 - rate; outside of training, y = x. "
         "Srivastava et al. 2014, JMLR 15.",
  .n_in = 1, .floating = true, .random = true, .drops = CVL_DROP_ALL,
  CVL_OPTIONS(O, CVL_NUMBER(O, rate, 0.5, CVL_PROBABILITY, "probability that an element becomes 0"),
              CVL_FLAG(O, training, 1, "outside of training nothing is dropped")),
  .shape = cvl_shape_same, .trivial = trivial, .vjp = vjp,
  CVL_SAMPLES("dropout(randn{3, 5}, {rate = 0.3})", "dropout(randn{2, 3}:transpose(1, 2))",
              "dropout(randn{4}, {training = false})"),
  CVL_REJECTS({"dropout(randn{3}, {rate = 1})", "rate"}, {"dropout(randn{3}, {rate = -0.1})", "rate"}));
#endif

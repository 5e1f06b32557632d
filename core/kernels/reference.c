#include "kernels/reference.h"

#include <stddef.h>

#include "base/pool.h"

/* One pass over one problem. Which of a, b and result is x, w or y depends on the pass. */
typedef struct {
  const cvl_conv *p;
  const double *a, *b, *bias;
  double *result;
  bool add; /* to what the result holds */
} job;

/* Splits a flat index over three axes, the last one fastest. */
static void split(int64_t flat, const int64_t size[3], int64_t index[3]) {
  index[2] = flat % size[2];
  index[1] = flat / size[2] % size[1];
  index[0] = flat / size[2] / size[1];
}

static int64_t volume(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* The flat input position that tap f of output position o reads, or -1 in the padding. */
static int64_t input_of(const cvl_conv *p, const int64_t o[3], const int64_t f[3]) {
  int64_t flat = 0;
  for (int d = 0; d < 3; d++) {
    int64_t i = o[d] * p->stride[d] + f[d] * p->dilation[d] - p->before[d];
    if (i < 0 || i >= p->in[d]) return -1;
    flat = flat * p->in[d] + i;
  }
  return flat;
}

/* The flat output position whose tap f reads input position i, or -1 if there is none. */
static int64_t output_of(const cvl_conv *p, const int64_t i[3], const int64_t f[3]) {
  int64_t flat = 0;
  for (int d = 0; d < 3; d++) {
    int64_t scaled = i[d] + p->before[d] - f[d] * p->dilation[d];
    if (scaled < 0 || scaled % p->stride[d] != 0 || scaled / p->stride[d] >= p->out[d]) return -1;
    flat = flat * p->out[d] + scaled / p->stride[d];
  }
  return flat;
}

/* One output position of one image: all K channels. */
static void forward(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  int64_t positions = volume(p->out), taps = volume(p->filter), o[3], f[3];
  int64_t C = p->C / p->groups, K = p->K / p->groups;
  const double *x = j->a + chunk / positions * volume(p->in) * p->C;
  double *y = j->result + chunk * p->K;
  (void)worker;
  split(chunk % positions, p->out, o);
  for (int64_t k = 0; k < p->K; k++) y[k] = j->bias != NULL ? j->bias[k] : 0;
  for (int64_t t = 0; t < taps; t++) {
    split(t, p->filter, f);
    int64_t i = input_of(p, o, f);
    if (i < 0) continue;
    for (int64_t g = 0; g < p->groups; g++)
      for (int64_t c = 0; c < C; c++) {
        const double *w = j->b + (t * C + c) * p->K;
        double value = x[i * p->C + g * C + c];
        for (int64_t k = g * K; k < (g + 1) * K; k++) y[k] += value * w[k];
      }
  }
}

/* One input position of one image: all C channels. */
static void backward_data(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  int64_t positions = volume(p->in), taps = volume(p->filter), i[3], f[3];
  int64_t C = p->C / p->groups, K = p->K / p->groups;
  const double *gy = j->a + chunk / positions * volume(p->out) * p->K;
  double *gx = j->result + chunk * p->C;
  (void)worker;
  split(chunk % positions, p->in, i);
  for (int64_t c = 0; c < p->C && !j->add; c++) gx[c] = 0;
  for (int64_t t = 0; t < taps; t++) {
    split(t, p->filter, f);
    int64_t o = output_of(p, i, f);
    if (o < 0) continue;
    for (int64_t g = 0; g < p->groups; g++)
      for (int64_t c = 0; c < C; c++) {
        const double *w = j->b + (t * C + c) * p->K;
        double sum = 0;
        for (int64_t k = g * K; k < (g + 1) * K; k++) sum += gy[o * p->K + k] * w[k];
        gx[g * C + c] += sum;
      }
  }
}

/* One tap and one channel within the groups: K weights. */
static void backward_filter(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_conv *p = j->p;
  int64_t positions = volume(p->out), f[3], o[3];
  int64_t C = p->C / p->groups, K = p->K / p->groups, c = chunk % C;
  double *gw = j->result + chunk * p->K;
  (void)worker;
  split(chunk / C, p->filter, f);
  for (int64_t k = 0; k < p->K; k++) gw[k] = 0;
  for (int64_t q = 0; q < positions; q++) {
    split(q, p->out, o);
    int64_t i = input_of(p, o, f);
    if (i < 0) continue;
    for (int64_t n = 0; n < p->N; n++) {
      const double *x = j->a + (n * volume(p->in) + i) * p->C;
      const double *gy = j->b + (n * positions + q) * p->K;
      for (int64_t g = 0; g < p->groups; g++)
        for (int64_t k = g * K; k < (g + 1) * K; k++) gw[k] += x[g * C + c] * gy[k];
    }
  }
}

void cvl_reference_conv_forward(const cvl_conv *p, const double *x, const double *w,
                                const double *bias, double *y) {
  job j = {p, x, w, bias, y, false};
  cvl_parallel(p->N * volume(p->out), forward, &j);
}

void cvl_reference_conv_backward_data(const cvl_conv *p, const double *gy, const double *w,
                                      bool add, double *gx) {
  job j = {p, gy, w, NULL, gx, add};
  cvl_parallel(p->N * volume(p->in), backward_data, &j);
}

void cvl_reference_conv_backward_filter(const cvl_conv *p, const double *x, const double *gy,
                                        double *gw) {
  job j = {p, x, gy, NULL, gw, false};
  cvl_parallel(volume(p->filter) * (p->C / p->groups), backward_filter, &j);
}

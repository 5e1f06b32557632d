#include "kernels/dots.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"

enum {
  LINES = 2,            /* of a task, but */
  PART_POSITIONS = 512, /* of a part of the sum for the gradient of the filter, at least */
  MOST_PARTS = 64
};

typedef struct {
  const cvl_conv *p;
  const cvl_dots *kernel;
  const float *source, *w; /* w: or gy, for the gradient of the filter */
  cvl_epilogue then;
  bool add, data; /* add to the target; it is x */
  float *target;
  const int64_t *target_size;
  int64_t C, K; /* channels of the source, of the target */
  cvl_axis axis[3];
  int64_t lines;
  float *packed; /* {K, taps, C}; or sums, {parts, K, taps, C} */
  int64_t parts;
} job;

static const cvl_dots *kernels_used(void) { return CVL_OF_ISA(cvl_dots); }

bool cvl_dots_possible(const cvl_conv *p, bool data) {
  if (p->groups != 1 || p->N * p->C * p->K == 0) return false;
  for (int d = 0; d < 3; d++)
    if (p->in[d] == 0 || p->filter[d] == 0 || p->out[d] == 0) return false;
  return (data ? p->C : p->K) <= CVL_DOTS_MOST;
}

/* Numbers of one filter. */
static int64_t filter_size(const job *j) {
  return j->axis[0].taps * j->axis[1].taps * j->axis[2].taps * j->C;
}

/* Taps [first, last) of the filters one by one, in the order in which they are met: {K, taps of the axes, C}. */
static void pack_taps(void *context, int64_t first, int64_t last) {
  const job *j = context;
  const cvl_conv *p = j->p;
  const cvl_axis *a = j->axis;
  int64_t size = filter_size(j);
  for (int64_t t = first; t < last; t++) {
    int64_t f0 = a[0].filter + t / a[2].taps / a[1].taps * a[0].filter_step,
            f1 = a[1].filter + t / a[2].taps % a[1].taps * a[1].filter_step,
            f2 = a[2].filter + t % a[2].taps * a[2].filter_step;
    const float *w = j->w + ((f0 * p->filter[1] + f1) * p->filter[2] + f2) * p->C * p->K;
    float *to = j->packed + t * j->C;
    if (j->data)
      for (int64_t k = 0; k < j->K; k++)
        memcpy(to + k * size, w + k * p->K, (size_t)j->C * sizeof *to);
    else
      for (int64_t c = 0; c < j->C; c++)
        for (int64_t k = 0; k < j->K; k++) to[k * size + c] = w[c * j->K + k];
  }
}

/* Collects the lines that a line of positions reads, from the *next-th pair of taps on. */
static void collect(const job *j, int64_t line, float *w, cvl_dots_line *l, int64_t *next) {
  const cvl_axis *a = j->axis;
  l->lines = 0;
  for (; *next < a[0].taps * a[1].taps && l->lines < CVL_DOTS_LINES; ++*next) {
    int64_t from = cvl_axis_line_met(a, line, *next);
    if (from < 0) continue;
    l->source[l->lines] = j->source + from * a[2].size * l->C;
    l->w[l->lines++] = w + *next * a[2].taps * l->C;
  }
}

static void make_lines(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_axis *a = j->axis;
  cvl_dots_line l = {.axis = a[2], .C = j->C, .distance = filter_size(j)};
  (void)worker;
  for (int64_t line = chunk * LINES; line < min((chunk + 1) * LINES, j->lines); line++) {
    float *y = j->target + cvl_axis_line_target(a, line, j->target_size) * j->K;
    int64_t next = 0;
    bool add = j->add;
    do { /* also when no tap hits: then all is zero */
      collect(j, line, j->packed, &l, &next);
      j->kernel->gather(&l, add, y, a[2].stride * j->K);
      add = true;
    } while (next < a[0].taps * a[1].taps);
    if (!cvl_epilogue_is_shift(&j->then) || j->then.shift != NULL)
      cvl_epilogue_run(&j->then, a[2].count, j->K, a[2].stride * j->K,
                       j->then.residual != NULL ? j->then.residual + (y - j->target) : NULL, y);
  }
}

static int run(job *j, cvl_err *e) {
  const cvl_axis *a = j->axis;
  j->kernel = &kernels_used()[j->K - 1];
  j->lines = j->p->N * a[0].count * a[1].count;
  if ((j->packed = cvl_scratch_take(max(filter_size(j) * j->K, 1), e)) == NULL) return -1;
  cvl_parallel_range(filter_size(j) / j->C, ceil_div(1 << 14, j->C * j->K), pack_taps, j);
  cvl_parallel(ceil_div(j->lines, LINES), make_lines, j);
  cvl_scratch_give(j->packed);
  return 0;
}

int cvl_dots_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e) {
  job j = {.p = p,
           .source = x,
           .w = w,
           .then = *then,
           .target = y,
           .target_size = p->out,
           .C = p->C,
           .K = p->K};
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  return run(&j, e);
}

int cvl_dots_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                           cvl_err *e) {
  job j = {.p = p,
           .source = gy,
           .w = w,
           .add = add,
           .data = true,
           .target = gx,
           .target_size = p->in,
           .C = p->K,
           .K = p->C};
  int64_t phases[3];
  for (int d = 0; d < 3; d++) phases[d] = min(p->stride[d], p->in[d]);
  for (int64_t i = 0; i < phases[0] * phases[1] * phases[2]; i++) {
    j.axis[0] = cvl_axis_backward(p, 0, i / phases[2] / phases[1]);
    j.axis[1] = cvl_axis_backward(p, 1, i / phases[2] % phases[1]);
    j.axis[2] = cvl_axis_backward(p, 2, i % phases[2]);
    if (run(&j, e) != 0) return -1;
  }
  return 0;
}

/* One part of the sum: some lines of gy. */
static void filter_lines(void *context, int64_t part, int worker) {
  const job *j = context;
  int64_t size = filter_size(j) * j->K, count = ceil_div(j->lines, j->parts);
  float *sum = j->packed + part * size;
  cvl_dots_line l = {.axis = j->axis[2], .C = j->C, .distance = filter_size(j)};
  (void)worker;
  memset(sum, 0, (size_t)size * sizeof *sum);
  for (int64_t line = part * count; line < min((part + 1) * count, j->lines); line++) {
    int64_t next = 0;
    while (next < j->axis[0].taps * j->axis[1].taps) {
      collect(j, line, sum, &l, &next);
      j->kernel->filter(&l, j->w + line * l.axis.count * j->K);
    }
  }
}

/* gw {taps, C, K} of the parts' sums {K, taps, C}. */
static void add_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t size = filter_size(j);
  for (int64_t i = first; i < last; i++)
    for (int64_t k = 0; k < j->K; k++) {
      float sum = 0;
      for (int64_t part = 0; part < j->parts; part++)
        sum += j->packed[(part * j->K + k) * size + i];
      j->target[i * j->K + k] = sum;
    }
}

int cvl_dots_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e) {
  job j = {.p = p,
           .kernel = &kernels_used()[p->K - 1],
           .source = x,
           .w = gy,
           .target = gw,
           .C = p->C,
           .K = p->K};
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  j.lines = p->N * j.axis[0].count * j.axis[1].count;
  j.parts = clamp(j.lines * j.axis[2].count / PART_POSITIONS, 1, min(MOST_PARTS, j.lines));
  if ((j.packed = cvl_scratch_take(j.parts * filter_size(&j) * j.K, e)) == NULL) return -1;
  cvl_parallel(j.parts, filter_lines, &j);
  cvl_parallel_range(filter_size(&j), ceil_div(1 << 12, j.parts * j.K), add_parts, &j);
  cvl_scratch_give(j.packed);
  return 0;
}

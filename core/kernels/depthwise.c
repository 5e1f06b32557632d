#include "kernels/depthwise.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"

enum {
  LINES = 8,       /* of a task of the forward pass and the gradient of the data */
  PART_LINES = 64, /* of a part of the sum for the gradient of the filter, at least */
  MOST_PARTS = 64
};

typedef struct {
  const cvl_conv *p;
  int log2_depth; /* depth: channels of a group */
  const cvl_depthwise *kernel;
  const float *source, *bias; /* bias: where sums start */
  cvl_epilogue then;
  float *w,
      *target; /* w is read only by gather, which shares this struct with the gradient of the filter */
  const float *gy;
  const int64_t *target_size;
  cvl_axis axis[3];
  int64_t lines, parts;
} job;

static const cvl_depthwise *kernel_used(void) { return CVL_OF_ISA(&cvl_depthwise); }

/* -1 if depth is no power of two, or there is no kernel for it. */
static int log2_depth_of(const cvl_conv *p) {
  for (int d = 0; d < CVL_DEPTHWISE_DEPTHS; d++)
    if (p->groups << d == p->C) return kernel_used()->gather[d] != NULL ? d : -1;
  return -1;
}

bool cvl_depthwise_possible(const cvl_conv *p) {
  return p->groups > 1 && p->C == p->K && log2_depth_of(p) >= 0;
}

/* Numbers of the filter. */
static int64_t filter_size(const job *j) {
  return (j->p->filter[0] * j->p->filter[1] * j->p->filter[2] * j->p->C) << j->log2_depth;
}

/* Collects the lines that a line of positions reads, from the *next-th pair of taps on; false when there are no more. */
static bool collect(const job *j, int64_t line, float *w, cvl_depthwise_line *l, int64_t *next) {
  const cvl_axis *a = j->axis;
  l->lines = 0;
  for (; *next < a[0].taps * a[1].taps && l->lines < CVL_DEPTHWISE_LINES; ++*next) {
    int64_t from = cvl_axis_line_met(a, line, *next);
    if (from < 0) continue;
    int64_t f0 = a[0].filter + *next / a[1].taps * a[0].filter_step,
            f1 = a[1].filter + *next % a[1].taps * a[1].filter_step;
    l->source[l->lines] = j->source + from * a[2].size * l->C;
    l->w[l->lines++] =
        w + (((f0 * j->p->filter[1] + f1) * j->p->filter[2] * l->C) << j->log2_depth);
  }
  return l->lines > 0;
}

static void gather_lines(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_axis *a = j->axis;
  cvl_depthwise_line l = {.axis = a[2], .C = j->p->C};
  (void)worker;
  for (int64_t line = chunk * LINES; line < min((chunk + 1) * LINES, j->lines); line++) {
    float *y = j->target + cvl_axis_line_target(a, line, j->target_size) * l.C;
    int64_t next = 0;
    bool add = false;
    while (collect(j, line, j->w, &l, &next)) {
      j->kernel->gather[j->log2_depth](&l, add, j->bias, y, a[2].stride * l.C);
      add = true;
    }
    if (!add) { /* no tap hits: the kernel writes the bias */
      l.axis.taps = 0;
      j->kernel->gather[j->log2_depth](&l, false, j->bias, y, a[2].stride * l.C);
      l.axis.taps = a[2].taps;
    }
    if (!cvl_epilogue_is_shift(&j->then))
      cvl_epilogue_run(&j->then, a[2].count, l.C, a[2].stride * l.C,
                       j->then.residual != NULL ? j->then.residual + (y - j->target) : NULL, y);
  }
}

static void gather(job *j) {
  j->lines = j->p->N * j->axis[0].count * j->axis[1].count;
  cvl_parallel(ceil_div(j->lines, LINES), gather_lines, j);
}

int cvl_depthwise_forward(const cvl_conv *p, const float *x, const float *w,
                          const cvl_epilogue *then, float *y, cvl_err *e) {
  job j = {.p = p,
           .log2_depth = log2_depth_of(p),
           .kernel = kernel_used(),
           .source = x,
           .bias = cvl_epilogue_is_shift(then) ? then->shift : NULL,
           .then = *then,
           .w = (float *)(uintptr_t)w,
           .target = y,
           .target_size = p->out};
  (void)e;
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  gather(&j);
  return 0;
}

/* The filter with source and target exchanged in each group: what takes y back to x. */
static void exchange(const job *j, const float *w, float *to) {
  const int64_t C = j->p->C, depth = 1 << j->log2_depth;
  for (int64_t n = filter_size(j); n > 0; n -= depth * C, w += depth * C)
    for (int64_t turn = 0; turn < depth; turn++, to += C)
      for (int64_t group = 0; group < C; group += depth)
        for (int64_t c = 0; c < depth; c++) to[group + c] = w[c * C + group + turn];
}

int cvl_depthwise_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                                cvl_err *e) {
  job j = {.p = p,
           .log2_depth = log2_depth_of(p),
           .kernel = kernel_used(),
           .source = gy,
           .w = (float *)(uintptr_t)w,
           .target = gx,
           .target_size = p->in};
  int64_t phases[3];
  float *exchanged = NULL;
  if (j.log2_depth > 0) {
    if ((exchanged = cvl_scratch_take(filter_size(&j), e)) == NULL) return -1;
    exchange(&j, w, exchanged);
    j.w = exchanged;
  }
  for (int d = 0; d < 3; d++) phases[d] = min(p->stride[d], p->in[d]);
  for (int64_t i = 0; i < phases[0] * phases[1] * phases[2]; i++) {
    j.axis[0] = cvl_axis_backward(p, 0, i / phases[2] / phases[1]);
    j.axis[1] = cvl_axis_backward(p, 1, i / phases[2] % phases[1]);
    j.axis[2] = cvl_axis_backward(p, 2, i % phases[2]);
    gather(&j);
  }
  cvl_scratch_give(exchanged);
  return 0;
}

/* One part of the sum: some lines of gy. Part 0 adds into gw itself. */
static void filter_lines(void *context, int64_t part, int worker) {
  const job *j = context;
  int64_t size = filter_size(j), count = ceil_div(j->lines, j->parts);
  float *w = part > 0 ? j->target + (part - 1) * size : j->w;
  cvl_depthwise_line l = {.axis = j->axis[2], .C = j->p->C};
  (void)worker;
  memset(w, 0, (size_t)size * sizeof *w);
  for (int64_t line = part * count; line < min((part + 1) * count, j->lines); line++) {
    int64_t next = 0;
    while (collect(j, line, w, &l, &next))
      j->kernel->filter[j->log2_depth](&l, j->gy + line * l.axis.count * l.C);
  }
}

static void add_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t size = filter_size(j);
  for (int64_t part = 1; part < j->parts; part++)
    for (int64_t i = first; i < last; i++) j->w[i] += j->target[(part - 1) * size + i];
}

int cvl_depthwise_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                  cvl_err *e) {
  job j = {.p = p,
           .log2_depth = log2_depth_of(p),
           .kernel = kernel_used(),
           .source = x,
           .gy = gy,
           .w = gw};
  int64_t size = filter_size(&j);
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  j.lines = p->N * j.axis[0].count * j.axis[1].count;
  j.parts = min(MOST_PARTS, j.lines / PART_LINES + 1);
  if (size == 0) return 0;
  if (j.parts > 1 && (j.target = cvl_scratch_take((j.parts - 1) * size, e)) == NULL) return -1;
  cvl_parallel(j.parts, filter_lines, &j);
  cvl_parallel_range(size, 1 << 12, add_parts, &j);
  cvl_scratch_give(j.target);
  return 0;
}

#include "kernels/grouped.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"

/* LINES: of a task of the forward pass and the gradient of the data; PART_LINES: of a part of the sum for the gradient of the
** filter, at least. TASKS: at least, for each thread or for the gradient of the filter. TURNS: of a tap, in as many vectors as have
** them, whose filter stays in a core's own cache. MOST_VECTORS: for what a vector takes; with more, finding it takes most of
** the time. */
enum { LINES = 8, PART_LINES = 64, MOST_PARTS = 64, TASKS = 8, TURNS = 128, MOST_VECTORS = 4 };

/* A pass: vectors along `across` channels, `width` of a group, each of which takes `depth` of the `taken` channels of the other
** tensor. */
typedef struct {
  const cvl_conv *p;
  const cvl_grouped *kernel;
  bool forward;
  int64_t across, width, taken, depth;
  cvl_grouped_kind kind;
  int vectors;              /* that have what one of `across` takes */
  cvl_grouped_lanes *lanes; /* {vectors of `across`} */
  float *zeros;
  float *w; /* {parts of the sum, vectors of `across`, filter, depth, lanes} */
  const float *source, *gy;
  float *target;
  bool add;            /* to the target, from the first sum on */
  const float *bias;   /* where sums start */
  const float *filter; /* as it lies, */
  float *gw;           /* or its gradient */
  cvl_epilogue then;   /* of the forward pass */
  const int64_t *target_size;
  cvl_axis axis[3];
  int64_t lines, chunk;  /* of a task */
  int64_t parts, ranges; /* of the sum, of vectors in each: tasks for the gradient of the filter */
} job;

/* Groups of a vector, vectors of a group, and vectors in all: one of the first two is 1. */
static int64_t groups_in_vector(const job *j) { return max(j->kernel->lanes / j->width, 1); }
static int64_t vectors_in_group(const job *j) { return ceil_div(j->width, j->kernel->lanes); }
static int64_t vectors_of(const job *j) {
  return ceil_div(j->p->groups, groups_in_vector(j)) * vectors_in_group(j);
}

/* Along filters, as forward, or along channels. */
static job plan_by(const cvl_grouped *kernel, const cvl_conv *p, bool forward) {
  const int64_t C = p->C / p->groups, K = p->K / p->groups;
  job j = {.p = p,
           .kernel = kernel,
           .forward = forward,
           .across = forward ? p->K : p->C,
           .width = forward ? K : C,
           .taken = forward ? p->C : p->K,
           .depth = forward ? C : K};
  if (C == 1 && K == 1) {
    j.kind = CVL_GROUPED_OWN;
  } else if (groups_in_vector(&j) == 1) {
    j.kind = CVL_GROUPED_ONE;
  } else {
    j.vectors =
        (int)min(ceil_div(groups_in_vector(&j) * j.depth, j.kernel->lanes), MOST_VECTORS + 1);
    j.kind = j.vectors == 1 ? CVL_GROUPED_NEAR : CVL_GROUPED_FAR;
  }
  return j;
}

/* Shorter vectors are faster where they need not be put together from several. */
static job plan(const cvl_conv *p, bool forward) {
  job j = plan_by(CVL_OF_ISA(&cvl_grouped), p, forward);
#if defined(__x86_64__)
  if (j.kind == CVL_GROUPED_FAR && cvl_isa_used() == CVL_ISA_AVX512) {
    job shorter = plan_by(&cvl_grouped_avx2, p, forward);
    if (shorter.kind != CVL_GROUPED_FAR) return shorter;
  }
#endif
  return j;
}

bool cvl_grouped_possible(const cvl_conv *p, cvl_pass pass) {
  return p->groups > 1 && p->C > 0 && p->K > 0 &&
         plan(p, pass == CVL_FORWARD).vectors <= MOST_VECTORS;
}

/* The base goes back where vectors would stick out at the end. */
static void list_lanes(job *j) {
  const int64_t lanes = j->kernel->lanes, groups = groups_in_vector(j);
  for (int64_t v = 0; v < vectors_of(j); v++) {
    cvl_grouped_lanes *to = &j->lanes[v];
    int64_t group = v / vectors_in_group(j) * groups, part = v % vectors_in_group(j);
    int64_t last = min(group + groups, j->p->groups);
    to->c = group * j->width + part * lanes;
    to->n = min(last * j->width - to->c, lanes);
    to->base = j->kind == CVL_GROUPED_OWN
                   ? to->c
                   : min(group * j->depth, max(j->taken - j->vectors * lanes, 0));
    for (int64_t i = 0; i < lanes; i++)
      to->lane[i] = (int32_t)(min((to->c + i) / j->width, last - 1) * j->depth - to->base);
  }
}

static int64_t taps_of(const job *j) { return j->p->filter[0] * j->p->filter[1] * j->p->filter[2]; }
static int64_t panel_of(const job *j) { return taps_of(j) * j->depth * j->kernel->lanes; }

/* What a pass works with, its filters `copies` times. */
static int take_room(job *j, int64_t copies, cvl_err *e) {
  const int64_t vectors = vectors_of(j), floats = sizeof *j->lanes / sizeof(float);
  const int64_t zeros = max(j->across, j->taken) + j->kernel->lanes;
  j->lanes = (void *)cvl_scratch_take(vectors * floats, e);
  j->zeros = cvl_scratch_take(zeros, e);
  j->w = cvl_scratch_take(copies * vectors * panel_of(j), e);
  if (j->lanes == NULL || j->zeros == NULL || j->w == NULL) return -1;
  list_lanes(j);
  memset(j->zeros, 0, (size_t)zeros * sizeof *j->zeros);
  return 0;
}

static void give_room(job *j) {
  cvl_scratch_give((float *)j->lanes);
  cvl_scratch_give(j->zeros);
  cvl_scratch_give(j->w);
}

/* Where the filter {taps, C / groups, K} has what each lane of vector v takes: tap t and turn d are t * tap_size + d * d_step
** further on. */
static int64_t tap_size_of(const job *j) { return j->depth * j->across; }
static int64_t d_step_of(const job *j) { return j->forward ? j->across : 1; }
static void places_of(const job *j, int64_t v, int64_t *at) {
  for (int64_t i = 0, c = j->lanes[v].c; i < j->lanes[v].n; i++, c++)
    at[i] = j->forward ? c : c % j->width * j->taken + c / j->width * j->depth;
}

/* Whether moving the filter is worth more than one thread. */
static bool is_large(const job *j) { return vectors_of(j) * panel_of(j) >= 1 << 14; }

/* A vector's panel of the filter. */
static void pack(void *context, int64_t v, int worker) {
  const job *j = context;
  const int64_t lanes = j->kernel->lanes, n = j->lanes[v].n;
  int64_t at[CVL_GROUPED_LANES];
  float *to = j->w + v * panel_of(j);
  (void)worker;
  places_of(j, v, at);
  for (int64_t tap = 0; tap < taps_of(j); tap++)
    for (int64_t d = 0; d < j->depth; d++, to += lanes) {
      const float *from = j->filter + tap * tap_size_of(j) + d * d_step_of(j);
      for (int64_t i = 0; i < n; i++) to[i] = from[at[i]];
      for (int64_t i = n; i < lanes; i++) to[i] = 0;
    }
}

/* ... and back, from the parts of its sum. */
static void unpack(void *context, int64_t v, int worker) {
  const job *j = context;
  const int64_t lanes = j->kernel->lanes, panel = panel_of(j), size = vectors_of(j) * panel;
  int64_t at[CVL_GROUPED_LANES];
  float *from = j->w + v * panel;
  (void)worker;
  places_of(j, v, at);
  for (int64_t part = 1; part < j->parts; part++)
    for (int64_t i = 0; i < panel; i++) from[i] += from[part * size + i];
  for (int64_t tap = 0; tap < taps_of(j); tap++)
    for (int64_t d = 0; d < j->depth; d++, from += lanes) {
      float *to = j->gw + tap * tap_size_of(j) + d * d_step_of(j);
      for (int64_t i = 0; i < j->lanes[v].n; i++) to[at[i]] = from[i];
    }
}

static cvl_grouped_line line_of(const job *j) {
  return (cvl_grouped_line){.axis = j->axis[2],
                            .across = j->across,
                            .taken = j->taken,
                            .depth = j->depth,
                            .lanes = j->lanes,
                            .vectors = j->vectors,
                            .panel = panel_of(j),
                            .zeros = j->zeros};
}

/* Collects the lines that a line of positions reads, from the *next-th pair of taps on; false when there are no more. */
static bool collect(const job *j, int64_t line, int64_t channels, float *w, cvl_grouped_line *l,
                    int64_t *next) {
  const cvl_axis *a = j->axis;
  l->lines = 0;
  for (; *next < a[0].taps * a[1].taps && l->lines < CVL_GROUPED_LINES; ++*next) {
    int64_t from = cvl_axis_line_met(a, line, *next);
    if (from < 0) continue;
    int64_t f0 = a[0].filter + *next / a[1].taps * a[0].filter_step,
            f1 = a[1].filter + *next % a[1].taps * a[1].filter_step;
    l->source[l->lines] = j->source + from * a[2].size * channels;
    l->w[l->lines++] =
        w + (f0 * j->p->filter[1] + f1) * j->p->filter[2] * j->depth * j->kernel->lanes;
  }
  return l->lines > 0;
}

/* Vectors [first, last) of a line. */
static void gather_line(const job *j, int64_t line, int64_t first, int64_t last) {
  const cvl_axis *a = j->axis;
  cvl_grouped_line l = line_of(j);
  float *y = j->target + cvl_axis_line_target(a, line, j->target_size) * l.across;
  int64_t next = 0;
  bool add = j->add;
  while (collect(j, line, l.taken, j->w, &l, &next)) {
    j->kernel->gather[j->kind](&l, first, last, add, j->bias, y, a[2].stride * l.across);
    add = true;
  }
  if (!add) /* no tap hits: the kernel writes the bias */
    j->kernel->gather[j->kind](&l, first, last, false, j->bias, y, a[2].stride * l.across);
}

static int64_t vectors_at_a_time(const job *j) { return max(TURNS / j->depth, 1); }

static void gather_lines(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const cvl_axis *a = j->axis;
  int64_t begin = chunk * j->chunk, end = min(begin + j->chunk, j->lines);
  int64_t vectors = vectors_of(j), step = vectors_at_a_time(j);
  (void)worker;
  for (int64_t v = 0; v < vectors; v += step)
    for (int64_t line = begin; line < end; line++) gather_line(j, line, v, min(v + step, vectors));
  if (cvl_epilogue_is_shift(&j->then)) return;
  for (int64_t line = begin; line < end; line++) {
    int64_t at = cvl_axis_line_target(a, line, j->target_size) * j->across;
    cvl_epilogue_run(&j->then, a[2].count, j->across, a[2].stride * j->across,
                     j->then.residual != NULL ? j->then.residual + at : NULL, j->target + at);
  }
}

static void gather(job *j) {
  j->lines = j->p->N * j->axis[0].count * j->axis[1].count;
  j->chunk = clamp(j->lines / (TASKS * cvl_threads()), 1, LINES);
  cvl_parallel(ceil_div(j->lines, j->chunk), gather_lines, j);
}

int cvl_grouped_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                        float *y, cvl_err *e) {
  job j = plan(p, true);
  int rc = take_room(&j, 1, e);
  j.source = x;
  j.bias = cvl_epilogue_is_shift(then) ? then->shift : NULL;
  j.then = *then;
  j.filter = w;
  j.target = y;
  j.target_size = p->out;
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  if (rc == 0) {
    cvl_parallel_if(is_large(&j), vectors_of(&j), pack, &j);
    gather(&j);
  }
  give_room(&j);
  return rc;
}

int cvl_grouped_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                              float *gx, cvl_err *e) {
  job j = plan(p, false);
  int64_t phases[3];
  int rc = take_room(&j, 1, e);
  j.source = gy;
  j.filter = w;
  j.add = add;
  j.target = gx;
  j.target_size = p->in;
  for (int d = 0; d < 3; d++) phases[d] = min(p->stride[d], p->in[d]);
  if (rc == 0) cvl_parallel_if(is_large(&j), vectors_of(&j), pack, &j);
  for (int64_t i = 0; rc == 0 && i < phases[0] * phases[1] * phases[2]; i++) {
    j.axis[0] = cvl_axis_backward(p, 0, i / phases[2] / phases[1]);
    j.axis[1] = cvl_axis_backward(p, 1, i / phases[2] % phases[1]);
    j.axis[2] = cvl_axis_backward(p, 2, i % phases[2]);
    gather(&j);
  }
  give_room(&j);
  return rc;
}

/* One part of the sum, some lines of gy, for one range of vectors: some lines by some vectors at a time, which stay in a core's
** own cache. */
static void filter_lines(void *context, int64_t task, int worker) {
  const job *j = context;
  int64_t part = task / j->ranges, range = task % j->ranges;
  int64_t begin = part * j->lines / j->parts, end = (part + 1) * j->lines / j->parts;
  int64_t vectors = vectors_of(j), step = vectors_at_a_time(j);
  int64_t first = range * vectors / j->ranges, last = (range + 1) * vectors / j->ranges;
  cvl_grouped_line l = line_of(j);
  float *w = j->w + part * vectors * l.panel;
  (void)worker;
  memset(w + first * l.panel, 0, (size_t)((last - first) * l.panel) * sizeof *w);
  for (int64_t some = begin; some < end; some += LINES)
    for (int64_t v = first; v < last; v += step)
      for (int64_t line = some; line < min(some + LINES, end); line++) {
        int64_t next = 0;
        while (collect(j, line, l.across, w, &l, &next))
          j->kernel->filter[j->kind](&l, v, min(v + step, last),
                                     j->gy + line * l.axis.count * l.taken);
      }
}

int cvl_grouped_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                cvl_err *e) {
  job j = plan(p, false);
  int rc;
  j.source = x;
  j.gy = gy;
  j.gw = gw;
  for (int d = 0; d < 3; d++) j.axis[d] = cvl_axis_forward(p, d);
  j.lines = p->N * j.axis[0].count * j.axis[1].count;
  j.parts = min(MOST_PARTS, j.lines / PART_LINES + 1);
  j.ranges = clamp(ceil_div(TASKS, j.parts), 1, vectors_of(&j));
  if ((rc = take_room(&j, j.parts, e)) == 0) {
    cvl_parallel(j.parts * j.ranges, filter_lines, &j);
    cvl_parallel_if(is_large(&j), vectors_of(&j), unpack, &j);
  }
  give_room(&j);
  return rc;
}

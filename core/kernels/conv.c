#include "kernels/conv.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "kernels/dots.h"
#include "kernels/grouped.h"
#include "kernels/hwcn.h"
#include "kernels/implicit_gemm.h"
#include "kernels/isa.h"
#include "kernels/lines.h"
#include "kernels/patches.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/subpixel.h"
#include "kernels/winograd.h"

typedef enum { GROUPED, WINOGRAD, DIRECT, DOTS, LINES, SUBPIXEL, GEMM, ANY, UNKNOWN } algorithm;

static atomic_int forced = UNKNOWN; /* not asked yet */

int cvl_conv_force(const char *name, cvl_err *e) {
  static const struct {
    const char *name;
    algorithm a;
  } names[] = {{"", ANY},        {"direct", DIRECT},     {"dots", DOTS}, {"grouped", GROUPED},
               {"lines", LINES}, {"subpixel", SUBPIXEL}, {"gemm", GEMM}, {"winograd", WINOGRAD}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i].name) == 0) {
      atomic_store(&forced, (int)names[i].a);
      return 0;
    }
  return cvl_fail(
      e, CVL_EARG, 0,
      "unknown convolution algorithm '%s' (expected direct, dots, grouped, lines, subpixel, winograd or gemm)",
      name);
}

/* A wrong CONVLUA_CONV is reported by main, which forces it first; elsewhere it counts as none. */
static algorithm forced_algorithm(void) {
  const char *name;
  if (atomic_load_explicit(&forced, memory_order_relaxed) == UNKNOWN) {
    name = getenv("CONVLUA_CONV");
    if (name == NULL || cvl_conv_force(name, NULL) != 0) cvl_conv_force("", NULL);
  }
  return (algorithm)atomic_load_explicit(&forced, memory_order_relaxed);
}

/* The share of taps that hit the map; the others meet padding. */
static double hits_of(const cvl_conv *p) {
  double hits = 1;
  for (int d = 0; d < 3; d++) {
    cvl_axis a = cvl_axis_forward(p, d);
    hits *= 1 - cvl_axis_waste(&a);
  }
  return hits;
}

/* Products of the definition. No algorithm but Winograd's does the taps outside the map (implicit_gemm.c), hence the share
** that hits. */
static double direct_work(const cvl_conv *p) {
  double taps = (double)(p->filter[1] * p->filter[2]) * hits_of(p),
         outputs = (double)(p->N * p->out[1] * p->out[2]);
  return taps * outputs * (double)p->C * (double)p->K;
}

/* Winograd when its work is estimated to be less than that of the definition. */
static bool is_less_with_winograd(const cvl_conv *p, cvl_pass pass) {
  return cvl_winograd_work(p, pass) < direct_work(p);
}

/*
** Lines of the filter when channels are too few for patches and positions enough for a tile, or the filter is one line. Not
** for the gradient of the data by several lines, whose target the few channels would be; and for that of the filter, where
** each task has sums of its own, only with many positions.
*/
static bool is_faster_by_lines(const cvl_conv *p, cvl_pass pass) {
  enum { MANY = 8192 };
  if (pass == CVL_FILTER && p->N * p->out[0] * p->out[1] * p->out[2] < MANY) return false;
  return pass != CVL_DATA && p->C <= 8 && p->out[2] >= 8;
}
static bool is_one_line(const cvl_conv *p) {
  return p->filter[0] * p->filter[1] == 1 && p->filter[2] > 1 && p->out[2] >= 8;
}

/*
** Images in the lanes when there are too few channels for vectors along these: either so few of the target's that half of a
** vector stays empty, or so few of the source's that copying patches costs as much as the products, which a filter of one
** tap does not need. A lane without an image is a smaller loss than one without a channel, of which a matrix product has more.
** What meets padding is multiplied like everything else.
*/
static bool is_direct_faster(const cvl_conv *p, cvl_pass pass) {
  int64_t source = pass == CVL_DATA ? p->K : p->C, target = pass == CVL_DATA ? p->C : p->K;
  int64_t taps = p->filter[0] * p->filter[1] * p->filter[2], lanes = cvl_hwcn_lanes();
  double gain =
      1.1; /* with an image in every lane, over a matrix product: measured, on the safe side */
  if (target < lanes) gain = fmin((source < 4 ? 1.5 : 1.1) * (double)lanes / (double)target, 12);
  return (target <= 8 || (taps > 1 && (source <= 8 || source * target <= 256))) &&
         hits_of(p) >= 0.5 && gain * (double)p->N >= (double)round_up(p->N, lanes);
}

/* Few filters, or few channels of the data, and so many on the other side that vectors along these are full and long; but
** images in the lanes are faster if they fill nearly all. */
static bool is_faster_by_dots(const cvl_conv *p, cvl_pass pass) {
  enum { LEAST = 16, LEAST_SUMS = 64 };
  int64_t source = pass == CVL_DATA ? p->K : p->C, lanes = cvl_hwcn_lanes();
  int64_t sums = p->filter[0] * p->filter[1] * p->filter[2] * source;
  bool full = 6 * p->N >= 5 * round_up(p->N, lanes);
  return source >= LEAST && sums >= LEAST_SUMS &&
         !(full && cvl_hwcn_possible(p, pass == CVL_DATA) && is_direct_faster(p, pass));
}

/*
** The phases of a stride at once: for the data's gradient where channels are too few for the vectors of each, as zeros that
** complete the filter, and a pass that lays out the results, cost less then.
*/
static bool is_faster_by_subpixels(const cvl_conv *p) {
  enum { FULL = 32 }; /* channels that fill vectors anyway */
  return p->C < FULL && cvl_subpixel_gain(p) >= 1;
}

/* ... or where Winograd's algorithms take the cells with less work than the definition. The moves of the map are counted, each
** of which takes as long as some products. A single small image has too few tiles to share. */
static bool is_less_by_subpixels(const cvl_conv *p, cvl_pass pass) {
  enum { FEW = 512 }; /* outputs */
  const double move = 12;
  const cvl_conv cells = cvl_subpixel_cells(p);
  double map = (double)(cells.N * cells.in[1] * cells.in[2] * cells.C);
  return cvl_winograd_possible(&cells) && p->N * p->out[1] * p->out[2] >= FEW &&
         cvl_winograd_work(&cells, pass) + move * map < direct_work(p);
}

/* Vectors of filters across groups, unless these are large enough for a matrix product each: with pixels that taps share from 64
** channels or filters on, without from 16, and sooner where the filters, which are packed, meet few positions. With shorter vectors
** than AVX-512's the tiles of a product make more of what they load, from 32 on; not of the filter's gradient. */
static bool is_faster_across_groups(const cvl_conv *p, cvl_pass pass) {
  enum { FEW = 64, LARGE = 16, LARGER = 32, LARGEST = 64 };
  int64_t C = p->C / p->groups, K = p->K / p->groups;
  bool one_tap = p->filter[0] * p->filter[1] * p->filter[2] == 1;
  bool few = p->N * p->out[0] * p->out[1] * p->out[2] < FEW;
  bool shorter = cvl_isa_used() != CVL_ISA_AVX512 && pass != CVL_FILTER && max(C, K) >= LARGER;
  return max(C, K) <= LARGEST && (min(C, K) < LARGE || !(one_tap || few || shorter));
}

static algorithm choose(const cvl_conv *p, cvl_pass pass) {
  algorithm wanted = forced_algorithm();
  bool direct = cvl_hwcn_possible(p, pass == CVL_DATA), winograd = cvl_winograd_possible(p),
       lines = pass == CVL_DATA ? cvl_lines_data_possible(p) : cvl_lines_possible(p),
       subpixel = cvl_subpixel_possible(p), dots = cvl_dots_possible(p, pass == CVL_DATA);
  bool depthwise = p->groups == p->C && p->groups == p->K;
  if (cvl_grouped_possible(p, pass) &&
      (depthwise || wanted == GROUPED || (wanted == ANY && is_faster_across_groups(p, pass))))
    return GROUPED;
  if (wanted != ANY)
    return (wanted == DIRECT && direct) || (wanted == DOTS && dots) ||
                   (wanted == WINOGRAD && winograd) || (wanted == LINES && lines) ||
                   (wanted == SUBPIXEL && subpixel)
               ? wanted
               : GEMM;
  if (lines && is_one_line(p)) return LINES;
  if (winograd && is_less_with_winograd(p, pass)) return WINOGRAD;
  if (subpixel && is_less_by_subpixels(p, pass)) return SUBPIXEL;
  if (lines && is_faster_by_lines(p, pass)) return LINES;
  if (subpixel && pass == CVL_DATA && is_faster_by_subpixels(p)) return SUBPIXEL;
  if (dots && is_faster_by_dots(p, pass)) return DOTS;
  return direct && is_direct_faster(p, pass) ? DIRECT : GEMM;
}

bool cvl_conv_pool_suits(const cvl_conv_pool *p) {
  algorithm wanted = forced_algorithm();
  if ((wanted != ANY && wanted != DIRECT) || !cvl_hwcn_pool_possible(p)) return false;
  return wanted == DIRECT ||
         ((is_direct_faster(&p->conv, CVL_FORWARD) || is_direct_faster(&p->conv, CVL_DATA)) &&
          !(cvl_winograd_possible(&p->conv) && is_less_with_winograd(&p->conv, CVL_FORWARD)));
}

int64_t cvl_conv_pool_marks(const cvl_conv_pool *p) { return cvl_hwcn_pool_marks(p); }

int cvl_conv_pool_forward(const cvl_conv_pool *p, const float *x, const float *w, const float *bias,
                          uint16_t *marks, float *z, cvl_err *e) {
  return cvl_hwcn_pool_forward(p, x, w, bias, marks, z, e);
}

static const struct {
  int (*forward)(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                 float *y, cvl_err *e);
  int (*backward_data)(const cvl_conv *p, const float *gy, const float *w, float *gx, cvl_err *e);
  int (*backward_filter)(const cvl_conv *p, const float *x, const float *gy, float *gw, cvl_err *e);
  /* in place of backward_data, where it can add */
  int (*add_data)(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                  cvl_err *e);
} algorithms[] = {
    [GROUPED] = {cvl_grouped_forward, NULL, cvl_grouped_backward_filter, cvl_grouped_backward_data},
    [WINOGRAD] = {cvl_winograd_forward, NULL, cvl_winograd_backward_filter,
                  cvl_winograd_backward_data},
    [DIRECT] = {cvl_hwcn_forward, cvl_hwcn_backward_data, cvl_hwcn_backward_filter},
    [DOTS] = {cvl_dots_forward, NULL, cvl_dots_backward_filter, cvl_dots_backward_data},
    [LINES] = {cvl_lines_forward, NULL, cvl_lines_backward_filter, cvl_lines_backward_data},
    [SUBPIXEL] = {cvl_subpixel_forward, NULL, cvl_subpixel_backward_filter,
                  cvl_subpixel_backward_data},
    [GEMM] = {cvl_implicit_forward, NULL, cvl_implicit_backward_filter, cvl_implicit_backward_data},
};

int64_t cvl_conv_slots(const cvl_conv *p) {
  algorithm a = choose(p, CVL_FORWARD);
  if (a == SUBPIXEL) {
    cvl_conv cells = cvl_subpixel_cells(p);
    return cvl_conv_slots(&cells);
  }
  return a == WINOGRAD ? cvl_winograd_slots(p) : 0;
}

int cvl_conv_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e) {
  return algorithms[choose(p, CVL_FORWARD)].forward(p, x, w, then, y, e);
}

typedef struct {
  const float *from;
  float *to;
} sum;

static void add_range(void *context, int64_t first, int64_t last) {
  const sum *s = context;
  for (int64_t i = first; i < last; i++) s->to[i] += s->from[i];
}

/* Adds to gx what was made aside of it, if that went well, and gives the memory back. */
static int take_in(float *aside, int64_t n, int rc, float *gx) {
  if (rc == 0) cvl_parallel_range(n, 1 << 14, add_range, &(sum){aside, gx});
  cvl_scratch_give(aside);
  return rc;
}

/* Where an algorithm cannot add to gx its result is made aside, and added in a pass of its own. */
int cvl_conv_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                           cvl_err *e) {
  algorithm a = choose(p, CVL_DATA);
  int64_t n = p->N * p->in[0] * p->in[1] * p->in[2] * p->C;
  float *aside;
  if (algorithms[a].add_data != NULL) return algorithms[a].add_data(p, gy, w, add, gx, e);
  if (!add) return algorithms[a].backward_data(p, gy, w, gx, e);
  if ((aside = cvl_scratch_take(n, e)) == NULL) return -1;
  return take_in(aside, n, algorithms[a].backward_data(p, gy, w, aside, e), gx);
}

int cvl_conv_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e) {
  return algorithms[choose(p, CVL_FILTER)].backward_filter(p, x, gy, gw, e);
}

int cvl_conv_pool_backward(const cvl_conv_pool *p, const float *x, const float *w,
                           const uint16_t *marks, const float *gz, bool add, float *gx, float *gw,
                           float *gb, cvl_err *e) {
  const cvl_conv *c = &p->conv;
  int64_t n = c->N * c->in[0] * c->in[1] * c->in[2] * c->C;
  float *aside;
  if (gx == NULL || !add) return cvl_hwcn_pool_backward(p, x, w, marks, gz, gx, gw, gb, e);
  if ((aside = cvl_scratch_take(n, e)) == NULL) return -1;
  return take_in(aside, n, cvl_hwcn_pool_backward(p, x, w, marks, gz, aside, gw, gb, e), gx);
}

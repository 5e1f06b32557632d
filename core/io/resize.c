/*
** Pillow's resampling (src/libImaging/Resample.c), for RGB: for each output position the weights of
** the input positions under a triangle, as integers with 22 bits after the point; first along the
** rows, rounded to bytes, then along the columns.
*/
#include <math.h>

#include "base/mem.h"
#include "base/pool.h"
#include "io/image.h"

enum { BITS = 32 - 8 - 2 }; /* of a weight after the point: 8 for the pixel, 2 to spare */

typedef struct {
  int64_t first, count; /* input positions under the filter */
  int32_t *weight;
} window;

typedef struct {
  window *window; /* one for each output position */
  int32_t *weights;
} filter;

static void filter_free(filter *f) {
  cvl_free(f->window);
  cvl_free(f->weights);
}

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static int filter_init(filter *f, int64_t in, int64_t out, cvl_err *e) {
  double scale = (double)in / (double)out, stretch = scale > 1 ? scale : 1, shrink = 1 / stretch;
  int64_t most = (int64_t)ceil(stretch) * 2 + 1; /* positions under a triangle */
  f->window = cvl_alloc_array((size_t)out, sizeof *f->window);
  f->weights = cvl_alloc_array((size_t)out, (size_t)most * sizeof *f->weights);
  if (f->window == NULL || f->weights == NULL)
    return cvl_fail_memory(e, (long long)out * most * (long long)sizeof *f->weights);
  for (int64_t i = 0; i < out; i++) {
    window *w = &f->window[i];
    double centre = ((double)i + 0.5) * scale, sum = 0;
    int64_t first = (int64_t)(centre - stretch + 0.5), end = (int64_t)(centre + stretch + 0.5);
    w->first = first > 0 ? first : 0;
    w->count = (end < in ? end : in) - w->first;
    w->weight = f->weights + i * most;
    for (int64_t j = 0; j < w->count; j++)
      sum += triangle(((double)(j + w->first) - centre + 0.5) * shrink);
    for (int64_t j = 0; j < w->count; j++) {
      double part = triangle(((double)(j + w->first) - centre + 0.5) * shrink) / sum;
      w->weight[j] = (int32_t)(part * (1 << BITS) + 0.5);
    }
  }
  return 0;
}

static uint8_t to_byte(int32_t sum) {
  int32_t v = sum >> BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One direction: `step` and `y_step` are the distances, in bytes, between neighbours along it. */
typedef struct {
  const uint8_t *x;
  uint8_t *y;
  const filter *f;
  int64_t out, inner;   /* output positions; bytes beside each other that are treated alike */
  int64_t line, y_line; /* distance between lines that do not touch each other */
  int64_t step, y_step;
} pass;

static void run_lines(void *context, int64_t first, int64_t last) {
  const pass *p = context;
  for (int64_t l = first; l < last; l++)
    for (int64_t i = 0; i < p->out; i++) {
      const window *w = &p->f->window[i];
      const uint8_t *x = p->x + l * p->line + w->first * p->step;
      uint8_t *y = p->y + l * p->y_line + i * p->y_step;
      for (int64_t c = 0; c < p->inner; c++) {
        int32_t sum = 1 << (BITS - 1);
        for (int64_t j = 0; j < w->count; j++) sum += x[j * p->step + c] * w->weight[j];
        y[c] = to_byte(sum);
      }
    }
}

int cvl_image_resize(const uint8_t *rgb, int64_t from_height, int64_t from_width, uint8_t *y,
                     int64_t height, int64_t width, cvl_err *e) {
  filter across = {0}, down = {0};
  uint8_t *middle = NULL; /* {from_height, width, 3} */
  int rc = -1;
  if (height < 1 || width < 1 || height > CVL_IMAGE_MOST_PIXELS / width || from_height < 1 ||
      from_width < 1 || from_height > CVL_IMAGE_MOST_PIXELS / from_width)
    return cvl_fail(e, CVL_EARG, 0,
                    "cannot resize %lld x %lld pixels to %lld x %lld (expected 1..%d pixels)",
                    (long long)from_width, (long long)from_height, (long long)width,
                    (long long)height, CVL_IMAGE_MOST_PIXELS);
  if (filter_init(&across, from_width, width, e) != 0) goto done;
  if (filter_init(&down, from_height, height, e) != 0) goto done;
  if ((middle = cvl_alloc((size_t)(from_height * width * 3))) == NULL) {
    cvl_fail_memory(e, (long long)(from_height * width * 3));
    goto done;
  }
  pass rows = {rgb, middle, &across, width, 3, from_width * 3, width * 3, 3, 3};
  cvl_parallel_range(from_height, 1 + 20000 / width, run_lines, &rows);
  /* Down the columns the lines are the pixels of a row, and neighbours are a row apart. */
  pass columns = {middle, y, &down, height, 3, 3, 3, width * 3, width * 3};
  cvl_parallel_range(width, 1 + 20000 / height, run_lines, &columns);
  rc = 0;
done:
  cvl_free(middle);
  filter_free(&across);
  filter_free(&down);
  return rc;
}

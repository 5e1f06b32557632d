/*
** Convolution with few filters of many channels, as at the end of a network that makes images or marks places in them, and
** the gradient of the data where its channels are few: a matrix product would leave most of its vectors empty. A result is
** the dot product of a line of the source, as it lies, with one of the filter; some positions by all filters are made at
** once. The filter's gradient is vectors of channels times the gradient of each filter. One group. The contracts are those
** of conv.h.
*/
#ifndef CVL_KERNELS_DOTS_H
#define CVL_KERNELS_DOTS_H

#include <stdbool.h>

#include "kernels/conv.h"
#include "kernels/patches.h"

/* One group, nothing empty, few filters; `data`: for the gradient of the data, whose channels are to be few. */
bool cvl_dots_possible(const cvl_conv *p, bool data);
int cvl_dots_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e);
int cvl_dots_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                           cvl_err *e);
int cvl_dots_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e);

enum { CVL_DOTS_MOST = 8, CVL_DOTS_LINES = 16 };

/* One line of positions along the last axis, and the lines that it reads, one per tap of the other axes. */
typedef struct cvl_dots_line {
  cvl_axis axis; /* the last one */
  int64_t C;     /* channels of the source */
  int lines;
  const float *source[CVL_DOTS_LINES]; /* {size, C} */
  float *w[CVL_DOTS_LINES];            /* {taps, C} of the first filter; written by `filter` only */
  int64_t distance;                    /* floats from a filter to the next */
} cvl_dots_line;

/* For a number of filters. */
typedef struct cvl_dots {
  /* y[i * y_step + k] = (add ? itself : 0) + sum over lines, taps and channels of source * w. */
  void (*gather)(const cvl_dots_line *l, bool add, float *y, int64_t y_step);
  /* w += sum over the positions of source * gy {count, filters}, for each line and tap. */
  void (*filter)(const cvl_dots_line *l, const float *gy);
} cvl_dots;

/* The n-th is for n + 1 filters. */
extern const cvl_dots cvl_dots_baseline[CVL_DOTS_MOST], cvl_dots_avx2[CVL_DOTS_MOST],
    cvl_dots_avx512[CVL_DOTS_MOST];

#endif

/*
** Convolution with few filters of many channels, as at the end of a network that makes images or marks places in them, and
** the gradient of the data where these are few: a matrix product would leave most of its vectors empty. A result is the dot
** product of a line of the source, as it lies, with one of the filter; some positions by all filters are made at once. One
** group. The contracts are those of conv.h.
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

enum { CVL_DOTS_MOST = 8, CVL_DOTS_LINES = 16 };

/* One line of positions along the last axis, and the lines that it reads, one per tap of the other axes. */
typedef struct cvl_dots_line {
  cvl_axis axis; /* the last one */
  int64_t C;     /* channels of the source */
  int lines;
  const float *source[CVL_DOTS_LINES]; /* {size, C} */
  const float *w[CVL_DOTS_LINES];      /* {taps, C} of the first filter */
  int64_t distance;                    /* floats from a filter to the next */
} cvl_dots_line;

/* The n-th is for n + 1 filters: y[i * y_step + k] = (add ? itself : 0) + sum over lines, taps and channels of source * w. */
typedef void cvl_dots_kernel(const cvl_dots_line *l, bool add, float *y, int64_t y_step);
extern cvl_dots_kernel *const cvl_dots_baseline[CVL_DOTS_MOST],
    *const cvl_dots_avx2[CVL_DOTS_MOST], *const cvl_dots_avx512[CVL_DOTS_MOST];

#endif

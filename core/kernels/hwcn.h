/*
** Direct convolution with one image per lane. Vectors over channels are mostly empty where there are only a few of them;
** here blocks of as many images as a vector has lanes are rearranged to HWCN, the images innermost, as Krizhevsky's
** cuda-convnet has them, and every vector is full whatever the number of channels. Any size, stride, padding and
** dilation; one group. The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_HWCN_H
#define CVL_KERNELS_HWCN_H

#include <stdbool.h>

#include "kernels/conv.h"

/* One group, nothing empty, and rows that leave the scratch memory within bounds; `data`: for the gradient of the data,
** which needs strides of 1. */
bool cvl_hwcn_possible(const cvl_conv *p, bool data);
/* Images that are worked on together, and so the number of which N had better be a multiple. */
int cvl_hwcn_lanes(void);

/* With a pooling behind it: these four are conv.h's cvl_conv_pool_*. Strides are 1. */
bool cvl_hwcn_pool_possible(const cvl_conv_pool *p);
int64_t cvl_hwcn_pool_marks(const cvl_conv_pool *p);
int cvl_hwcn_pool_forward(const cvl_conv_pool *p, const float *x, const float *w, const float *bias,
                          uint16_t *marks, float *z, cvl_err *e);
int cvl_hwcn_pool_backward(const cvl_conv_pool *p, const float *x, const float *w,
                           const uint16_t *marks, const float *gz, float *gx, float *gw, float *gb,
                           cvl_err *e);

int cvl_hwcn_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                     float *y, cvl_err *e);
int cvl_hwcn_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                           cvl_err *e);
int cvl_hwcn_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e);

/* Rows of positions, and where their inputs lie. All distances are in floats. */
typedef struct cvl_hwcn_rows {
  const float *x;    /* {..., lanes}: what the first tap meets at the first position */
  int64_t row, step; /* from there to the next row's and the next position's */
  int64_t rows, positions;
  const int64_t *
      offset; /* {sums + CVL_HWCN_SPARE}: of each tap and channel; behind the last, any that is valid */
  int64_t sums;     /* taps * channels */
  int64_t K, pitch; /* filters; from one position of the target to the next */
  /* Forward leaves out what meets padding: sums come in lines of `line`, of which [first_line, last_line) are made; of
  ** each, at position q, those from first[q] to last[q]. Neither grows with q. */
  int64_t line, first_line, last_line;
  const int64_t *first, *last; /* {positions} */
} cvl_hwcn_rows;

enum { CVL_HWCN_SPARE = 8 };

/* A row of windows side by side, each `high` by `wide`; see cvl_conv_pool. */
typedef struct cvl_hwcn_windows {
  bool relu, max;
  int64_t high, wide, count, K;
} cvl_hwcn_windows;

/* The kernels, one set per ISA. Filters are taken in tiles of `width`, the last one of what is left. */
typedef struct cvl_hwcn {
  int lanes;
  int width; /* at most */
  int held; /* sums in registers: tiles are of `width` filters by held / width positions or taps, CVL_HWCN_SPARE at most */
  /* to {n, lanes}: n floats from each of `images` rows that lie `distance` apart; zeros in the lanes that are left. */
  void (*spread)(const float *from, int64_t distance, int64_t images, int64_t n, float *to);
  /* The inverse. */
  void (*collect)(const float *from, int64_t n, float *to, int64_t distance, int64_t images);
  /* y {positions, pitch}, of one row, from w {tiles, sums, width of the tile} and bias {K} or NULL. */
  void (*forward)(const cvl_hwcn_rows *r, const float *w, int width, const float *bias, float *y);
  /* `then`, which has no residual, done to y {positions, K, lanes}. */
  void (*finish)(const cvl_epilogue *then, int64_t positions, int64_t K, float *y);
  /* z {count, K, lanes} from y {high, count * wide, K, lanes}, and the marks of these, without lanes, or NULL. */
  void (*pool)(const cvl_hwcn_windows *v, const float *y, uint16_t *marks, float *z);
  /* gy {count * wide, pitch}, of one row of y, from gz {count, K, lanes}; sum {K, lanes} += gy, unless it is NULL. */
  void (*unpool)(const cvl_hwcn_windows *v, const float *gz, const uint16_t *marks, float *gy,
                 int64_t pitch, float *sum);
  /* acc {K, sums + CVL_HWCN_SPARE, lanes} += x gy, summed over all rows and positions. */
  void (*filter)(const cvl_hwcn_rows *r, const float *gy, int width, float *acc);
  /* gw {sums, K}: the lanes of acc added up. */
  void (*reduce)(const float *acc, int64_t sums, int64_t K, int width, float *gw);
} cvl_hwcn;

extern const cvl_hwcn cvl_hwcn_baseline, cvl_hwcn_avx2, cvl_hwcn_avx512;

#endif

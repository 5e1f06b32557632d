/*
** Convolution by 3 x 3 filters with stride 1 as F(4x4, 3x3): tiles of 4 x 4 outputs from 6 x 6 inputs with 36 products
** where the definition has 144 (Winograd 1980; Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
** arXiv:1509.09308). The interpolation points are 0, +-5/8, +-11/8 and infinity: half the rounding error of the usual
** 0, +-1, +-2 (relative error about 1e-6 with 64 channels, 2.5e-6 with 512) at the same cost.
**   y = A^T [ sum over channels (G w G^T) . (B^T x B) ] A
** Every product of two matrices of one of the 36 places, over all tiles and channels, is a plain matrix product.
*/
#ifndef CVL_KERNELS_WINOGRAD_H
#define CVL_KERNELS_WINOGRAD_H

#include <stdbool.h>

#include "kernels/conv.h"

/* Two spatial axes, 3 x 3, stride and dilation 1, one group, at least one output. */
bool cvl_winograd_possible(const cvl_conv *p);

/* The contracts are those of conv.h, for such a problem. */
int cvl_winograd_forward(const cvl_conv *p, const float *x, const float *w, const float *bias,
                         float *y, cvl_err *e);
int cvl_winograd_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                               cvl_err *e);
int cvl_winograd_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e);

/*
** The transforms, one per ISA. A plane is one of the 36 places of a tile, and lies `plane` floats from the next. Channels
** are stored in chunks of CVL_CHUNK or panels, `chunk` or `panel` floats apart, and written as whole vectors.
*/
typedef struct cvl_winograd {
  /* v = B^T d B of one tile, from its 36 pixels {C}. */
  void (*input)(const float *const pixel[36], int64_t C, float *v, int64_t plane, int64_t chunk);
  /* y = A^T m A + bias, m {36 planes, columns}: 16 pixels {columns}, NULL where the tile sticks out of y. */
  void (*output)(const float *m, int64_t plane, int64_t columns, const float *bias,
                 float *const pixel[16]);
  /* z = A d A^T, from the 16 pixels {K} of a tile of gy, to panels of `nr` columns. */
  void (*gradient)(const float *const pixel[16], int64_t K, float *z, int64_t plane, int64_t panel,
                   int nr);
  /* u = G w G^T for `rows` source channels of one panel of nr target channels, `columns` of which there are: u {36
  ** planes, rows, nr}. Tap t, row i, column j of the filter is w[t * tap + i * row + j * column]; backwards, taps are
  ** taken from the last to the first. */
  void (*filter)(const float *w, int64_t tap, int64_t row, int64_t column, bool backwards,
                 int64_t rows, int64_t columns, int nr, float *u, int64_t plane);
  /* gw = G^T u G, u {36 planes, n}, gw {9, n} with its taps `tap` floats apart. */
  void (*filter_gradient)(const float *u, int64_t plane, int64_t n, float *gw, int64_t tap);
} cvl_winograd;

extern const cvl_winograd cvl_winograd_baseline, cvl_winograd_avx2, cvl_winograd_avx512;
const cvl_winograd *cvl_winograd_used(void);

/* The grid of tiles over a map {images, P, Q}. */
typedef struct cvl_tiling {
  int64_t P, Q, high, wide, tiles; /* tiles down, across, in all images */
} cvl_tiling;

cvl_tiling cvl_tiling_of(int64_t images, int64_t P, int64_t Q);

/* Pointers to the 36 pixels that a tile reads from x {images, H, W, C} when its first is `top`, `left` beside the tile's
** own first; `zeros` {C} stands for those outside. */
void cvl_tile_inputs(const cvl_tiling *g, int64_t tile, const float *x, int64_t H, int64_t W,
                     int64_t C, int64_t top, int64_t left, const float *zeros,
                     const float *pixel[36]);
/* The index of the tile's 16 pixels in {images, P, Q}, -1 for those outside. */
void cvl_tile_outputs(const cvl_tiling *g, int64_t tile, int64_t index[16]);

#endif

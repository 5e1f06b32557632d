/*
** Convolution by 3 x 3 filters as F(4x4, 3x3): tiles of 4 x 4 outputs from 6 x 6 inputs with 36 products where the
** definition has 144 (Winograd 1980; Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
** arXiv:1509.09308). The interpolation points are 0, +-5/8, +-11/8 and infinity: half the rounding error of the usual
** 0, +-1, +-2 (relative error about 1e-6, with 64 channels as with 2048) at the same cost.
**   y = A^T [ sum over channels (G w G^T) . (B^T x B) ] A
** Every product of two matrices of one of the 36 places, over all tiles and channels, is a plain matrix product. With
** stride 2 the same is done by phases, with 81 products that are added up in 25 places (polyphase.h); on a map of 2 x 2,
** where most taps meet padding, with 9 (winograd_two.h). Filters of 3 along one axis, 1 along the other, as conv1d's, are
** F(4, 3): 6 products for 12. Filters of 4 x 4 are F(4x4, 4x4): 49 products for 256 (winograd_four.h).
*/
#ifndef CVL_KERNELS_WINOGRAD_H
#define CVL_KERNELS_WINOGRAD_H

#include <stdbool.h>

#include "kernels/conv.h"

/* Two spatial axes, 3 x 3, one stride of 1 or 2 for both; or 4 x 4, stride 1; or 3 along one axis, stride 1, and as many
** outputs as inputs along the other. Dilation 1, one group, nothing empty. */
bool cvl_winograd_possible(const cvl_conv *p);

/* An estimate of the work of one pass of such a problem, in multiply-adds of the definition that take as long. */
double cvl_winograd_work(const cvl_conv *p, cvl_pass pass);

/* The contracts are those of conv.h, for such a problem. */
int cvl_winograd_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e);
/* cvl_conv_slots() of conv.h. */
int64_t cvl_winograd_slots(const cvl_conv *p);
int cvl_winograd_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e);
int cvl_winograd_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e);

/* Pixels that a tile reads and writes along one axis: at most these. */
enum { CVL_MOST_READS = 9, CVL_MOST_WRITES = 8 };

/* A place of the target gets the product of one of the source's, which is read, and one of the filter's. */
typedef struct cvl_product {
  unsigned char source, filter, target;
} cvl_product;

enum { CVL_MOST_PRODUCTS = 9 }; /* along an axis */

/*
** An algorithm, one per ISA. A plane holds one of the places of all tiles, {sources, sources} of what is read, {filters,
** filters} of the filter, {targets, targets} of what is written, and lies `plane` floats from the next. Along an axis they
** meet in `product`; the gradient of the filter reads the targets' planes and makes the filter's.
** Channels are stored in chunks of CVL_CHUNK or in panels, `chunk` or `panel` floats apart, and written as whole vectors.
** Where `past` is told, whole lines go past the caches, if operands are floats and the CPU can: planes and chunks, or panels,
** are then multiples of a line apart; the caller ends with cvl_past_end(), once for many tiles, as that waits for memory.
** With bfloat16 operands, two neighbours in a sum share the room of a float (tile.h): two channels in `input` and `filter`;
** two tiles in `sum_input` and `gradient`, where [0] writes the first of them and zeros for the second, and [1] the second.
*/
typedef struct cvl_winograd {
  int pack; /* operands in the room of a float, 1 or 2 */
  int axes; /* 1 or 2; along one alone a tile is one pixel broad, and all below that is square is a line */
  int reads, step,
      writes; /* pixels that a tile reads; from its first to the next tile's first; that it writes */
  int taps;   /* of the filter, along an axis */
  int sources, filters, targets, products;
  cvl_product product[CVL_MOST_PRODUCTS];
  int inset; /* pixels of padding before and after a map that its tiles leave out */
  int last;  /* the target's place that a tile's last pixel alone takes, along an axis, or -1 */
  /* v = B^T d B of one tile, from its {reads, reads} pixels {C}. */
  void (*input)(const float *const *pixel, int64_t C, float *v, int64_t plane, int64_t chunk,
                bool past);
  /* The same where the sum is over tiles, from which a filter's gradient is made. */
  void (*sum_input[2])(const float *const *pixel, int64_t C, float *v, int64_t plane, int64_t chunk,
                       bool past);
  /* y = A^T m A and `then`, m {targets, targets, columns}: {writes, writes} pixels {columns}, NULL where the tile sticks
  ** out, with their residuals, or NULL; after a shift at most their moments are added up, unless NULL. `past` the caches, if the CPU can, when columns are a multiple of 16 and pixels
  ** aligned to 64 bytes. */
  void (*output)(const float *m, int64_t plane, int64_t columns, const cvl_epilogue *then,
                 const float *const *residual, const cvl_moments *moments, float *const *pixel,
                 bool past);
  /* z = A d A^T, from the {writes, writes} pixels {K} of a tile of gy, to panels of `nr` columns. */
  void (*gradient[2])(const float *const *pixel, int64_t K, float *z, int64_t plane, int64_t panel,
                      int nr, bool past);
  /* u = G w G^T for `rows` source channels of one panel of nr target channels, `columns` of which there are: u
  ** {planes, rows / pack, nr}. Tap {r, s}, row i, column j of the filter is w[r * tap[0] + s * tap[1] + i * row + j * column].
  */
  void (*filter)(const float *w, const int64_t tap[2], int64_t row, int64_t column, int64_t rows,
                 int64_t columns, int nr, float *u, int64_t plane, bool past);
  /* gw = G^T u G, u {planes, n}, gw {taps, n} with its taps `tap` floats apart. */
  void (*filter_gradient)(const float *u, int64_t plane, int64_t n, float *gw, int64_t tap);
} cvl_winograd;

extern const cvl_winograd cvl_winograd_unit_baseline, cvl_winograd_unit_avx2,
    cvl_winograd_unit_avx512;
extern const cvl_winograd cvl_winograd_line_baseline, cvl_winograd_line_avx2,
    cvl_winograd_line_avx512;
extern const cvl_winograd cvl_winograd_two_baseline, cvl_winograd_two_avx2, cvl_winograd_two_avx512;
extern const cvl_winograd cvl_winograd_four_baseline, cvl_winograd_four_avx2,
    cvl_winograd_four_avx512;
extern const cvl_winograd cvl_polyphase_baseline, cvl_polyphase_avx2, cvl_polyphase_avx512;
extern const cvl_winograd cvl_polyphase_back_baseline, cvl_polyphase_back_avx2,
    cvl_polyphase_back_avx512;

/* With bfloat16 operands. */
extern const cvl_winograd cvl_winograd_unit_bf16_baseline, cvl_winograd_unit_bf16_avx2,
    cvl_winograd_unit_bf16_avx512, cvl_winograd_unit_bf16_avx512_bf16;
extern const cvl_winograd cvl_winograd_line_bf16_baseline, cvl_winograd_line_bf16_avx2,
    cvl_winograd_line_bf16_avx512, cvl_winograd_line_bf16_avx512_bf16;
extern const cvl_winograd cvl_winograd_two_bf16_baseline, cvl_winograd_two_bf16_avx2,
    cvl_winograd_two_bf16_avx512, cvl_winograd_two_bf16_avx512_bf16;
extern const cvl_winograd cvl_winograd_four_bf16_baseline, cvl_winograd_four_bf16_avx2,
    cvl_winograd_four_bf16_avx512, cvl_winograd_four_bf16_avx512_bf16;
extern const cvl_winograd cvl_polyphase_bf16_baseline, cvl_polyphase_bf16_avx2,
    cvl_polyphase_bf16_avx512, cvl_polyphase_bf16_avx512_bf16;
extern const cvl_winograd cvl_polyphase_back_bf16_baseline, cvl_polyphase_back_bf16_avx2,
    cvl_polyphase_back_bf16_avx512, cvl_polyphase_back_bf16_avx512_bf16;

/* For a problem that is possible; `back` is the gradient of the data. */
const cvl_winograd *cvl_winograd_used(const cvl_conv *p, bool back);
/* Whether the gradient of the filter is summed up in parts of the tiles, whose transforms stay in a core's own cache. */
bool cvl_winograd_in_parts(const cvl_conv *p, const cvl_winograd *a, int64_t tiles);
/* Whether it is along axis d of conv.h. */
bool cvl_winograd_along(const cvl_conv *p, int d);
/* Planes, for so many places along an axis. */
int cvl_winograd_planes(const cvl_winograd *a, int places);

/* The products of planes, of[first[i]] to of[first[i + 1] - 1] being those that are added up in plane i, of the target or of
** the filter. */
typedef struct cvl_products {
  cvl_product of[CVL_MOST_PRODUCTS * CVL_MOST_PRODUCTS];
  unsigned char first[CVL_MOST_PRODUCTS * CVL_MOST_PRODUCTS + 1];
} cvl_products;

void cvl_products_by_target(const cvl_winograd *a, cvl_products *out);
void cvl_products_by_filter(const cvl_winograd *a, cvl_products *out);

/* A map {images, H, W, C} under a grid of {images, high, wide} tiles: the first pixel of tile {n, p, q} is row
** p * step[0] - top, column q * step[1] - left of image n, and a tile is size {rows, columns}. An axis that is mirrored is
** counted from its end. */
typedef struct cvl_tiled {
  int64_t H, W, C, top, left, step[2], size[2], high, wide;
  bool mirrored[2];
  int64_t offset[CVL_MOST_READS * CVL_MOST_READS]; /* of a tile's pixels from its first */
} cvl_tiled;

/* The rest of a map whose extent and direction are set. Steps and sizes are those where the algorithm is along an axis;
** elsewhere they are 1. */
void cvl_tiled_set(cvl_tiled *g, const cvl_conv *p, int64_t step, int64_t size);

/* Pointers to the pixels of a tile; `outside` for those that lie outside the map. */
void cvl_tile_pixels(const cvl_tiled *g, int64_t tile, float *map, float *outside, float **pixel);
/* The same for a map that is read. */
void cvl_tile_pixels_read(const cvl_tiled *g, int64_t tile, const float *map, const float *outside,
                          const float **pixel);
/*
** Some tiles in an order in which those that have their last row of pixels lie side by side, and so do those that have their
** last column: at a map's end tiles may stick out, and then need no products in the places that these pixels alone take.
** Tiles that miss the column come first, then whole ones, then those that miss the row, and at last those that miss both.
*/
typedef struct cvl_order {
  int64_t *tile; /* {count} */
  int64_t count;
  int64_t begin[4], end[4]; /* of those that have neither for sure, the column, the row, both */
} cvl_order;

/* Tiles [first, first + count) of a map that is written into the order's `tile`. */
void cvl_order_set(cvl_order *o, const cvl_tiled *g, int64_t first, int64_t count);
/* Which of the order's tiles a plane of the target needs: an index of begin and end. */
int cvl_order_needed(const cvl_winograd *a, const cvl_tiled *g, int plane);

/* Asks for channels [c, c + channels) of the tile's part of the map, while the tile before it is transformed. */
void cvl_tile_prefetch(const cvl_tiled *g, int64_t tile, const float *map, int64_t c,
                       int64_t channels);

#endif

/*
** Which inputs a convolution reads, axis by axis, for any of its passes, and the copying of them into blocks of A.
**
** An axis has `count` positions and `taps`; tap t of position i reads the source at offset + i * step + t * spread, which
** counts as zero outside 0..size-1. Forward, the source is x and the positions are outputs. For the gradient of the
** data the source is gy and the positions are the inputs that leave one remainder when divided by the stride: each
** remainder is a phase with taps of its own, so that no zeros between the elements of gy are ever multiplied.
*/
#ifndef CVL_KERNELS_PATCHES_H
#define CVL_KERNELS_PATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv.h"
#include "kernels/tile.h"

typedef struct cvl_axis {
  int64_t size, count, step;
  int64_t taps, offset, spread; /* spread > 0 */
  int64_t filter, filter_step;  /* tap t is the filter's tap filter + t * filter_step */
  int64_t origin, stride;       /* position i is the target's index origin + i * stride */
} cvl_axis;

cvl_axis cvl_axis_forward(const cvl_conv *p, int d);
/* Phase 0 .. min(stride, in) - 1. It may have no taps at all. */
cvl_axis cvl_axis_backward(const cvl_conv *p, int d, int64_t phase);

/* The same axis cut down to positions [i, i + count) and taps [t, t + taps). */
cvl_axis cvl_axis_part(cvl_axis a, int64_t i, int64_t count, int64_t t, int64_t taps);
/* The positions [*first, *last) at which some tap of [t, t + taps) hits the source, in one stretch without regard to
** gaps; and the taps that hit it from position i. Empty ranges have *first == *last. */
void cvl_axis_positions(const cvl_axis *a, int64_t t, int64_t taps, int64_t *first, int64_t *last);
void cvl_axis_taps(const cvl_axis *a, int64_t i, int64_t *first, int64_t *last);
/* The part of all pairs of position and tap that lie outside the source, 0 to 1. */
double cvl_axis_waste(const cvl_axis *a);

/* Positions along the last of three axes are a line; lines are counted by image, first and second axis. The source's line that
** such a line meets with the n-th pair of taps of the first two axes, or -1 outside the source; and where its position 0 is
** in the target, {images, size[0..2]}, in positions. */
int64_t cvl_axis_line_met(const cvl_axis axis[3], int64_t line, int64_t pair);
int64_t cvl_axis_line_target(const cvl_axis axis[3], int64_t line, const int64_t size[3]);

/* Positions n, i0, i1, i2 (the last fastest) by taps t0, t1, t2 and channels (fastest), as a matrix. */
typedef struct cvl_patches {
  const float *source; /* at the first channel wanted */
  int64_t pitch;       /* channels of the source */
  int64_t depth;       /* channels wanted */
  int64_t images;
  cvl_axis axis[3];
} cvl_patches;

/* Whether row r is the source's row r, `depth` of its `pitch` channels: one tap that meets every position once. */
bool cvl_patches_are_rows(const cvl_patches *p);

int64_t cvl_patches_rows(const cvl_patches *p);
int64_t cvl_patches_columns(const cvl_patches *p);

/* Rows [r, r + rows) and columns [k, k + columns), at most CVL_BLOCK_K, to block[i * CVL_BLOCK_ROW + j]. */
void cvl_patches_copy(const cvl_patches *p, int64_t r, int64_t rows, int64_t k, int64_t columns,
                      float *block);

/* What these rows read of the source, all columns, but with what lies between: a piece for each image, `rows` at most.
** Nothing where that is too much to be kept in a core's own cache, or mostly not wanted. Returns their number. */
int cvl_patches_soon(const cvl_patches *p, int64_t r, int64_t rows, cvl_soon *out);

/* row[i] = target + pitch * the position in the target, {images, size[0..2]}, that row r + i belongs to. */
void cvl_patches_targets(const cvl_patches *p, int64_t r, int64_t rows, float *target,
                         const int64_t size[3], int64_t pitch, float **row);

/* Of patches of one tap, all inside the source: rows [r, r + rows) as stretches, at most `rows` of them, a where the source
** has them, axis[2].step * p->pitch floats apart, b where the target has them, `pitch` floats apart. Returns their number. */
int cvl_patches_stretches(const cvl_patches *p, int64_t r, int64_t rows, const float *target,
                          const int64_t size[3], int64_t pitch, cvl_stretch *out);

#endif

/*
** A strided convolution with all phases of its strides at once: the inputs of a cell, `stride` by `stride` of them, become
** the channels of one pixel of a convolution with stride 1 (pixel unshuffle), and the data's gradient is laid out from the
** cells' (the sub-pixel convolution of Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution",
** arXiv:1609.05158). Where channels are few they fill vectors so, and 5 x 5 to 8 x 8 filters with stride 2 become those of
** 3 x 3 or 4 x 4 that Winograd's algorithms take. The planner picks the algorithm for the cells. One group, no dilation, no
** negative padding. The contracts are those of conv.h.
*/
#ifndef CVL_KERNELS_SUBPIXEL_H
#define CVL_KERNELS_SUBPIXEL_H

#include <stdbool.h>

#include "kernels/conv.h"

bool cvl_subpixel_possible(const cvl_conv *p);

/* The convolution of the cells. */
cvl_conv cvl_subpixel_cells(const cvl_conv *p);

/* How many times fewer products of the definition the data's gradient makes, counting zeros of the filter and empty lanes,
** than phase by phase. */
double cvl_subpixel_gain(const cvl_conv *p);

int cvl_subpixel_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e);
int cvl_subpixel_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e);
int cvl_subpixel_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e);

#endif

/*
** The gradient of the data of a strided convolution with few channels, all phases at once: the inputs that `stride` by
** `stride` steps reach become the channels of a convolution of gy with stride 1, whose results are then laid out to their
** places. That is the sub-pixel convolution of Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution",
** arXiv:1609.05158. Phase by phase, as in implicit_gemm.c, vectors would be as empty as the channels are few. One group, no
** dilation, no negative padding. The contract is that of conv.h.
*/
#ifndef CVL_KERNELS_SUBPIXEL_H
#define CVL_KERNELS_SUBPIXEL_H

#include <stdbool.h>

#include "kernels/conv.h"

bool cvl_subpixel_possible(const cvl_conv *p);

/* How many times fewer products are made, with zeros of the filter and in empty lanes, than phase by phase. */
double cvl_subpixel_gain(const cvl_conv *p);

int cvl_subpixel_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e);

#endif

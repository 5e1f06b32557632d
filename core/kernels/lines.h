/*
** Convolution of few channels whose filters fill vectors, forward and both gradients: of the data with a stride of 1, as a
** convolution of gy. A line of the filter, its last spatial axis with the channels, meets a line of x that lies side by side
** in memory, so that all are matrix products of x, or gy, as it lies, without patches: all that is copied is x with its
** padding. One group, no dilation along the lines; lines of the filter that meet only padding are left out. The contracts
** are those of conv.h.
*/
#ifndef CVL_KERNELS_LINES_H
#define CVL_KERNELS_LINES_H

#include <stdbool.h>

#include "kernels/conv.h"

/* One group, nothing empty, lines without gaps, few enough channels, and filters that fill whole tiles. */
bool cvl_lines_possible(const cvl_conv *p);

int cvl_lines_forward(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                      float *y, cvl_err *e);
/* The same for the gradient of the data: its channels fill tiles, filters are few, strides are 1. */
bool cvl_lines_data_possible(const cvl_conv *p);
int cvl_lines_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add, float *gx,
                            cvl_err *e);
int cvl_lines_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                              cvl_err *e);

#endif

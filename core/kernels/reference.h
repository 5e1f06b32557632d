/*
** Convolution in double precision, written straight from the definition in conv.h: what the tests compare with, and what
** the float64 ops run. Sums are taken in a fixed order, so the bits do not depend on the number of threads.
*/
#ifndef CVL_KERNELS_REFERENCE_H
#define CVL_KERNELS_REFERENCE_H

#include "kernels/conv.h"

/* All tensors dense, shapes as in conv.h. The result is written, not added to, but for gx with `add`. `bias` {K} or NULL. */
void cvl_reference_conv_forward(const cvl_conv *p, const double *x, const double *w,
                                const double *bias, double *y);
void cvl_reference_conv_backward_data(const cvl_conv *p, const double *gy, const double *w,
                                      bool add, double *gx);
void cvl_reference_conv_backward_filter(const cvl_conv *p, const double *x, const double *gy,
                                        double *gw);

#endif

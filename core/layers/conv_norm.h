/*
** y = norm(conv(x), residual), as the two layers would give it one after the other. In inference, when no gradient is
** recorded and the normalization has its statistics, in one pass where there is a kernel for that (ops/conv_norm.c); the
** rounding of the two ways differs. `residual` may be NULL. On success *y holds one reference.
*/
#ifndef CVL_LAYERS_CONV_NORM_H
#define CVL_LAYERS_CONV_NORM_H

#include "layers/layer.h"

int cvl_conv_norm(cvl_layer *conv, cvl_layer *norm, cvl_tensor *x, cvl_tensor *residual,
                  cvl_tensor **y, cvl_err *e);

#endif

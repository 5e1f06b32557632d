/*
** y = pool(conv(x)), as the two layers would give it one after the other; where there is a kernel for that which is faster
** (ops/conv_pool.c), in one pass, with gradients or without. On success *y holds one reference.
*/
#ifndef CVL_LAYERS_CONV_POOL_H
#define CVL_LAYERS_CONV_POOL_H

#include "layers/layer.h"

int cvl_conv_pool_layers(cvl_layer *conv, cvl_layer *pool, cvl_tensor *x, cvl_tensor **y,
                         cvl_err *e);

#endif

/*
** Two layers as one op where there is a kernel for that, as the two would give it one after the other where there is none.
** `residual` may be NULL. On success *y holds one reference.
*/
#ifndef CVL_LAYERS_JOINED_H
#define CVL_LAYERS_JOINED_H

#include "layers/layer.h"

/* y = norm(conv(x), residual). In training ops/conv_batch_norm.c; in inference, when no gradient is recorded and the
** normalization has its statistics, ops/conv_norm.c, one pass. Rounding differs from that of two ops. */
int cvl_conv_norm(cvl_layer *conv, cvl_layer *norm, cvl_tensor *x, cvl_tensor *residual,
                  cvl_tensor **y, cvl_err *e);

/* y = pool(conv(x)). One pass (ops/conv_pool.c) where that is faster, with gradients or without. */
int cvl_conv_pool_layers(cvl_layer *conv, cvl_layer *pool, cvl_tensor *x, cvl_tensor **y,
                         cvl_err *e);

#endif

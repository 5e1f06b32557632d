#ifndef CVL_OPS_CONV_POOL_H
#define CVL_OPS_CONV_POOL_H

#include "ops/conv.h"
#include "ops/pool.h"

typedef struct cvl_conv_pool_options {
  cvl_conv_options conv;
  bool relu, max;  /* the largest of a window, or the mean */
  cvl_ints window; /* sizes, one per spatial axis */
} cvl_conv_pool_options;

/* Fills *o for pool(act(conv(x, w))) and tells whether conv_pool does that, and faster than op after op; `pool` are
** max_pool's or avg_pool's options, or NULL for none. x and w as of conv, fitting or not. */
bool cvl_conv_pool_options_for(cvl_conv_pool_options *o, const cvl_tensor *x, const cvl_tensor *w,
                               const cvl_conv_options *conv, bool relu, bool max,
                               const cvl_pool_options *pool);

extern const cvl_op cvl_op_conv_pool;

#endif

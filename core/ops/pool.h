#ifndef CVL_OPS_POOL_H
#define CVL_OPS_POOL_H

#include "ops/op.h"
#include "ops/window.h"

/* Of max_pool and avg_pool of any rank, and of the internal ops that are their gradients. */
typedef struct cvl_pool_options {
  cvl_ints pool_size, strides; /* strides {0}: left out, the same as pool_size */
  cvl_padding padding;
  bool ceil_mode;
  bool
      count_padding; /* average only: divide by the window's places inside the padded input, not inside the input */
  cvl_ints size; /* gradients: the spatial sizes of their result */
} cvl_pool_options;

/* The sizes of a pooling of x with `axes` spatial axes. */
int cvl_pool_window(cvl_window *w, const cvl_shape *x, int axes, const cvl_pool_options *o,
                    cvl_err *e);

extern const cvl_op cvl_op_max_pool1d, cvl_op_max_pool2d, cvl_op_max_pool3d, cvl_op_avg_pool1d,
    cvl_op_avg_pool2d, cvl_op_avg_pool3d, cvl_op_global_avg_pool, cvl_op_global_max_pool;

#endif

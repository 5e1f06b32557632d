/* Convolution as C functions: for transposed_conv.c, for layers and for tests. */
#ifndef CVL_OPS_CONV_H
#define CVL_OPS_CONV_H

#include "ops/op.h"
#include "ops/window.h"

/* Of conv1d, conv2d, conv3d and of the internal conv_data and conv_filter. */
typedef struct cvl_conv_options {
  cvl_ints strides;
  cvl_padding padding;
  cvl_ints dilations;
  int64_t groups;
  cvl_ints size; /* conv_data: the spatial sizes of its result; conv_filter: those of the filter */
} cvl_conv_options;

typedef struct cvl_transposed_conv_options {
  cvl_ints strides;
  cvl_padding padding;
  cvl_ints output_padding, dilations;
} cvl_transposed_conv_options;

/* The sizes of conv<axes>d(x, w): what conv's shape rule runs, and what a layer counts with. Errors as of the op. */
int cvl_conv_window(cvl_window *geometry, const cvl_shape *x, const cvl_shape *w,
                    const cvl_conv_options *o, cvl_err *e);
/* The same for transposed_conv<axes>d, whose filter is {(spatial), out, in}. */
int cvl_transposed_conv_window(cvl_window *geometry, const cvl_shape *x, const cvl_shape *w,
                               const cvl_transposed_conv_options *o, cvl_err *e);

extern const cvl_op cvl_op_conv1d, cvl_op_conv2d, cvl_op_conv3d, cvl_op_conv_data,
    cvl_op_conv_filter, cvl_op_transposed_conv1d, cvl_op_transposed_conv2d;

#endif

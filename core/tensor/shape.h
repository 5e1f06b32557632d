/*
** Shapes and strides. A shape holds sizes from the outermost axis to the innermost; strides count elements and may be 0
** (expanded axes) or negative (reversed slices). The core counts axes from 0; messages count from 1, as Lua users do.
*/
#ifndef CVL_TENSOR_SHAPE_H
#define CVL_TENSOR_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { CVL_MAX_DIM = 8 };

typedef struct cvl_shape {
  int ndim;
  int64_t dim[CVL_MAX_DIM];
} cvl_shape;

/* Product of the sizes; 1 for a scalar. Shapes that tensors have never overflow (cvl_shape_check). */
int64_t cvl_shape_count(const cvl_shape *s);
/* Errors when a size is negative, there are more than CVL_MAX_DIM, or count * elem_size exceeds PTRDIFF_MAX. */
int cvl_shape_check(const cvl_shape *s, int64_t elem_size, cvl_err *e);
bool cvl_shape_equal(const cvl_shape *a, const cvl_shape *b);
/* The shape both broadcast to by NumPy's rule; CVL_ESHAPE with both shapes in the message. */
int cvl_shape_broadcast(const cvl_shape *a, const cvl_shape *b, cvl_shape *y, cvl_err *e);
/* Dense row-major strides. */
void cvl_shape_strides(const cvl_shape *s, int64_t stride[CVL_MAX_DIM]);
/* "{2, 3, 4}" into `text`, which is returned; cut when it does not fit. */
enum { CVL_SHAPE_TEXT = 8 * 22 };
char *cvl_shape_text(const cvl_shape *s, char text[CVL_SHAPE_TEXT]);
/* An axis from the user (0-based or negative from the end) as 0..ndim-1, or -1 with an error. `what` as in "axis". */
int cvl_axis(int64_t axis, int ndim, const char *what, cvl_err *e);

#endif

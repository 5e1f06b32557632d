/*
** How parameters start. All draw from the global generator, element by element at its own position in the stream, so that
** the values are the same for any number of threads.
**   glorot_uniform  U(-a, a), a = sqrt(6 / (in + out))     glorot_normal  N(0, 2 / (in + out))    Glorot & Bengio 2010
**   he_uniform      U(-a, a), a = sqrt(6 / in)             he_normal      N(0, 2 / in)            He et al. 2015
**   lecun_uniform   U(-a, a), a = sqrt(3 / in)             lecun_normal   N(0, 1 / in)            LeCun et al. 1998
**   orthogonal      rows or columns orthonormal, the last axis against the others                 Saxe et al. 2014
**   zeros, ones
** `in` and `out` are the fans: how many numbers are added for an output, and how many outputs an input reaches.
*/
#ifndef CVL_LAYERS_INITIALIZER_H
#define CVL_LAYERS_INITIALIZER_H

#include "tensor/tensor.h"

typedef enum cvl_initializer {
  CVL_INIT_GLOROT_UNIFORM,
  CVL_INIT_GLOROT_NORMAL,
  CVL_INIT_HE_UNIFORM,
  CVL_INIT_HE_NORMAL,
  CVL_INIT_LECUN_UNIFORM,
  CVL_INIT_LECUN_NORMAL,
  CVL_INIT_ORTHOGONAL,
  CVL_INIT_ZEROS,
  CVL_INIT_ONES
} cvl_initializer;

extern const char *const cvl_initializers[]; /* their names in this order, NULL-terminated */

typedef struct cvl_fans {
  double in, out;
} cvl_fans;

/* x: dense, floating, on the CPU. */
int cvl_initialize(cvl_tensor *x, cvl_initializer init, cvl_fans fans, cvl_err *e);

#endif

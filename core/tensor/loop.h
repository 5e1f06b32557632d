/*
** Loops over the elements of several tensors at once: axes of size 1 are dropped, axes that every operand walks alike are
** merged, the innermost becomes a row for the caller's function, and rows are shared among threads.
*/
#ifndef CVL_TENSOR_LOOP_H
#define CVL_TENSOR_LOOP_H

#include <stdint.h>

#include "tensor/tensor.h"

enum { CVL_MAX_OPERANDS = 8 };

typedef struct cvl_loop {
  int n, ndim;
  int64_t dim[CVL_MAX_DIM];                      /* dim[ndim - 1] is the row */
  int64_t stride[CVL_MAX_OPERANDS][CVL_MAX_DIM]; /* bytes */
  int64_t step[CVL_MAX_OPERANDS];                /* bytes from one element of a row to the next */
  char *base[CVL_MAX_OPERANDS];
  const void *context; /* the caller's */
} cvl_loop;

/* Each operand is broadcast to `shape` (it must fit). Looks at no element: any device. */
void cvl_loop_init(cvl_loop *l, const cvl_shape *shape, const cvl_tensor *const *operands, int n);

/* loop_run.c, host-visible tensors only. Calls row(l, n, p) for pieces of rows: p[i] is the address of operand i's first element, l->step[i] its step. Every
** element is visited once; pieces are cut by the size of the problem only. */
typedef void cvl_row(const cvl_loop *l, int64_t n, char *const *p);
void cvl_loop_run(const cvl_loop *l, cvl_row *row);

#endif

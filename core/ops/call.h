/*
** The ops as C functions, for gradients written with ops, for composed ops and for layers. Each takes a scope, which owns
** the result and remembers the first error; NULL inputs (after an error) give NULL.
*/
#ifndef CVL_OPS_CALL_H
#define CVL_OPS_CALL_H

#include "ops/op.h"

/* Any op by its descriptor: cvl_call(s, &cvl_op_relu, NULL, 1, x). options == NULL: the defaults. */
cvl_tensor *cvl_call(cvl_scope *s, const cvl_op *op, const void *options, int n_in, ...);

cvl_tensor *cvl_add(cvl_scope *s, cvl_tensor *a, cvl_tensor *b);
cvl_tensor *cvl_sub(cvl_scope *s, cvl_tensor *a, cvl_tensor *b);
cvl_tensor *cvl_mul(cvl_scope *s, cvl_tensor *a, cvl_tensor *b);
cvl_tensor *cvl_div(cvl_scope *s, cvl_tensor *a, cvl_tensor *b);
cvl_tensor *cvl_neg(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_square(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_sqrt(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_exp_of(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_log_of(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_contiguous(cvl_scope *s, cvl_tensor *x);
cvl_tensor *cvl_cast(cvl_scope *s, cvl_tensor *x, cvl_dtype dtype);

/* x + c, x * c: the constant takes x's type and device. */
cvl_tensor *cvl_scalar(cvl_scope *s, const cvl_tensor *like, double c); /* a tensor {} */
cvl_tensor *cvl_add_scalar(cvl_scope *s, cvl_tensor *x, double c);
cvl_tensor *cvl_mul_scalar(cvl_scope *s, cvl_tensor *x, double c);
cvl_tensor *cvl_full_like(cvl_scope *s, const cvl_tensor *like,
                          double c); /* dense, of like's shape */

/* Sum over `axes` (all when NULL); keep leaves them with size 1. */
cvl_tensor *cvl_sum(cvl_scope *s, cvl_tensor *x, const cvl_ints *axes, bool keep);
/* Undoes a broadcast: sums x down to `shape`. */
cvl_tensor *cvl_sum_to(cvl_scope *s, cvl_tensor *x, const cvl_shape *shape);

/* Hands a tensor over to the scope; returns it. NULL is fine. */
cvl_tensor *cvl_scope_own(cvl_scope *s, cvl_tensor *x);
bool cvl_scope_failed(const cvl_scope *s);

#endif

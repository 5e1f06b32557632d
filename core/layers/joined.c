#include "layers/joined.h"

#include "autograd/autograd.h"

/* These two: NULL when the layers do not go together so, or after an error, which the scope remembers. */
static cvl_tensor *norm_in_one_op(cvl_scope *s, cvl_layer *conv, cvl_layer *norm, cvl_tensor *x,
                                  cvl_tensor *residual) {
  cvl_statistics given = {.residual = residual};
  if (conv->type->forward_norm == NULL || norm->type->statistics == NULL ||
      !norm->type->statistics(norm, &given) || (cvl_grad_enabled() && !given.training))
    return NULL;
  return conv->type->forward_norm(s, conv, x, &given);
}

static cvl_tensor *pool_in_one_pass(cvl_scope *s, cvl_layer *conv, cvl_layer *pool, cvl_tensor *x) {
  if (conv->type->forward_pool == NULL || pool->type->pooling == NULL) return NULL;
  return conv->type->forward_pool(s, conv, x, pool);
}

/* *y = the result of one op or, where that is NULL, of the layers in turn; ends the scope. */
static int finish(cvl_scope *s, cvl_tensor *result, cvl_layer *first, cvl_layer *second,
                  cvl_tensor *x, cvl_tensor *residual, cvl_tensor **y, cvl_err *e) {
  cvl_tensor *between = NULL;
  int rc = -1;
  if (cvl_scope_failed(s)) goto done;
  if (result != NULL) {
    *y = cvl_retain(result);
  } else {
    if (cvl_layer_forward(first, &x, &between, e) != 0) goto done;
    if (cvl_layer_forward(second, (cvl_tensor *[]){between, residual}, y, e) != 0) goto done;
  }
  rc = 0;
done:
  cvl_release(between);
  cvl_scope_end(s);
  return rc;
}

int cvl_conv_norm(cvl_layer *conv, cvl_layer *norm, cvl_tensor *x, cvl_tensor *residual,
                  cvl_tensor **y, cvl_err *e) {
  cvl_scope s;
  cvl_scope_init(&s, e);
  return finish(&s, norm_in_one_op(&s, conv, norm, x, residual), conv, norm, x, residual, y, e);
}

int cvl_conv_pool_layers(cvl_layer *conv, cvl_layer *pool, cvl_tensor *x, cvl_tensor **y,
                         cvl_err *e) {
  cvl_scope s;
  cvl_scope_init(&s, e);
  return finish(&s, pool_in_one_pass(&s, conv, pool, x), conv, pool, x, NULL, y, e);
}

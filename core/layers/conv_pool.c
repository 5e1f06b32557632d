#include "layers/conv_pool.h"

#include "autograd/autograd.h"

/* NULL when the layers do not go together so, or after an error, which the scope remembers. */
static cvl_tensor *in_one_pass(cvl_scope *s, cvl_layer *conv, cvl_layer *pool, cvl_tensor *x) {
  if (conv->type->forward_pool == NULL || pool->type->pooling == NULL) return NULL;
  return conv->type->forward_pool(s, conv, x, pool);
}

int cvl_conv_pool_layers(cvl_layer *conv, cvl_layer *pool, cvl_tensor *x, cvl_tensor **y,
                         cvl_err *e) {
  cvl_scope s;
  cvl_tensor *result, *between = NULL;
  int rc = -1;
  cvl_scope_init(&s, e);
  result = in_one_pass(&s, conv, pool, x);
  if (cvl_scope_failed(&s)) goto done;
  if (result != NULL) {
    *y = cvl_retain(result);
  } else {
    if (cvl_layer_forward(conv, &x, &between, e) != 0) goto done;
    if (cvl_layer_forward(pool, &between, y, e) != 0) goto done;
  }
  rc = 0;
done:
  cvl_release(between);
  cvl_scope_end(&s);
  return rc;
}

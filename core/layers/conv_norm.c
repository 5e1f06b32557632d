#include "layers/conv_norm.h"

#include "autograd/autograd.h"

/* NULL when the layers do not go together so, or after an error, which the scope remembers. */
static cvl_tensor *in_one_pass(cvl_scope *s, cvl_layer *conv, cvl_layer *norm, cvl_tensor *x,
                               cvl_tensor *residual) {
  cvl_statistics given = {.residual = residual};
  if (cvl_grad_enabled() || conv->type->forward_norm == NULL || norm->type->statistics == NULL)
    return NULL;
  if (!norm->type->statistics(norm, &given)) return NULL;
  return conv->type->forward_norm(s, conv, x, &given);
}

int cvl_conv_norm(cvl_layer *conv, cvl_layer *norm, cvl_tensor *x, cvl_tensor *residual,
                  cvl_tensor **y, cvl_err *e) {
  cvl_scope s;
  cvl_tensor *result, *between = NULL;
  int rc = -1;
  cvl_scope_init(&s, e);
  result = in_one_pass(&s, conv, norm, x, residual);
  if (cvl_scope_failed(&s)) goto done;
  if (result != NULL) {
    *y = cvl_retain(result);
  } else {
    if (cvl_layer_forward(conv, &x, &between, e) != 0) goto done;
    if (cvl_layer_forward(norm, (cvl_tensor *[]){between, residual}, y, e) != 0) goto done;
  }
  rc = 0;
done:
  cvl_release(between);
  cvl_scope_end(&s);
  return rc;
}

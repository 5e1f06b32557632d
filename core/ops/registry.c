/* The list of ops, the choice of kernels, and the shape rules that many ops share. */
#ifdef CVL_DESCRIBE
#include <string.h>

#include "kernels/isa.h"
#include "ops/op.h"

#define X(name) extern const cvl_op cvl_op_##name;
#include "op_list.h" /* generated: X(abs) X(add) ... */
#undef X

static const cvl_op *const ops[] = {
#define X(name) &cvl_op_##name,
#include "op_list.h"
#undef X
};

const cvl_op *const *cvl_ops(int *n) {
  *n = sizeof ops / sizeof ops[0];
  return ops;
}

const cvl_op *cvl_op_named(const char *name) {
  int low = 0, high = sizeof ops / sizeof ops[0] - 1;
  while (low <= high) {
    int middle = (low + high) / 2, order = strcmp(name, ops[middle]->name);
    if (order == 0) return ops[middle];
    if (order < 0)
      high = middle - 1;
    else
      low = middle + 1;
  }
  return NULL;
}

const cvl_kernels *cvl_op_kernels(const cvl_op *op, const cvl_tensor *x, cvl_err *e) {
  const cvl_kernels *k = NULL;
  cvl_device *d = cvl_device_of(x);
  if (op->anywhere != NULL) return op->anywhere;
  if (!d->host_visible) {
    if ((k = d->kernels(d, op->name, x->dtype)) == NULL)
      cvl_fail(e, CVL_EDEVICE, 0, "'%s' has no kernel for %s on device %s", op->name,
               cvl_dtype_name(x->dtype), d->name);
    return k;
  }
  k = op->cpu[cvl_isa_used()][x->dtype];
  if (k == NULL)
    cvl_fail(e, CVL_EDTYPE, 0, "'%s' has no kernel for %s", op->name, cvl_dtype_name(x->dtype));
  return k;
}

void cvl_options_default(const cvl_option *list, void *options) {
  for (const cvl_option *o = list; o != NULL && o->name != NULL; o++) {
    char *p = (char *)options + o->offset;
    switch (o->kind) {
    case CVL_OPT_NUMBER:
      *(double *)p = o->def;
      break;
    case CVL_OPT_INT:
      *(int64_t *)p = (int64_t)o->def;
      break;
    case CVL_OPT_BOOL:
      *(bool *)p = o->def != 0;
      break;
    case CVL_OPT_CHOICE:
    case CVL_OPT_DTYPE:
      *(int *)p = (int)o->def;
      break;
    case CVL_OPT_AXIS:
      *(int64_t *)p = CVL_NO_AXIS;
      break;
    case CVL_OPT_AXES:
      ((cvl_ints *)p)->n = -1;
      break;
    case CVL_OPT_SIZES:
      *(cvl_ints *)p = (cvl_ints){.n = 1, .v = {(int64_t)o->def}};
      break;
    case CVL_OPT_SHAPE:
    case CVL_OPT_PADDING:
    case CVL_OPT_PAIRS:
      break; /* zeroed: empty, "valid" */
    }
  }
}

int cvl_shape_same(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->shape = a->in[0]->shape;
  return 0;
}

int cvl_shape_broadcasts(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  y->shape = a->in[0]->shape;
  for (int i = 1; i < a->n_in; i++)
    if (cvl_shape_broadcast(&y->shape, &a->in[i]->shape, &y->shape, e) != 0) return -1;
  return 0;
}

int cvl_shape_compares(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  y->dtype = CVL_BOOL;
  return cvl_shape_broadcasts(a, y, e);
}
#endif

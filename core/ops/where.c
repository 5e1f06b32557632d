/*
** where(cond, a, b) -> y            y = cond ? a : b, element by element, all three broadcast
** masked_fill(x, mask, {value}) -> y      y = mask ? value : x
** cond and mask: any type, true where not 0; no gradient.
*/
/* CVL_EVERY_DTYPE CVL_EVERY_DEVICE */
#include "ops/elementwise.h"

typedef struct {
  double value;
} fill_options;

/* Truth values are made bytes first: cond and mask are cast to bool by the compositions below. */
CVL_SELECT(choose)

#ifdef CVL_DESCRIBE
#include "ops/call.h"

extern const cvl_op cvl_op_choose, cvl_op_where;

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  y->dtype = a->in[1]->dtype;
  if (a->in[0]->dtype != CVL_BOOL)
    return cvl_fail(e, CVL_EDTYPE, 1, "bool expected, got %s", cvl_dtype_name(a->in[0]->dtype));
  if (a->in[2]->dtype != y->dtype)
    return cvl_fail(e, CVL_EDTYPE, 3, "%s like the second expected, got %s",
                    cvl_dtype_name(y->dtype), cvl_dtype_name(a->in[2]->dtype));
  return cvl_shape_broadcasts(a, y, e);
}

static cvl_tensor *choose_vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy,
                              int i) {
  cvl_tensor *zero = cvl_scalar(s, gy, 0);
  (void)y;
  if (i == 1) return cvl_call(s, &cvl_op_choose, NULL, 3, a->in[0], gy, zero);
  return cvl_call(s, &cvl_op_choose, NULL, 3, a->in[0], zero, gy);
}

CVL_OP(choose,
  .doc = "choose(cond, a, b) -> y\nwhere for cond of type bool and a and b of one type.",
  .n_in = 3, .internal = true, .strided = true, .broadcasts = true, .key = 1, .drops = ~CVL_DROP_X0,
  .shape = shape,
  .vjp = choose_vjp,
  CVL_SAMPLES("choose(gt(randn{2, 3}, 0), randn{2, 3}, randn{3})"));

static cvl_tensor *where(cvl_scope *s, const cvl_args *a) {
  return cvl_call(s, &cvl_op_choose, NULL, 3, cvl_cast(s, a->in[0], CVL_BOOL), a->in[1], a->in[2]);
}

CVL_OP(where,
  .doc = "where(cond, a, b) -> y\n"
         "a where cond is true (not 0), b elsewhere; all three are broadcast, a and b brought to "
         "their common type. No gradient for cond.",
  .n_in = 3, .promotes = true, .unpromoted = 1, .key = 1, .strided = true, .compose = where,
  CVL_SAMPLES("where(gt(randn{2, 3}, 0), randn{2, 3}, randn{2, 3})",
              "where(gt(randn{2, 1}, 0), randn{3}, randn{2, 3})",
              "where(gt(randn{3, 2}, 0):transpose(1, 2), randn{2, 3}, 0)"),
  CVL_REJECTS({"where(gt(randn{2, 3}, 0), randn{2, 4}, 0)",
              "do not broadcast: axis 2 has 3 and 4"}));

static cvl_tensor *masked_fill(cvl_scope *s, const cvl_args *a) {
  const fill_options *o = a->options;
  cvl_tensor *x = a->in[0], *mask = a->in[1];
  cvl_shape y;
  if (cvl_shape_broadcast(&x->shape, &mask->shape, &y, s->e) != 0) return NULL;
  return cvl_call(s, &cvl_op_choose, NULL, 3, cvl_cast(s, mask, CVL_BOOL),
                  cvl_scalar(s, x, o->value), x);
}

CVL_OP(masked_fill,
  .doc = "masked_fill(x, mask, value) -> y\n"
         "value where mask is true (not 0), x elsewhere; the mask is broadcast with x.",
  .n_in = 2, .strided = true, .compose = masked_fill,
  CVL_OPTIONS(fill_options,
    CVL_NUMBER(fill_options, value, 0, CVL_REQUIRED, "what is put where the mask is true")),
  CVL_SAMPLES("masked_fill(randn{2, 3}, gt(randn{2, 3}, 0), -1)",
              "masked_fill(randn{3, 2}:transpose(1, 2), gt(randn{3}, 0), 2)"),
  CVL_REJECTS({"masked_fill(randn{2, 3}, gt(randn{2}, 0), 1)",
              "do not broadcast: axis 2 has 3 and 2"},
              {"masked_fill(randn{2}, gt(randn{2}, 0))", "option 'value' is missing"}));
#endif

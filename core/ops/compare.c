/*
** Comparisons, element by element with NumPy's broadcasting; the result is bool and has no
** gradient.
**   eq ==   ne ~=   lt <   le <=   gt >   ge >=       with NaN all are false but ne
**   logical_and, logical_or: of x ~= 0
*/
/* CVL_EVERY_DTYPE CVL_EVERY_DEVICE */
#include "ops/elementwise.h"

#define COMPARISON(name, formula)                                  \
  CVL_SCALAR uint8_t name##_of(real u, real v) { return formula; } \
  CVL_COMPARE(name, name##_of)

COMPARISON(eq, u == v)
COMPARISON(ne, u != v)
COMPARISON(lt, u < v)
COMPARISON(le, u <= v)
COMPARISON(gt, u > v)
COMPARISON(ge, u >= v)
COMPARISON(logical_and, (u != 0) & (v != 0))
COMPARISON(logical_or, (u != 0) | (v != 0))

#ifdef CVL_DESCRIBE
#define DESCRIBE(name)                                                                     \
  .n_in = 2, .strided = true, .broadcasts = true, .promotes = true, .drops = CVL_DROP_ALL, \
  .shape = cvl_shape_compares,                                                             \
  CVL_SAMPLES(#name "(randn{2, 3}, randn{2, 3})", #name "(randn{2, 1}, randn{3})",         \
              #name "(randn{3, 2}:transpose(1, 2), 0.5)"),                                 \
  CVL_REJECTS({#name "(randn{2, 3}, randn{2, 4})", "do not broadcast: axis 2 has 3 and 4"})

CVL_OP(eq, .doc = "eq(a, b) -> y\ny = (a == b), as bool.", DESCRIBE(eq));
CVL_OP(ne, .doc = "ne(a, b) -> y\ny = (a ~= b), as bool.", DESCRIBE(ne));
CVL_OP(lt, .doc = "lt(a, b) -> y\ny = (a < b), as bool.", DESCRIBE(lt));
CVL_OP(le, .doc = "le(a, b) -> y\ny = (a <= b), as bool.", DESCRIBE(le));
CVL_OP(gt, .doc = "gt(a, b) -> y\ny = (a > b), as bool.", DESCRIBE(gt));
CVL_OP(ge, .doc = "ge(a, b) -> y\ny = (a >= b), as bool.", DESCRIBE(ge));
CVL_OP(logical_and, .doc = "logical_and(a, b) -> y\ntrue where neither a nor b is 0.",
       DESCRIBE(logical_and));
CVL_OP(logical_or, .doc = "logical_or(a, b) -> y\ntrue where a or b is not 0.",
       DESCRIBE(logical_or));
#endif

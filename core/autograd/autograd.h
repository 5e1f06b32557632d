/*
** Automatic differentiation in reverse. Each op applied to a tensor that requires gradients leaves a node on the tape: the
** call's arguments and what forward saved. backward() walks the nodes from the last to the first; neither it nor the
** release of a tape recurses, so that the depth of a graph is bounded by memory only.
*/
#ifndef CVL_AUTOGRAD_AUTOGRAD_H
#define CVL_AUTOGRAD_AUTOGRAD_H

#include "ops/op.h"

/*
** y = op(in; options), recorded when gradients are enabled, an input requires one and the op has one. Checks the number of
** inputs, devices, types and shapes; casts and makes dense as the descriptor asks. On success *y holds one reference.
** On failure nothing is owned and e->msg does not name the op.
*/
int cvl_apply(const cvl_op *op, cvl_tensor *const *in, int n_in, const void *options,
              cvl_tensor **y, cvl_err *e);

/* Whether ops are recorded on this thread; true at the start. Setting returns the former value. */
bool cvl_grad_enabled(void);
bool cvl_set_grad_enabled(bool enabled);

/* How exactly ops called on this thread multiply; float32 at the start. The tape keeps it with each call, so that backward
** does as the setting was then. Setting returns the former value. */
cvl_precision cvl_precision_used(void);
cvl_precision cvl_set_precision(cvl_precision p);

/* A scope for ops written with ops; end releases all that it owns. */
void cvl_scope_init(cvl_scope *s, cvl_err *e);
void cvl_scope_end(cvl_scope *s);

/*
** Hangs y (a result computed outside of the tape) on the tape with a gradient of the caller's own.
** backward fills gx[i] (new references, NULL for none) for the n_in inputs; it must not be called twice unless the graph is
** retained. `release(context)` is called once, when the node goes, or at once on failure.
*/
typedef struct cvl_function {
  const char *name;
  void *context;
  int (*backward)(void *context, cvl_tensor *gy, cvl_tensor **gx, int n_in, cvl_err *e);
  void (*release)(void *context);
} cvl_function;
int cvl_record(const cvl_function *f, cvl_tensor *const *in, int n_in, cvl_tensor *y, cvl_err *e);

/*
** Gradients of `root` times `seed` (NULL: root has one element, the seed is 1).
** With n_targets == 0: adds into the .grad of every leaf that requires one.
** Else: found[i] becomes d root / d targets[i] (a new reference), or NULL when root does not depend on it; no .grad changes.
** retain_graph: the tape may be walked again. create_graph (implies it): the walk itself is recorded; needs each op's vjp.
*/
typedef struct cvl_backward_options {
  bool retain_graph, create_graph;
} cvl_backward_options;
int cvl_backward(cvl_tensor *root, cvl_tensor *seed, const cvl_backward_options *o,
                 cvl_tensor *const *targets, int n_targets, cvl_tensor **found, cvl_err *e);

/* Calls the hook with each complete gradient of x. Takes over `context` in any case. CVL_ESTATE when x needs none. */
int cvl_add_hook(cvl_tensor *x, void *context, int (*call)(void *, cvl_tensor **, cvl_err *),
                 void (*release)(void *), cvl_err *e);

/* dst += src, outside of the tape; src is broadcast to dst's shape; one device, one type, on the CPU a floating one. Cannot
** fail there for float32 and float64. */
int cvl_accumulate(cvl_tensor *dst, cvl_tensor *src, cvl_err *e);

/* The name of the op or function that made x, or NULL for a leaf. */
const char *cvl_made_by(const cvl_tensor *x);

#endif

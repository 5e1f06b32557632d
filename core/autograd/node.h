/* The tape's nodes; private to this room. */
#ifndef CVL_AUTOGRAD_NODE_H
#define CVL_AUTOGRAD_NODE_H

#include "autograd/autograd.h"

typedef struct cvl_tape_node {
  cvl_node base;     /* first: a cvl_node * is a cvl_tape_node * */
  uint64_t sequence; /* grows with time: every input's node has a smaller one */
  bool spent;        /* backward has freed it */
  cvl_args args;     /* args.op == NULL: a cvl_function */
  cvl_function function;
  uint32_t *versions; /* of the inputs' storages when recorded */
  cvl_tensor *y; /* the result without its node, or its shell: a node must not own its own result */
  cvl_hook *hooks;
  cvl_tensor *gy; /* during a walk: the gradient gathered so far */
  struct cvl_tape_node *next_dead;
} cvl_tape_node;

/* A node for op (or NULL) with copies of the inputs, as far as they are needed, and of the options. */
cvl_tape_node *cvl_tape_node_new(const cvl_op *op, cvl_tensor *const *in, int n_in,
                                 const void *options, cvl_err *e);
/* Drops inputs and saved tensors; the tape behind can go. */
void cvl_tape_node_clear(cvl_tape_node *n);
static inline cvl_tape_node *cvl_tape_node_of(const cvl_tensor *x) {
  return (cvl_tape_node *)x->node;
}
/* Puts y, made by the node's op, on the tape. Takes over the node. */
int cvl_tape_node_attach(cvl_tape_node *n, cvl_tensor *y, cvl_err *e);

#endif

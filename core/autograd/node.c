#include "autograd/node.h"

#include <string.h>

#include "base/mem.h"

/* Releasing a node releases its inputs, and with them their nodes: a queue instead of recursion. */
static void destroy(cvl_node *base) {
  static _Thread_local cvl_tape_node *dead;
  static _Thread_local bool draining;
  cvl_tape_node *n = (cvl_tape_node *)base;
  n->next_dead = dead;
  dead = n;
  if (draining) return;
  draining = true;
  while ((n = dead) != NULL) {
    dead = n->next_dead;
    cvl_tape_node_clear(n);
    cvl_release(n->gy);
    cvl_hooks_free(n->hooks);
    cvl_free(n);
  }
  draining = false;
}

static size_t align16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

/* What the tape keeps of an input: leaves as they are, the rest without its data if backward does not look at it. */
static cvl_tensor *keep(const cvl_op *op, int i, cvl_tensor *x, cvl_err *e) {
  bool dropped = op != NULL && i < 30 && (op->drops >> i & 1);
  bool leaf = x->requires_grad && x->node == NULL;
  return dropped && !leaf ? cvl_tensor_shell(x, e) : cvl_retain(x);
}

cvl_tape_node *cvl_tape_node_new(const cvl_op *op, cvl_tensor *const *in, int n_in,
                                 const void *options, cvl_err *e) {
  static _Thread_local uint64_t sequence;
  size_t inputs = align16(sizeof(cvl_tape_node)),
         versions = inputs + align16((size_t)n_in * sizeof *in);
  size_t tail = versions + align16((size_t)n_in * sizeof(uint32_t));
  size_t bytes = tail + (op != NULL ? op->option_bytes : 0);
  char *block = cvl_alloc(bytes);
  cvl_tape_node *n = (cvl_tape_node *)block;
  if (n == NULL) {
    cvl_fail_memory(e, (long long)bytes);
    return NULL;
  }
  n->base = (cvl_node){.refs = 1, .destroy = destroy};
  n->sequence = ++sequence;
  n->args.op = op;
  n->args.in = (cvl_tensor **)(void *)(block + inputs);
  n->versions = (uint32_t *)(void *)(block + versions);
  n->args.options = block + tail;
  n->args.n_in = n_in;
  if (op != NULL && op->option_bytes > 0) memcpy(block + tail, options, op->option_bytes);
  for (int i = 0; i < n_in; i++)
    if (in[i] != NULL) {
      if ((n->args.in[i] = keep(op, i, in[i], e)) == NULL) {
        cvl_node_release(&n->base);
        return NULL;
      }
      n->versions[i] = in[i]->storage->version;
    }
  return n;
}

void cvl_tape_node_clear(cvl_tape_node *n) {
  for (int i = 0; i < n->args.n_in; i++) {
    cvl_tensor *x = n->args.in[i];
    n->args.in[i] = NULL;
    cvl_release(x);
  }
  for (int i = 0; i < CVL_MAX_SAVED; i++) {
    cvl_release(n->args.saved[i]);
    n->args.saved[i] = NULL;
  }
  cvl_release(n->y);
  n->y = NULL;
  if (n->function.release != NULL) n->function.release(n->function.context);
  n->function.release = NULL;
  n->spent = true;
}

int cvl_tape_node_attach(cvl_tape_node *n, cvl_tensor *y, cvl_err *e) {
  bool dropped = n->args.op != NULL && (n->args.op->drops & CVL_DROP_Y);
  if ((n->y = dropped ? cvl_tensor_shell(y, e) : cvl_tensor_alias(y, e)) == NULL) {
    cvl_node_release(&n->base);
    return -1;
  }
  y->node = &n->base;
  y->requires_grad = true;
  return 0;
}

int cvl_record(const cvl_function *f, cvl_tensor *const *in, int n_in, cvl_tensor *y, cvl_err *e) {
  cvl_tape_node *n = cvl_tape_node_new(NULL, in, n_in, NULL, e);
  if (n == NULL) {
    f->release(f->context);
    return -1;
  }
  n->function = *f;
  return cvl_tape_node_attach(n, y, e);
}

int cvl_add_hook(cvl_tensor *x, void *context, int (*call)(void *, cvl_tensor **, cvl_err *),
                 void (*release)(void *), cvl_err *e) {
  cvl_hook **end, *hook = NULL;
  if (!x->requires_grad) {
    cvl_fail(e, CVL_ESTATE, 0, "a hook needs a tensor that requires gradients");
  } else if ((hook = cvl_alloc(sizeof *hook)) == NULL) {
    cvl_fail_memory(e, sizeof *hook);
  }
  if (hook == NULL) {
    release(context);
    return -1;
  }
  *hook = (cvl_hook){.context = context, .call = call, .release = release};
  end = x->node != NULL ? &cvl_tape_node_of(x)->hooks : &x->hooks;
  while (*end != NULL) end = &(*end)->next;
  *end = hook;
  return 0;
}

const char *cvl_made_by(const cvl_tensor *x) {
  const cvl_tape_node *n = cvl_tape_node_of(x);
  return n == NULL ? NULL : n->args.op != NULL ? n->args.op->name : n->function.name;
}

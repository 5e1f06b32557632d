/*
** The walk back. Nodes wait in a heap; the youngest comes out first, so that when a node's turn comes, everything that
** used its result has already delivered its share of the gradient.
*/
#include <string.h>

#include "autograd/node.h"
#include "base/mem.h"
#include "device/recording.h"
#include "ops/call.h"
#include "tensor/loop.h"

typedef struct {
  cvl_tape_node **heap; /* each with one reference and a gy */
  int n, room;
  const cvl_backward_options *options;
  cvl_tensor *const *targets;
  cvl_tensor **found;
  int n_targets;
  cvl_err *e;
} walk;

static int push(walk *w, cvl_tape_node *node) {
  int i = w->n;
  if (w->n == w->room) {
    int room = w->room * 2 + 16;
    cvl_tape_node **more = cvl_resize(w->heap, (size_t)room * sizeof *more);
    if (more == NULL) return cvl_fail_memory(w->e, (long long)room * (long long)sizeof *more);
    w->heap = more;
    w->room = room;
  }
  cvl_node_retain(&node->base);
  for (w->n++; i > 0 && w->heap[(i - 1) / 2]->sequence < node->sequence; i = (i - 1) / 2)
    w->heap[i] = w->heap[(i - 1) / 2];
  w->heap[i] = node;
  return 0;
}

static cvl_tape_node *pop(walk *w) {
  cvl_tape_node *top = w->heap[0], *last = w->heap[--w->n];
  int i = 0, child;
  while ((child = 2 * i + 1) < w->n) {
    if (child + 1 < w->n && w->heap[child + 1]->sequence > w->heap[child]->sequence) child++;
    if (w->heap[child]->sequence < last->sequence) break;
    w->heap[i] = w->heap[child];
    i = child;
  }
  w->heap[i] = last;
  return top;
}

static void add_row_f32(const cvl_loop *l, int64_t n, char *const *p) {
  if (l->step[0] == sizeof(float) && l->step[1] == sizeof(float)) {
    float *restrict y = (float *)(void *)p[0];
    const float *restrict x = (const float *)(void *)p[1];
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
  } else {
    for (int64_t i = 0; i < n; i++)
      *(float *)(void *)(p[0] + i * l->step[0]) += *(const float *)(void *)(p[1] + i * l->step[1]);
  }
}

static void add_row_f64(const cvl_loop *l, int64_t n, char *const *p) {
  for (int64_t i = 0; i < n; i++)
    *(double *)(void *)(p[0] + i * l->step[0]) += *(const double *)(void *)(p[1] + i * l->step[1]);
}

extern const cvl_op cvl_op_add;

/* The sum is rounded as an op's result is. */
static int accumulate_half(cvl_tensor *dst, cvl_tensor *src, cvl_err *e) {
  bool grad = cvl_set_grad_enabled(false);
  cvl_tensor *sum = NULL;
  int rc = cvl_apply(&cvl_op_add, (cvl_tensor *[]){dst, src}, 2, NULL, &sum, e);
  if (rc == 0) rc = cvl_tensor_copy(dst, sum, e);
  cvl_release(sum);
  cvl_set_grad_enabled(grad);
  return rc;
}

int cvl_accumulate(cvl_tensor *dst, cvl_tensor *src, cvl_err *e) {
  const cvl_tensor *operands[] = {dst, src};
  cvl_loop l;
  if (cvl_dtype_half(dst->dtype)) return accumulate_half(dst, src, e);
  if (!cvl_device_of(dst)
           ->host_visible) { /* the device's addition, its result where the first term is */
    const cvl_kernels *k = cvl_op_kernels(&cvl_op_add, dst, e);
    cvl_args a = {.op = &cvl_op_add, .n_in = 2, .in = (cvl_tensor *[]){dst, src}};
    return k == NULL ? -1 : k->forward(&a, dst, e);
  }
  cvl_loop_init(&l, &dst->shape, operands, 2);
  cvl_loop_run(&l, dst->dtype == CVL_F32 ? add_row_f32 : add_row_f64);
  return 0;
}

/* Nobody else sees this tensor's memory, so that it may be added into. */
static bool exclusive(const cvl_tensor *g) {
  return g->refs == 1 && g->storage->refs == 1 && g->node == NULL && cvl_is_dense(g);
}

/* *sum += g, taking over g. */
static int gather(walk *w, cvl_tensor **sum, cvl_tensor *g) {
  cvl_scope s;
  cvl_tensor *total;
  if (*sum == NULL) {
    *sum = g;
    return 0;
  }
  if (!w->options->create_graph && exclusive(*sum)) {
    int rc = cvl_accumulate(*sum, g, w->e);
    cvl_release(g);
    return rc;
  }
  cvl_scope_init(&s, w->e);
  if ((total = cvl_add(&s, *sum, g)) != NULL) cvl_retain(total);
  cvl_scope_end(&s);
  cvl_release(g);
  if (total == NULL) return -1;
  cvl_release(*sum);
  *sum = total;
  return 0;
}

/* A leaf's gradient is its own: dense, shared with nobody. Takes over g. */
static int settle(walk *w, cvl_tensor *leaf, cvl_tensor *g) {
  if (leaf->grad == NULL && !w->options->create_graph && !exclusive(g)) {
    cvl_tensor *own = cvl_tensor_clone(g, cvl_device_of(g), w->e);
    cvl_release(g);
    if (own == NULL) return -1;
    g = own;
  }
  return gather(w, &leaf->grad, g);
}

static int call_hooks(cvl_hook *h, cvl_tensor **g, cvl_err *e) {
  for (; h != NULL; h = h->next)
    if (h->call(h->context, g, e) != 0) return -1;
  return 0;
}

/* Brings gradient g to tensor x: to its node, to its .grad, or to a target. Takes over g. */
static int deliver(walk *w, cvl_tensor *x, cvl_tensor *g) {
  cvl_tape_node *node = cvl_tape_node_of(x);
  if (node != NULL) {
    bool waiting = node->gy != NULL;
    if (gather(w, &node->gy, g) != 0) return -1;
    if (waiting) return 0;
    if (push(w, node) == 0) return 0;
    cvl_release(node->gy);
    node->gy = NULL;
    return -1;
  }
  if (call_hooks(x->hooks, &g, w->e) != 0) {
    cvl_release(g);
    return -1;
  }
  if (w->n_targets == 0) return settle(w, x, g);
  for (int i = 0; i < w->n_targets; i++)
    if (w->targets[i] == x && gather(w, &w->found[i], cvl_retain(g)) != 0) {
      cvl_release(g);
      return -1;
    }
  cvl_release(g);
  return 0;
}

static bool wanted(const cvl_tensor *x) {
  return x != NULL && x->requires_grad && cvl_dtype_floating(x->dtype);
}

static int check_unchanged(const cvl_tape_node *n, cvl_err *e) {
  for (int i = 0; i < n->args.n_in; i++) {
    const cvl_tensor *x = n->args.in[i];
    bool dropped = n->args.op != NULL && i < 30 && (n->args.op->drops >> i & 1);
    if (x != NULL && !dropped && x->storage != NULL && x->storage->version != n->versions[i])
      return cvl_fail(e, CVL_ESTATE, 0, "input %d of '%s' was changed in place after it was used",
                      i + 1, n->args.op != NULL ? n->args.op->name : n->function.name);
  }
  return 0;
}

/* The gradient of x gathered so far, where a kernel may add to it, or NULL. Leaves' own are left alone: an error on the way
** must not change them. */
static cvl_tensor *gathered(const cvl_tensor *x) {
  const cvl_tape_node *node = cvl_tape_node_of(x);
  return node != NULL && node->gy != NULL && exclusive(node->gy) ? node->gy : NULL;
}

/* Gradients by the backward kernel, into tensors that it overwrites; or, where it can, into the sum that is being gathered,
** so that nothing is left to deliver. */
static int by_kernel(const cvl_tape_node *n, const cvl_kernels *k, cvl_tensor **gx, cvl_err *e) {
  const cvl_op *op = n->args.op;
  cvl_args a = n->args;
  cvl_tensor *gy = cvl_retain(n->gy);
  cvl_scope s;
  int rc = -1;
  if (!op->strided && !cvl_is_dense(gy)) {
    cvl_tensor *dense;
    cvl_scope_init(&s, e);
    if ((dense = cvl_contiguous(&s, gy)) != NULL) cvl_retain(dense);
    cvl_scope_end(&s);
    cvl_release(gy);
    if ((gy = dense) == NULL) return -1;
  }
  for (int i = 0; i < a.n_in; i++) {
    const cvl_tensor *like = op->broadcasts ? n->y : a.in[i];
    cvl_tensor *sum;
    if (!wanted(a.in[i])) continue;
    if (k->adds >> i & 1 && (sum = gathered(a.in[i])) != NULL) {
      gx[i] = cvl_retain(sum);
      a.add |= 1 << i;
    } else if ((gx[i] = cvl_tensor_new(&like->shape, a.in[i]->dtype, cvl_device_of(gy), e)) ==
               NULL) {
      goto done;
    }
  }
  rc = k->backward(&a, n->y, gy, gx, e);
  for (int i = 0; a.add >> i != 0; i++) {
    if (!(a.add >> i & 1)) continue;
    cvl_release(gx[i]);
    gx[i] = NULL;
  }
done:
  cvl_release(gy);
  return rc;
}

/* The result as vjp sees it: for a recorded walk it must hang on the tape itself. */
static cvl_tensor *linked_result(cvl_tape_node *n, bool create_graph, cvl_scope *s) {
  cvl_tensor *y = create_graph ? cvl_tensor_alias(n->y, s->e) : cvl_retain(n->y);
  if (y != NULL && create_graph) {
    cvl_node_retain(&n->base);
    y->node = &n->base;
    y->requires_grad = true;
  }
  return cvl_scope_own(s, y);
}

static int by_vjp(walk *w, cvl_tape_node *n, cvl_tensor **gx) {
  const cvl_op *op = n->args.op;
  /* What it calls forward is a part of this call's backward pass. */
  cvl_precision former = cvl_set_precision(
      n->args.precision == CVL_PRECISION_BF16 ? CVL_PRECISION_BF16_FULL : n->args.precision);
  cvl_tensor *y;
  cvl_scope s;
  cvl_scope_init(&s, w->e);
  y = linked_result(n, w->options->create_graph, &s);
  for (int i = 0; i < n->args.n_in && !cvl_scope_failed(&s); i++)
    if (wanted(n->args.in[i])) {
      cvl_tensor *g = op->vjp(&s, &n->args, y, n->gy, i);
      if (g != NULL && !cvl_scope_failed(&s)) gx[i] = cvl_retain(g);
    }
  cvl_scope_end(&s);
  cvl_set_precision(former);
  return w->e->code == CVL_OK ? 0 : -1;
}

static int differentiate(walk *w, cvl_tape_node *n, cvl_tensor **gx) {
  const cvl_op *op = n->args.op;
  const cvl_kernels *k = NULL;
  if (n->spent)
    return cvl_fail(
        w->e, CVL_ESTATE, 0,
        "this graph was walked before and is freed; ask for retain_graph the first time");
  if (check_unchanged(n, w->e) != 0) return -1;
  if (op == NULL) return n->function.backward(n->function.context, n->gy, gx, n->args.n_in, w->e);
  if (op->view == NULL && !w->options->create_graph) {
    cvl_err ignored = {0}; /* op->key's storage may be dropped: the type and device are gy's */
    k = cvl_op_kernels(op, n->gy, &ignored);
  }
  if (k != NULL && k->backward != NULL) return by_kernel(n, k, gx, w->e);
  if (op->vjp != NULL) return by_vjp(w, n, gx);
  return cvl_fail(w->e, CVL_ESTATE, 0, "'%s' has no second derivative", op->name);
}

/* Undoes the broadcast of an input. Takes over g. */
static cvl_tensor *reduce(walk *w, const cvl_tensor *x, cvl_tensor *g) {
  cvl_scope s;
  cvl_tensor *y;
  if (g == NULL || cvl_shape_equal(&x->shape, &g->shape)) return g;
  cvl_scope_init(&s, w->e);
  if ((y = cvl_sum_to(&s, g, &x->shape)) != NULL) cvl_retain(y);
  cvl_scope_end(&s);
  cvl_release(g);
  return y;
}

static int note_targets(walk *w, cvl_tape_node *n) {
  for (int i = 0; i < w->n_targets; i++)
    if (cvl_tape_node_of(w->targets[i]) == n) {
      cvl_release(w->found[i]);
      w->found[i] = cvl_retain(n->gy);
    }
  return 0;
}

/* One node: differentiate and deliver to its inputs. */
static int step(walk *w, cvl_tape_node *n) {
  enum { FEW = 8 };
  cvl_tensor *few[FEW] = {NULL}, **gx = few;
  int n_in = n->args.n_in, rc = -1;
  if (n_in > FEW && (gx = cvl_alloc_array((size_t)n_in, sizeof *gx)) == NULL)
    return cvl_fail_memory(w->e, (long long)n_in * (long long)sizeof *gx);
  if (call_hooks(n->hooks, &n->gy, w->e) != 0) goto done;
  note_targets(w, n);
  if (differentiate(w, n, gx) != 0) goto done;
  if (!w->options->retain_graph && !w->options->create_graph) {
    cvl_release(n->gy);
    n->gy = NULL;
  }
  for (int i = 0; i < n_in; i++) {
    const cvl_tensor *x = n->args.in[i];
    if (gx[i] == NULL || !wanted(x)) continue;
    if ((gx[i] = reduce(w, x, gx[i])) == NULL) goto done;
    cvl_tensor *g = gx[i];
    gx[i] = NULL; /* deliver takes it over */
    if (deliver(w, n->args.in[i], g) != 0) goto done;
  }
  if (!w->options->retain_graph && !w->options->create_graph) cvl_tape_node_clear(n);
  rc = 0;
done:
  for (int i = 0; i < n_in; i++) cvl_release(gx[i]);
  if (gx != few) cvl_free(gx);
  return rc;
}

static cvl_tensor *first_gradient(cvl_tensor *root, cvl_tensor *seed, cvl_err *e) {
  char a[CVL_SHAPE_TEXT], b[CVL_SHAPE_TEXT];
  cvl_tensor *g = NULL;
  cvl_scope s;
  if (!root->requires_grad) {
    cvl_fail(e, CVL_ESTATE, 0, "the tensor does not depend on any that requires gradients");
  } else if (seed != NULL && cvl_device_of(seed) != cvl_device_of(root)) {
    cvl_fail(e, CVL_EDEVICE, 0, "the gradient must be on device %s, like the tensor, got %s",
             cvl_device_of(root)->name, cvl_device_of(seed)->name);
  } else if (seed != NULL) {
    if (cvl_shape_equal(&seed->shape, &root->shape) && seed->dtype == root->dtype)
      return cvl_recording_uses(cvl_device_of(seed), seed->storage->data, seed->storage->bytes,
                                e) == 0
                 ? cvl_retain(seed)
                 : NULL;
    cvl_fail(e, CVL_ESHAPE, 0, "the gradient must be like the tensor, %s %s, got %s %s",
             cvl_dtype_name(root->dtype), cvl_shape_text(&root->shape, a),
             cvl_dtype_name(seed->dtype), cvl_shape_text(&seed->shape, b));
  } else if (cvl_count(root) != 1) {
    cvl_fail(e, CVL_ESHAPE, 0,
             "backward starts from one number or needs a gradient; the tensor is %s",
             cvl_shape_text(&root->shape, a));
  } else {
    cvl_scope_init(&s, e);
    if ((g = cvl_full_like(&s, root, 1)) != NULL) cvl_retain(g);
    cvl_scope_end(&s);
  }
  return g;
}

int cvl_backward(cvl_tensor *root, cvl_tensor *seed, const cvl_backward_options *o,
                 cvl_tensor *const *targets, int n_targets, cvl_tensor **found, cvl_err *e) {
  walk w = {.options = o, .targets = targets, .found = found, .n_targets = n_targets, .e = e};
  cvl_tensor *g = first_gradient(root, seed, e);
  bool former;
  int rc = -1;
  if (g == NULL) return -1;
  for (int i = 0; i < n_targets; i++) found[i] = NULL;
  former = cvl_set_grad_enabled(o->create_graph);
  rc = deliver(&w, root, g);
  while (rc == 0 && w.n > 0) {
    cvl_tape_node *n = pop(&w);
    rc = step(&w, n);
    cvl_release(n->gy);
    n->gy = NULL;
    cvl_node_release(&n->base);
  }
  while (w.n > 0) { /* after an error */
    cvl_tape_node *n = pop(&w);
    cvl_release(n->gy);
    n->gy = NULL;
    cvl_node_release(&n->base);
  }
  cvl_set_grad_enabled(former);
  cvl_free(w.heap);
  if (rc != 0)
    for (int i = 0; i < n_targets; i++) {
      cvl_release(found[i]);
      found[i] = NULL;
    }
  return rc;
}

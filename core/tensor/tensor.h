/*
** Tensors: a type, a shape, strides, and a place in a storage. Counted; views share the storage.
*/
#ifndef CVL_TENSOR_TENSOR_H
#define CVL_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/storage.h"

/* What the tape hangs on a tensor. This room only counts it; autograd/ knows the rest. */
typedef struct cvl_node {
  int64_t refs;
  void (*destroy)(struct cvl_node *node); /* called when the last reference goes */
} cvl_node;

typedef struct cvl_tensor cvl_tensor;

/* Code that wants to see, or replace, a tensor's gradient during backward; a list, called in order of registration. */
typedef struct cvl_hook cvl_hook;
struct cvl_hook {
  cvl_hook *next;
  void *context;
  /* May leave *g alone, or release it and put another tensor of the same shape in its place. */
  int (*call)(void *context, cvl_tensor **g, cvl_err *e);
  void (*release)(void *context);
};
void cvl_hooks_free(cvl_hook *list);

struct cvl_tensor {
  cvl_refs refs;
  cvl_dtype dtype;
  cvl_shape shape;
  int64_t stride[CVL_MAX_DIM]; /* elements */
  int64_t offset;              /* elements from the start of the storage */
  cvl_storage *storage; /* NULL: a shell that has lost its data, kept by the tape for its shape */
  bool requires_grad;
  cvl_node *node;   /* the operation that made it; NULL for a leaf */
  cvl_tensor *grad; /* of a leaf: d loss / d tensor, same shape and dtype, or NULL */
  cvl_hook *hooks;  /* of a leaf */
};

/* A dense tensor, contents unspecified; on the CPU when device is NULL. CVL_ESHAPE, CVL_ENOMEM. */
cvl_tensor *cvl_tensor_new(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device, cvl_err *e);
/* The same with every byte 0. */
cvl_tensor *cvl_tensor_zeros(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device,
                             cvl_err *e);
/* Another tensor over the same storage, outside of the tape; the caller then sets shape, stride and offset. */
cvl_tensor *cvl_tensor_alias(const cvl_tensor *x, cvl_err *e);
/* The shape, type and tape of x without its data. */
cvl_tensor *cvl_tensor_shell(const cvl_tensor *x, cvl_err *e);
cvl_tensor *cvl_retain(cvl_tensor *x); /* returns x */
void cvl_release(cvl_tensor *x);       /* NULL is fine */

void cvl_node_retain(cvl_node *node);
void cvl_node_release(cvl_node *node); /* NULL is fine */

static inline int64_t cvl_count(const cvl_tensor *x) { return cvl_shape_count(&x->shape); }
static inline cvl_device *cvl_device_of(const cvl_tensor *x) { return x->storage->device; }
/* Address of the first element; valid on the host only when the device is host_visible. */
static inline void *cvl_data(const cvl_tensor *x) {
  return (char *)x->storage->data + x->offset * (int64_t)cvl_dtype_size(x->dtype);
}
/* Row-major without gaps. Sizes of 1 and empty tensors have no say. */
bool cvl_is_dense(const cvl_tensor *x);

/*
** move.c: values in and out, on any device. What reads elements on the host takes cvl_tensor_on_host first.
*/
/* dst <- src, element by element, any strides and devices; same dtype, src is broadcast to dst's shape. */
int cvl_tensor_copy(cvl_tensor *dst, const cvl_tensor *src, cvl_err *e);
/* A dense copy of x on `device`, outside of the tape. */
cvl_tensor *cvl_tensor_clone(const cvl_tensor *x, cvl_device *device, cvl_err *e);
/* A tensor with x's values that the host can read: x itself, or a dense copy. The caller releases it. */
cvl_tensor *cvl_tensor_on_host(cvl_tensor *x, cvl_err *e);
/* Every element of a dense tensor becomes v, converted to its type; or 0. Cannot fail on the CPU but in a recording. */
int cvl_tensor_fill(cvl_tensor *x, double v, cvl_err *e);
int cvl_tensor_clear(cvl_tensor *x, cvl_err *e);
/* A dense tensor of which every element is v. */
cvl_tensor *cvl_tensor_full(const cvl_shape *shape, cvl_dtype dtype, cvl_device *device, double v,
                            cvl_err *e);
/* The value of a one-element host tensor. */
double cvl_tensor_item(const cvl_tensor *x);
/* The element at `index` (in storage elements from cvl_data) as a number; host tensors. */
double cvl_element(const cvl_tensor *x, int64_t index);

/* NumPy's layout of x as text: elided in the middle of long axes, then shape, dtype and device. cvl_free the result. */
char *cvl_tensor_text(const cvl_tensor *x, cvl_err *e);

#endif

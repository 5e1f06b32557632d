/*
** Reductions: which axes of x go and which stay, put so that loops are short to write. Axes of
** either kind that lie evenly in memory are merged. Elements that one output is made of are counted
** from 0 in x's row-major order.
*/
#ifndef CVL_OPS_REDUCE_H
#define CVL_OPS_REDUCE_H

#include "ops/op.h"

typedef struct {
  cvl_ints axis; /* n == -1: all */
  bool keep;
} cvl_reduce_options;

typedef struct {
  int64_t axis; /* CVL_NO_AXIS: x flattened */
  bool keep;
} cvl_find_options;

typedef struct cvl_axes_walk {
  int ndim;                                      /* at least 1 */
  int64_t dim[CVL_MAX_DIM], stride[CVL_MAX_DIM]; /* elements */
} cvl_axes_walk;

typedef struct cvl_reduction {
  cvl_axes_walk kept, reduced;
  int64_t outputs, count; /* count: elements per output */
} cvl_reduction;

/* The user's axes as a set; an axis named twice is an error. */
int cvl_reduce_axes(const cvl_ints *axes, int ndim, bool set[CVL_MAX_DIM], cvl_err *e);
/* One axis as a set, all when CVL_NO_AXIS. */
int cvl_reduce_axis(int64_t axis, int ndim, bool set[CVL_MAX_DIM], cvl_err *e);
/* y's shape: reduced axes have size 1 (keep) or are not there. */
void cvl_reduce_shape(const cvl_shape *x, const bool set[CVL_MAX_DIM], bool keep, cvl_shape *y);
/* Errors when nothing is left to choose from: an empty x for max and the like. */
int cvl_reduce_not_empty(const cvl_shape *x, const bool set[CVL_MAX_DIM], cvl_err *e);
void cvl_reduction_init(cvl_reduction *r, const cvl_tensor *x, const bool set[CVL_MAX_DIM]);

/* Where element `index` of a walk lies, in elements from the first. */
CVL_BOTH static inline int64_t cvl_walk_offset(const cvl_axes_walk *w, int64_t index) {
  int64_t offset = 0;
  for (int d = w->ndim - 1; d > 0 && index > 0; d--) {
    offset += index % w->dim[d] * w->stride[d];
    index /= w->dim[d];
  }
  return offset + index * w->stride[0];
}

/* Goes through elements first..last-1 of a walk in evenly spaced pieces:
**   for (cvl_piece p = cvl_pieces(first, last); cvl_next_piece(w, &p);) ... p.n elements from
**   p.offset, p.step apart */
typedef struct cvl_piece {
  int64_t offset, n, step, first; /* first: index of the piece's first element */
  int64_t next, last;
} cvl_piece;

static inline cvl_piece cvl_pieces(int64_t first, int64_t last) {
  cvl_piece p = {0, 0, 0, 0, first, last};
  return p;
}

static inline bool cvl_next_piece(const cvl_axes_walk *w, cvl_piece *p) {
  int64_t row = w->dim[w->ndim - 1], left;
  if (p->next >= p->last) return false;
  left = row - p->next % row;
  p->first = p->next;
  p->offset = cvl_walk_offset(w, p->next);
  p->n = left < p->last - p->next ? left : p->last - p->next;
  p->step = w->stride[w->ndim - 1];
  p->next += p->n;
  return true;
}

#endif

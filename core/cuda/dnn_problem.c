#include "cuda/dnn_problem.h"

#include <string.h>

/* Places of the padded input that a filter reads: those behind it do not count. */
static int64_t span(const cvl_conv *c, int i) {
  return (c->out[i] - 1) * c->stride[i] + c->dilation[i] * (c->filter[i] - 1) + 1;
}

/* Whether zeros of `before` at both ends, cut where no window begins, give the same number of outputs. */
static bool symmetric(const cvl_conv *c, int i) {
  int64_t room = c->in[i] + 2 * c->before[i] - (c->dilation[i] * (c->filter[i] - 1) + 1);
  return room >= 0 && room / c->stride[i] + 1 == c->out[i];
}

void cvl_dnn_problem_of(cvl_dnn_problem *p, cvl_dnn_pass pass, cudnnDataType_t type,
                        const cvl_conv *c) {
  int first = c->in[0] == 1 && c->filter[0] == 1 && c->out[0] == 1 && c->before[0] == 0;
  memset(p, 0, sizeof *p); /* padding bytes too: problems are compared as bytes */
  p->conv.pass = pass;
  p->conv.type = type;
  p->conv.axes = CVL_DNN_MOST_AXES - first;
  p->conv.N = c->N;
  p->conv.C = c->C;
  p->conv.K = c->K;
  p->conv.groups = c->groups;
  for (int i = first; i < CVL_DNN_MOST_AXES; i++) {
    int k = i - first;
    p->conv.in[k] = c->in[i];
    p->conv.filter[k] = c->filter[i];
    p->conv.out[k] = c->out[i];
    p->conv.stride[k] = c->stride[i];
    p->conv.dilation[k] = c->dilation[i];
    p->conv.padding[k] = c->before[i];
    if (symmetric(c, i)) continue;
    p->padded = true;
    p->shift[k] = c->before[i];
    p->conv.padding[k] = 0;
    p->conv.in[k] = span(c, i);
    if (p->conv.in[k] < c->before[i] + c->in[i]) p->conv.in[k] = c->before[i] + c->in[i];
  }
}

#include "kernels/conv.h"

#include <stdbool.h>

#include "kernels/depthwise.h"
#include "kernels/implicit_gemm.h"

static bool is_depthwise(const cvl_conv *p) {
  return p->groups == p->C && p->C == p->K && p->C > 1;
}

int cvl_conv_forward(const cvl_conv *p, const float *x, const float *w, const float *bias, float *y,
                     cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_forward(p, x, w, bias, y, e);
  return cvl_implicit_forward(p, x, w, bias, y, e);
}

int cvl_conv_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                           cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_backward_data(p, gy, w, gx, e);
  return cvl_implicit_backward_data(p, gy, w, gx, e);
}

int cvl_conv_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_backward_filter(p, x, gy, gw, e);
  return cvl_implicit_backward_filter(p, x, gy, gw, e);
}

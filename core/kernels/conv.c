#include "kernels/conv.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/depthwise.h"
#include "kernels/implicit_gemm.h"
#include "kernels/patches.h"
#include "kernels/winograd.h"

static bool is_depthwise(const cvl_conv *p) {
  return p->groups == p->C && p->C == p->K && p->C > 1;
}

/*
** Winograd when it is possible and its work is estimated to be less. Work is counted in products of one tile or output
** with all channels, C * K; a place of a tile or filter costs about as much to transform as 20 products. Both algorithms
** run at about the same rate. The direct one skips taps outside the map (implicit_gemm.c), hence the shares that hit.
** CONVLUA_CONV=direct or winograd forces one, for tests and measurements.
*/
static bool prefers_winograd(const cvl_conv *p) {
  const char *forced = getenv("CONVLUA_CONV");
  if (!cvl_winograd_possible(p) || (forced != NULL && strcmp(forced, "direct") == 0)) return false;
  if (forced != NULL && strcmp(forced, "winograd") == 0) return true;
  cvl_axis h = cvl_axis_forward(p, 1), w = cvl_axis_forward(p, 2);
  double hits = (1 - cvl_axis_waste(&h)) * (1 - cvl_axis_waste(&w)), C = (double)p->C,
         K = (double)p->K;
  double direct = 9 * hits * (double)(p->N * p->out[1] * p->out[2]) * C * K;
  double tiles = (double)(p->N * ((p->out[1] + 3) / 4) * ((p->out[2] + 3) / 4));
  double places = p->stride[1] == 1 ? 36 : 81;
  return places * tiles * (C * K + 20 * (C + K)) + 36 * 20 * C * K < direct;
}

int cvl_conv_forward(const cvl_conv *p, const float *x, const float *w, const float *bias, float *y,
                     cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_forward(p, x, w, bias, y, e);
  if (prefers_winograd(p)) return cvl_winograd_forward(p, x, w, bias, y, e);
  return cvl_implicit_forward(p, x, w, bias, y, e);
}

int cvl_conv_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                           cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_backward_data(p, gy, w, gx, e);
  if (prefers_winograd(p)) return cvl_winograd_backward_data(p, gy, w, gx, e);
  return cvl_implicit_backward_data(p, gy, w, gx, e);
}

int cvl_conv_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                             cvl_err *e) {
  if (is_depthwise(p)) return cvl_depthwise_backward_filter(p, x, gy, gw, e);
  if (prefers_winograd(p)) return cvl_winograd_backward_filter(p, x, gy, gw, e);
  return cvl_implicit_backward_filter(p, x, gy, gw, e);
}

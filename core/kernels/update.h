/*
** The inner loops of optimizers: n consecutive elements of a parameter w, its gradient g and its state, in one pass.
** g is first made into  g' = clamp(g scale, -limit, limit) + l2 w.  float and double, one source, compiled per ISA.
*/
#ifndef CVL_KERNELS_UPDATE_H
#define CVL_KERNELS_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cvl_gradient_rule {
  double scale, limit, l2;
  double
      keep; /* w is multiplied by it before the update: 1, or 1 - lr * decay when that is decoupled */
} cvl_gradient_rule;

/* v <- momentum v - lr g';   w <- keep w + v, or with nesterov keep w + momentum v - lr g' */
typedef struct cvl_sgd_rule {
  cvl_gradient_rule gradient;
  double lr, momentum;
  bool nesterov;
} cvl_sgd_rule;

/* m <- beta1 m + (1 - beta1) g';  v <- beta2 v + (1 - beta2) g'^2;  u <- v, or with amsgrad max(u, v)
** w <- keep w - lr m / bias1 / (sqrt(u / bias2) + epsilon), bias = 1 - beta^t */
typedef struct cvl_adam_rule {
  cvl_gradient_rule gradient;
  double lr, beta1, beta2, epsilon, bias1, bias2;
} cvl_adam_rule;

/* v == NULL: no momentum. u == NULL: no amsgrad. */
typedef struct cvl_update_kernels {
  void (*sgd_f32)(const cvl_sgd_rule *r, int64_t n, const float *g, float *w, float *v);
  void (*sgd_f64)(const cvl_sgd_rule *r, int64_t n, const double *g, double *w, double *v);
  void (*adam_f32)(const cvl_adam_rule *r, int64_t n, const float *g, float *w, float *m, float *v,
                   float *u);
  void (*adam_f64)(const cvl_adam_rule *r, int64_t n, const double *g, double *w, double *m,
                   double *v, double *u);
  double (*squares_f32)(int64_t n,
                        const float *x); /* the sum of x^2; not finite when an x is not */
  double (*squares_f64)(int64_t n, const double *x);
} cvl_update_kernels;

extern const cvl_update_kernels cvl_update_baseline, cvl_update_avx2, cvl_update_avx512;
const cvl_update_kernels *cvl_update_used(void);

#endif

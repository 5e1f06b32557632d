/* The loops of update.h for one element type: included by update_isa.c with REAL, SQRT and NAME(function) defined. */

static inline REAL NAME(gradient)(const cvl_gradient_rule *r, REAL g, REAL w) {
  REAL limit = (REAL)r->limit;
  g *= (REAL)r->scale;
  g = g > limit ? limit : g; /* NaN stays */
  g = g < -limit ? -limit : g;
  return g + (REAL)r->l2 * w;
}

static void NAME(sgd)(const cvl_sgd_rule *rule, int64_t n, const REAL *restrict g, REAL *restrict w,
                      REAL *restrict v) {
  const cvl_gradient_rule r = rule->gradient; /* a copy: nothing that is stored can change it */
  const REAL lr = (REAL)rule->lr, momentum = (REAL)rule->momentum, keep = (REAL)r.keep;
  if (v == NULL) {
    for (int64_t i = 0; i < n; i++) w[i] = keep * w[i] - lr * NAME(gradient)(&r, g[i], w[i]);
  } else if (rule->nesterov) {
    for (int64_t i = 0; i < n; i++) {
      REAL step = lr * NAME(gradient)(&r, g[i], w[i]);
      v[i] = momentum * v[i] - step;
      w[i] = keep * w[i] + (momentum * v[i] - step);
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      v[i] = momentum * v[i] - lr * NAME(gradient)(&r, g[i], w[i]);
      w[i] = keep * w[i] + v[i];
    }
  }
}

static void NAME(adam)(const cvl_adam_rule *rule, int64_t n, const REAL *restrict g,
                       REAL *restrict w, REAL *restrict m, REAL *restrict v, REAL *restrict u) {
  const cvl_gradient_rule r = rule->gradient;
  const REAL lr = (REAL)(rule->lr / rule->bias1), beta1 = (REAL)rule->beta1,
             beta2 = (REAL)rule->beta2;
  const REAL rest1 = (REAL)(1 - rule->beta1), rest2 = (REAL)(1 - rule->beta2), keep = (REAL)r.keep;
  const REAL scale = (REAL)(1 / rule->bias2), epsilon = (REAL)rule->epsilon;
  if (u == NULL) {
    for (int64_t i = 0; i < n; i++) {
      REAL d = NAME(gradient)(&r, g[i], w[i]);
      m[i] = beta1 * m[i] + rest1 * d;
      v[i] = beta2 * v[i] + rest2 * d * d;
      w[i] = keep * w[i] - lr * m[i] / (SQRT(v[i] * scale) + epsilon);
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      REAL d = NAME(gradient)(&r, g[i], w[i]);
      m[i] = beta1 * m[i] + rest1 * d;
      v[i] = beta2 * v[i] + rest2 * d * d;
      u[i] = u[i] > v[i] ? u[i] : v[i];
      w[i] = keep * w[i] - lr * m[i] / (SQRT(u[i] * scale) + epsilon);
    }
  }
}

/* In double, in so many sums side by side that they fill vectors. */
static double NAME(squares)(int64_t n, const REAL *x) {
  enum { SUMS = 16 };
  double s[SUMS] = {0}, all = 0;
  int64_t i = 0;
  for (; i + SUMS <= n; i += SUMS)
    for (int k = 0; k < SUMS; k++) s[k] += (double)x[i + k] * (double)x[i + k];
  for (; i < n; i++) s[0] += (double)x[i] * (double)x[i];
  for (int k = 0; k < SUMS; k++) all += s[k];
  return all;
}

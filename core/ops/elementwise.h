/*
** Loops for ops that work element by element. A file writes the formula and its derivative as CVL_SCALAR functions and
** names them in one of the macros below; strides, broadcasting and threads are taken care of here.
**
**   CVL_UNARY(name, options, f, df)             y = f(x, o)         gx = gy * df(x, y, o)
**   CVL_UNARY_FORWARD(name, options, f)         the same without a derivative
**   CVL_TEST(name, f)                           y = f(x) as bool
**   CVL_BINARY(name, options, f, dfa, dfb)      y = f(a, b, o)      ga = gy * dfa(a, b, y, o), gb likewise
**   CVL_BINARY_FORWARD(name, options, f)
**   CVL_COMPARE(name, f)                        y = f(a, b) as bool
**   CVL_SELECT(name)                            y = c ? a : b      c is bool
** `options` is the op's struct, or cvl_no_options. A file with the word CVL_EVERY_DEVICE in it, which must then hold nothing
** else for kernels, is read by nvcc too: cuda/elementwise.cuh, included before it, has the loops of the device.
*/
#ifndef CVL_OPS_ELEMENTWISE_H
#define CVL_OPS_ELEMENTWISE_H

#include "ops/op.h"

typedef struct {
  char none;
} cvl_no_options;

#include "ops/math.h"
#define CVL_SCALAR CVL_INLINE_

#ifdef CVL_DESCRIBE
#define CVL_UNARY(name, opts, f, df)
#define CVL_UNARY_FORWARD(name, opts, f)
#define CVL_TEST(name, f)
#define CVL_BINARY(name, opts, f, dfa, dfb)
#define CVL_BINARY_FORWARD(name, opts, f)
#define CVL_COMPARE(name, f)
#define CVL_SELECT(name)
#else
#ifndef __CUDACC__
#include "tensor/loop.h"

/* Element i of an operand of a row. */
#define CVL_AT(type, k, i) (*(type *)(p[k] + (i)*l->step[k]))
#define CVL_UNIT(k, type) (l->step[k] == (int64_t)sizeof(type))

#define CVL_UNARY_FORWARD_(name, opts, type, f)                                            \
  static void name##_row(const cvl_loop *l, int64_t n, char *const *p) {                   \
    const opts *o = l->context;                                                            \
    (void)o;                                                                               \
    if (CVL_UNIT(0, type) && CVL_UNIT(1, real)) {                                          \
      type *restrict y = (type *)p[0];                                                     \
      const real *restrict x = (const real *)p[1];                                         \
      for (int64_t i = 0; i < n; i++) y[i] = (type)f(x[i], o);                             \
    } else {                                                                               \
      for (int64_t i = 0; i < n; i++) CVL_AT(type, 0, i) = (type)f(CVL_AT(real, 1, i), o); \
    }                                                                                      \
  }                                                                                        \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                      \
    const cvl_tensor *operands[] = {y, a->in[0]};                                          \
    cvl_loop l;                                                                            \
    (void)e;                                                                               \
    cvl_loop_init(&l, &y->shape, operands, 2);                                             \
    l.context = a->options;                                                                \
    cvl_loop_run(&l, name##_row);                                                          \
    return 0;                                                                              \
  }

/* x or y may have been dropped by the tape (.drops): then df must not look at it, and y or gy
** stands in. */
#define CVL_UNARY_BACKWARD_(name, opts, df)                                                      \
  static void name##_grad_row(const cvl_loop *l, int64_t n, char *const *p) {                    \
    const opts *o = l->context;                                                                  \
    (void)o;                                                                                     \
    if (CVL_UNIT(0, real) && CVL_UNIT(1, real) && CVL_UNIT(2, real) && CVL_UNIT(3, real)) {      \
      real *restrict gx = (real *)p[0];                                                          \
      const real *gy = (const real *)p[1], *x = (const real *)p[2], *y = (const real *)p[3];     \
      for (int64_t i = 0; i < n; i++) gx[i] = gy[i] * df(x[i], y[i], o);                         \
    } else {                                                                                     \
      for (int64_t i = 0; i < n; i++)                                                            \
        CVL_AT(real, 0, i) = CVL_AT(real, 1, i) * df(CVL_AT(real, 2, i), CVL_AT(real, 3, i), o); \
    }                                                                                            \
  }                                                                                              \
  static int name##_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,       \
                             cvl_tensor *const *gx, cvl_err *e) {                                \
    const cvl_tensor *x = a->in[0]->storage != NULL ? a->in[0] : gy;                             \
    const cvl_tensor *operands[] = {gx[0], gy, x, y->storage != NULL ? y : gy};                  \
    cvl_loop l;                                                                                  \
    (void)e;                                                                                     \
    cvl_loop_init(&l, &gx[0]->shape, operands, 4);                                               \
    l.context = a->options;                                                                      \
    cvl_loop_run(&l, name##_grad_row);                                                           \
    return 0;                                                                                    \
  }

#define CVL_BINARY_FORWARD_(name, opts, type, f)                                     \
  static void name##_row(const cvl_loop *l, int64_t n, char *const *p) {             \
    const opts *o = l->context;                                                      \
    (void)o;                                                                         \
    if (CVL_UNIT(0, type) && CVL_UNIT(1, real) && CVL_UNIT(2, real)) {               \
      type *restrict y = (type *)p[0];                                               \
      const real *restrict u = (const real *)p[1], *restrict v = (const real *)p[2]; \
      for (int64_t i = 0; i < n; i++) y[i] = (type)f(u[i], v[i], o);                 \
    } else if (CVL_UNIT(0, type) && CVL_UNIT(1, real) && l->step[2] == 0) {          \
      type *restrict y = (type *)p[0];                                               \
      const real *restrict u = (const real *)p[1];                                   \
      const real v = CVL_AT(real, 2, 0);                                             \
      for (int64_t i = 0; i < n; i++) y[i] = (type)f(u[i], v, o);                    \
    } else if (CVL_UNIT(0, type) && l->step[1] == 0 && CVL_UNIT(2, real)) {          \
      type *restrict y = (type *)p[0];                                               \
      const real u = CVL_AT(real, 1, 0);                                             \
      const real *restrict v = (const real *)p[2];                                   \
      for (int64_t i = 0; i < n; i++) y[i] = (type)f(u, v[i], o);                    \
    } else {                                                                         \
      for (int64_t i = 0; i < n; i++)                                                \
        CVL_AT(type, 0, i) = (type)f(CVL_AT(real, 1, i), CVL_AT(real, 2, i), o);     \
    }                                                                                \
  }                                                                                  \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                \
    const cvl_tensor *operands[] = {y, a->in[0], a->in[1]};                          \
    cvl_loop l;                                                                      \
    (void)e;                                                                         \
    cvl_loop_init(&l, &y->shape, operands, 3);                                       \
    l.context = a->options;                                                          \
    cvl_loop_run(&l, name##_row);                                                    \
    return 0;                                                                        \
  }

#define CVL_BINARY_GRAD_(name, suffix, opts, df)                                                  \
  static void name##_##suffix(const cvl_loop *l, int64_t n, char *const *p) {                     \
    const opts *o = l->context;                                                                   \
    (void)o;                                                                                      \
    for (int64_t i = 0; i < n; i++)                                                               \
      CVL_AT(real, 0, i) =                                                                        \
          CVL_AT(real, 1, i) * df(CVL_AT(real, 2, i), CVL_AT(real, 3, i), CVL_AT(real, 4, i), o); \
  }

#define CVL_BINARY_BACKWARD_(name, opts, dfa, dfb)                                            \
  CVL_BINARY_GRAD_(name, grad_a_row, opts, dfa)                                               \
  CVL_BINARY_GRAD_(name, grad_b_row, opts, dfb)                                               \
  static int name##_backward(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,    \
                             cvl_tensor *const *gx, cvl_err *e) {                             \
    (void)e;                                                                                  \
    for (int i = 0; i < 2; i++)                                                               \
      if (gx[i] != NULL) {                                                                    \
        const cvl_tensor *operands[] = {gx[i], gy, a->in[0]->storage != NULL ? a->in[0] : gy, \
                                        a->in[1]->storage != NULL ? a->in[1] : gy,            \
                                        y->storage != NULL ? y : gy};                         \
        cvl_loop l;                                                                           \
        cvl_loop_init(&l, &gx[i]->shape, operands, 5);                                        \
        l.context = a->options;                                                               \
        cvl_loop_run(&l, i == 0 ? name##_grad_a_row : name##_grad_b_row);                     \
      }                                                                                       \
    return 0;                                                                                 \
  }

/* c ? a : b */
#define CVL_CHOICE_FORWARD_(name)                                                              \
  static void name##_row(const cvl_loop *l, int64_t n, char *const *p) {                       \
    if (CVL_UNIT(0, real) && CVL_UNIT(1, uint8_t) && CVL_UNIT(2, real) && CVL_UNIT(3, real)) { \
      real *restrict y = (real *)p[0];                                                         \
      const uint8_t *restrict c = (const uint8_t *)p[1];                                       \
      const real *restrict u = (const real *)p[2], *restrict v = (const real *)p[3];           \
      for (int64_t i = 0; i < n; i++) {                                                        \
        real s = u[i], t = v[i];                                                               \
        y[i] = c[i] ? s : t;                                                                   \
      }                                                                                        \
    } else {                                                                                   \
      for (int64_t i = 0; i < n; i++)                                                          \
        CVL_AT(real, 0, i) = CVL_AT(uint8_t, 1, i) ? CVL_AT(real, 2, i) : CVL_AT(real, 3, i);  \
    }                                                                                          \
  }                                                                                            \
  static int name##_forward(cvl_args *a, cvl_tensor *y, cvl_err *e) {                          \
    const cvl_tensor *operands[] = {y, a->in[0], a->in[1], a->in[2]};                          \
    cvl_loop l;                                                                                \
    (void)e;                                                                                   \
    cvl_loop_init(&l, &y->shape, operands, 4);                                                 \
    cvl_loop_run(&l, name##_row);                                                              \
    return 0;                                                                                  \
  }
#endif /* not __CUDACC__ */

#define CVL_UNARY_FORWARD(name, opts, f) \
  CVL_UNARY_FORWARD_(name, opts, real, f) CVL_KERNELS(name, name##_forward, NULL)
#define CVL_TEST(name, f)                                                                      \
  CVL_SCALAR uint8_t name##_adapted(real x, const cvl_no_options *o) { return (void)o, f(x); } \
  CVL_UNARY_FORWARD_(name, cvl_no_options, uint8_t, name##_adapted)                            \
  CVL_KERNELS(name, name##_forward, NULL)
#define CVL_BINARY_FORWARD(name, opts, f) \
  CVL_BINARY_FORWARD_(name, opts, real, f) CVL_KERNELS(name, name##_forward, NULL)
#define CVL_COMPARE_ADAPT_(name, f)                                            \
  CVL_SCALAR uint8_t name##_adapted(real u, real v, const cvl_no_options *o) { \
    return (void)o, f(u, v);                                                   \
  }
#define CVL_COMPARE(name, f)                                         \
  CVL_COMPARE_ADAPT_(name, f)                                        \
  CVL_BINARY_FORWARD_(name, cvl_no_options, uint8_t, name##_adapted) \
  CVL_KERNELS(name, name##_forward, NULL)
#define CVL_SELECT(name) CVL_CHOICE_FORWARD_(name) CVL_KERNELS(name, name##_forward, NULL)
#if CVL_FLOATING
#define CVL_UNARY(name, opts, f, df)      \
  CVL_UNARY_FORWARD_(name, opts, real, f) \
  CVL_UNARY_BACKWARD_(name, opts, df)     \
  CVL_KERNELS(name, name##_forward, name##_backward)
#define CVL_BINARY(name, opts, f, dfa, dfb)  \
  CVL_BINARY_FORWARD_(name, opts, real, f)   \
  CVL_BINARY_BACKWARD_(name, opts, dfa, dfb) \
  CVL_KERNELS(name, name##_forward, name##_backward)
#else
#define CVL_UNARY(name, opts, f, df) CVL_UNARY_FORWARD(name, opts, f)
#define CVL_BINARY(name, opts, f, dfa, dfb) CVL_BINARY_FORWARD(name, opts, f)
#endif

#endif /* CVL_DESCRIBE */
#endif

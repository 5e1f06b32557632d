/*
** contiguous(x) -> y        y = x, dense; x itself when it is dense already
** cast(x, dtype) -> y       y = x in another element type; to integers by truncation, to bool by x != 0
*/
/* CVL_EVERY_DTYPE, CVL_HALF */
#include "ops/cast.h"
#include "ops/elementwise.h"

#ifndef CVL_DESCRIBE
#define CAST(to, name)                                                             \
  static void to_##name(const cvl_loop *l, int64_t n, char *const *p) {            \
    for (int64_t i = 0; i < n; i++)                                                \
      CVL_AT(to, 0, i) = cvl_to_##name(cvl_from_stored(CVL_AT(cvl_stored, 1, i))); \
  }
CAST(float, f32)
CAST(double, f64)
CAST(int32_t, i32)
CAST(int64_t, i64)
CAST(uint8_t, u8)
CAST(uint8_t, bool)
CAST(uint16_t, bf16)
CAST(uint16_t, f16)

static int cast(cvl_args *a, cvl_tensor *y, cvl_err *e) {
  static cvl_row *const rows[CVL_DTYPE_COUNT] = {to_f32, to_f64,  to_i32,  to_i64,
                                                 to_u8,  to_bool, to_bf16, to_f16};
  const cvl_tensor *operands[] = {y, a->in[0]};
  cvl_loop l;
  (void)e;
  cvl_loop_init(&l, &y->shape, operands, 2);
  cvl_loop_run(&l, rows[y->dtype]);
  return 0;
}
CVL_KERNELS(cast, cast, NULL)
#else
#include "ops/call.h"

static cvl_tensor *same(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  (void)s, (void)a, (void)y, (void)i;
  return gy;
}

static int copy(cvl_args *a, cvl_tensor *y, cvl_err *e) { return cvl_tensor_copy(y, a->in[0], e); }
static const cvl_kernels copy_kernels = {.forward = copy};

static bool dense(const cvl_args *a) { return cvl_is_dense(a->in[0]); }

CVL_OP(contiguous,
  .doc = "contiguous(x) -> y\nx in row-major order without gaps: x itself, or a copy.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL, .shape = cvl_shape_same, .trivial = dense, .vjp = same,
  .anywhere = &copy_kernels,
  CVL_SAMPLES("contiguous(randn{2, 3}:transpose(1, 2))"), CVL_REJECTS({"contiguous(nil)", "tensor expected, got nil"}));

static int shape(const cvl_args *a, cvl_meta *y, cvl_err *e) {
  (void)e;
  y->dtype = (cvl_dtype)((const cvl_cast_options *)a->options)->dtype;
  return 0;
}

static bool same_type(const cvl_args *a) {
  return a->in[0]->dtype == (cvl_dtype)((const cvl_cast_options *)a->options)->dtype;
}

static cvl_tensor *vjp(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i) {
  (void)y;
  return cvl_cast(s, gy, a->in[i]->dtype);
}

CVL_OP(cast,
  .doc = "cast(x, dtype) -> y\n"
         "x in another element type: \"float32\", \"float64\", \"bfloat16\" or \"float16\" (rounded to nearest, ties to even), "
         "\"int32\", \"int64\", \"uint8\" or \"bool\". Integers are "
         "truncated towards 0 and saturate; NaN becomes 0; bool is x ~= 0.",
  .n_in = 1, .strided = true, .drops = CVL_DROP_ALL,
  CVL_OPTIONS(cvl_cast_options, CVL_DTYPE(cvl_cast_options, dtype, CVL_REQUIRED, "the new element type")),
  .shape = shape, .trivial = same_type, .vjp = vjp,
  CVL_SAMPLES("cast(randn{2, 3}, \"float64\")", "cast(randn{3, 2}:transpose(1, 2), \"float64\")",
              "cast(randn{2, 3}, \"bfloat16\")", "cast(randn{2, 3}, \"float16\")"),
  CVL_REJECTS({"cast(randn{2}, \"float8\")", "no element type 'float8'"}));
#endif

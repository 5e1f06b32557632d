/*
** The plugin's kernels by the names of ops and of optimizers' rules. Kernel files define symbols such as
** cvl_relu_cuda_f32 (CVL_KERNELS in ops/op.h) and cvl_optim_SGD_cuda_f32; those that nobody defines are NULL here.
*/
#include <string.h>

#include "cuda/runtime.h"
#include "ops/op.h"
#include "optim/optim.h"

#define WEAK __attribute__((weak))
#define X(name)                                                                            \
  extern const cvl_kernels cvl_##name##_cuda_f32 WEAK, cvl_##name##_cuda_f64 WEAK,         \
      cvl_##name##_cuda_bf16 WEAK, cvl_##name##_cuda_f16 WEAK, cvl_##name##_cuda_i32 WEAK, \
      cvl_##name##_cuda_i64 WEAK, cvl_##name##_cuda_u8 WEAK;
#include "op_list.h" /* generated: X(abs) X(add) ... */
#undef X
#define X(name) \
  extern const cvl_optim_kernels cvl_optim_##name##_cuda_f32 WEAK, cvl_optim_##name##_cuda_f64 WEAK;
#include "optim_list.h" /* generated: X(Adam) ... */
#undef X

typedef struct {
  const char *name;
  const void *by_type[CVL_DTYPE_COUNT];
} entry;

static const entry ops[] = {
#define X(name)                           \
  {#name,                                 \
   {[CVL_F32] = &cvl_##name##_cuda_f32,   \
    [CVL_F64] = &cvl_##name##_cuda_f64,   \
    [CVL_BF16] = &cvl_##name##_cuda_bf16, \
    [CVL_F16] = &cvl_##name##_cuda_f16,   \
    [CVL_I32] = &cvl_##name##_cuda_i32,   \
    [CVL_I64] = &cvl_##name##_cuda_i64,   \
    [CVL_U8] = &cvl_##name##_cuda_u8,     \
    [CVL_BOOL] = &cvl_##name##_cuda_u8}},
#include "op_list.h"
#undef X
};

static const entry rules[] = {
#define X(name) \
  {#name, {[CVL_F32] = &cvl_optim_##name##_cuda_f32, [CVL_F64] = &cvl_optim_##name##_cuda_f64}},
#include "optim_list.h"
#undef X
};

/* The lists are sorted. */
static const void *find(const entry *list, int n, const char *name, int dtype) {
  int low = 0, high = n - 1;
  while (low <= high) {
    int middle = (low + high) / 2, order = strcmp(name, list[middle].name);
    if (order == 0) return list[middle].by_type[dtype];
    if (order < 0)
      high = middle - 1;
    else
      low = middle + 1;
  }
  return NULL;
}

const cvl_kernels *cvl_cuda_kernels(cvl_device *d, const char *op, int dtype) {
  (void)d;
  return find(ops, sizeof ops / sizeof ops[0], op, dtype);
}

const cvl_optim_kernels *cvl_cuda_optim_kernels(cvl_device *d, const char *rule, int dtype) {
  (void)d;
  return find(rules, sizeof rules / sizeof rules[0], rule, dtype);
}

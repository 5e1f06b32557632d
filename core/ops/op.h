/*
** An operation is one file, or one entry of a family's file, in this folder. The file is compiled
** several times: once per element type (and, for float32, per ISA) with CVL_REAL and CVL_SUFFIX
** set, which makes the kernels; and once with CVL_DESCRIBE set, which makes the descriptor, `const
** cvl_op cvl_op_<name>`. The list of ops is read from the lines that start with CVL_OP(. From a
** descriptor come the Lua function and method, the checks of its arguments, help(), the reference,
** the tape entry and the specs.
*/
#ifndef CVL_OPS_OP_H
#define CVL_OPS_OP_H

#include <stddef.h>

#include "base/rng.h"
#include "ops/precision.h"
#include "tensor/tensor.h"

enum { CVL_MAX_SAVED = 4, CVL_OPTION_BYTES = 640, CVL_MAX_INPUTS = 1024 };

typedef struct cvl_op cvl_op;

/* One call: what went in, and what forward leaves for backward. */
typedef struct cvl_args {
  const cvl_op *op;
  int n_in;
  cvl_tensor **in;                  /* n_in inputs; NULL: an optional one left out */
  const void *options;              /* the op's own struct */
  cvl_tensor *saved[CVL_MAX_SAVED]; /* set by forward, a reference each, released by the node */
  cvl_rng rng; /* random ops: the blocks this call may draw; forward and backward see the same */
  cvl_precision precision; /* of the products, when called; forward and backward see the same */
  bool taped; /* forward: a gradient may be asked for later; else nothing need be saved */
  int add;    /* backward: bit i: it adds to gx[i]; only bits of its kernels' .adds */
} cvl_args;

typedef struct cvl_meta {
  cvl_shape shape;
  cvl_dtype dtype;
} cvl_meta;

/*
** One per op, device and element type. Inputs and gradients are dense unless the op is .strided;
** the output always is. forward writes y. backward writes gx[i], which is NULL where no gradient is
** wanted, and has the shape of in[i], or of y when the op .broadcasts; the walker adds and reduces.
** Of the inputs in .adds it adds to what gx[i] holds when the call's .add says so: a sum that is
** made while the gradient is at hand is a pass over memory less. Both return 0 or -1 with e filled.
*/
typedef struct cvl_kernels {
  int (*forward)(cvl_args *a, cvl_tensor *y, cvl_err *e);
  int (*backward)(const cvl_args *a, const cvl_tensor *y, const cvl_tensor *gy,
                  cvl_tensor *const *gx, cvl_err *e);
  int adds; /* bit i */
} cvl_kernels;

/* ------------------------------------------------------------------------------------ options */

typedef enum cvl_option_kind {
  CVL_OPT_NUMBER,  /* double */
  CVL_OPT_INT,     /* int64_t */
  CVL_OPT_BOOL,    /* bool */
  CVL_OPT_CHOICE,  /* int: position in .choices */
  CVL_OPT_AXIS,    /* int64_t: 0-based, or negative from the end; CVL_NO_AXIS when left out */
  CVL_OPT_AXES,    /* cvl_ints; n == -1 when left out */
  CVL_OPT_SHAPE,   /* cvl_ints of sizes; -1 where the user wrote -1 ("whatever fits") */
  CVL_OPT_SIZES,   /* cvl_ints, positive, one per spatial axis; n == 1 stands for all of them */
  CVL_OPT_PADDING, /* cvl_padding */
  CVL_OPT_PAIRS, /* cvl_padding with CVL_PAD_EXPLICIT: {{before, after}, ...} per axis, may be 0 */
  CVL_OPT_DTYPE  /* int: a cvl_dtype, or -1 when left out */
} cvl_option_kind;

#define CVL_NO_AXIS INT64_MIN

typedef struct cvl_ints {
  int n;
  int64_t v[CVL_MAX_DIM];
} cvl_ints;

/* "valid", "same" (TensorFlow's rule), an integer, {h, w} or {{top, bottom}, {left, right}} */
typedef enum cvl_pad_kind { CVL_PAD_VALID, CVL_PAD_SAME, CVL_PAD_EXPLICIT } cvl_pad_kind;
typedef struct cvl_padding {
  cvl_pad_kind kind;
  int n; /* pairs given; 1 stands for every spatial axis */
  int64_t before[CVL_MAX_DIM], after[CVL_MAX_DIM];
} cvl_padding;

typedef enum cvl_range {
  CVL_ANY,
  CVL_POSITIVE,     /* > 0 */
  CVL_NOT_NEGATIVE, /* >= 0 */
  CVL_PROBABILITY,  /* 0 <= p < 1 */
  CVL_REQUIRED      /* must be given */
} cvl_range;

typedef struct cvl_option {
  const char *name;
  cvl_option_kind kind;
  size_t offset;
  double def;
  cvl_range range;
  const char *const *choices; /* NULL-terminated */
  const char *doc;
} cvl_option;

/* `type` is the op's options struct, `field` both its member and the option's name. */
#define CVL_NUMBER(type, field, def, range, doc) \
  { #field, CVL_OPT_NUMBER, offsetof(type, field), def, range, NULL, doc }
#define CVL_INTEGER(type, field, def, range, doc) \
  { #field, CVL_OPT_INT, offsetof(type, field), def, range, NULL, doc }
#define CVL_FLAG(type, field, def, doc) \
  { #field, CVL_OPT_BOOL, offsetof(type, field), def, CVL_ANY, NULL, doc }
#define CVL_CHOICE(type, field, def, names, doc) \
  { #field, CVL_OPT_CHOICE, offsetof(type, field), def, CVL_ANY, names, doc }
#define CVL_AXIS(type, field, range, doc) \
  { #field, CVL_OPT_AXIS, offsetof(type, field), 0, range, NULL, doc }
#define CVL_AXES(type, field, range, doc) \
  { #field, CVL_OPT_AXES, offsetof(type, field), 0, range, NULL, doc }
#define CVL_SHAPE(type, field, doc) \
  { #field, CVL_OPT_SHAPE, offsetof(type, field), 0, CVL_REQUIRED, NULL, doc }
#define CVL_SIZES(type, field, def, doc) \
  { #field, CVL_OPT_SIZES, offsetof(type, field), def, CVL_POSITIVE, NULL, doc }
#define CVL_PADDING(type, field, doc) \
  { #field, CVL_OPT_PADDING, offsetof(type, field), 0, CVL_ANY, NULL, doc }
#define CVL_PAIRS(type, field, doc) \
  { #field, CVL_OPT_PAIRS, offsetof(type, field), 0, CVL_REQUIRED, NULL, doc }
#define CVL_DTYPE(type, field, range, doc) \
  { #field, CVL_OPT_DTYPE, offsetof(type, field), -1, range, NULL, doc }

#define CVL_OPTIONS(type, ...)                                    \
  .option_bytes = sizeof(type), .options = (const cvl_option[]) { \
    __VA_ARGS__, { NULL, 0, 0, 0, 0, NULL, NULL }                 \
  }

/* Writes every option's default into `options`; what is CVL_REQUIRED stays zero. */
void cvl_options_default(const cvl_option *list, void *options);

/* ------------------------------------------------------------------------------------- scopes */

/*
** Ops written with ops (vjp, compose, layers): the scope owns what they make and remembers the
** first error. After an error every further call does nothing and returns NULL, so that only the
** end needs a check.
*/
typedef struct cvl_scope cvl_scope;
struct cvl_scope {
  cvl_err *e;
  int n, room;
  cvl_tensor **owned;
  /* Runs an op and returns its result, owned by the scope. Set by autograd/, which is above this
  ** room. */
  cvl_tensor *(*apply)(cvl_scope *s, const cvl_op *op, cvl_tensor *const *in, int n_in,
                       const void *options);
};

/* -------------------------------------------------------------------------------- descriptors */

typedef struct cvl_reject {
  const char *call, *message; /* Lua, and a part of the error it must give */
} cvl_reject;

enum { /* .drops: what backward and vjp do without, so that the tape need not keep it alive */
       CVL_DROP_X0 = 1,
       CVL_DROP_X1 = 2,
       CVL_DROP_X2 = 4,
       CVL_DROP_Y = 1 << 30,
       CVL_DROP_ALL = -1
};

struct cvl_op {
  const char *name;
  const char *doc; /* "name(x, {option = default}) -> y\n" and sentences; shapes, formula, source */
  int n_in;        /* tensor inputs, the leading arguments; with .list they come as one table */
  int n_optional;  /* how many of the last inputs may be nil */
  const cvl_option *options; /* given as a trailing table, or by position in this order */
  size_t option_bytes;
  bool list;       /* the inputs are one table of tensors */
  bool strided;    /* kernels take any strides; otherwise inputs are made dense first */
  bool broadcasts; /* inputs are broadcast to y by NumPy's rule */
  bool promotes;   /* inputs are cast to their common type first; a Lua number takes the tensor's */
  int unpromoted;  /* bit i: .promotes leaves in[i] as it is; it may be a Lua number all the same */
  bool floating;   /* inputs (of the key's type) must be float32 or float64 */
  bool
      computes; /* composed of arithmetic, which wants float32 for bfloat16 and float16 throughout */
  bool random;  /* draws from the global generator */
  bool internal;   /* not shown to users: a part of another op's gradient */
  bool positions;  /* y holds positions or labels: from 0 here, from 1 in Lua; bind/ converts */
  int position_in; /* bit i: so does in[i] */
  int in_place; /* bit i: forward changes in[i], which must be dense: a dense copy would be lost */
  int key;      /* the input whose type picks the kernel */
  int drops;
  /* Shape and type of y; both start as those of in[key]. Touches no data. */
  int (*shape)(const cvl_args *a, cvl_meta *y, cvl_err *e);
  /* When it says yes, y is in[0] itself and nothing is done. May be NULL. */
  bool (*trivial)(const cvl_args *a);
  /* One of: kernels below; `view`, which sets y (an alias of in[0]) to the wanted part of the
  ** storage; or `compose`, which computes y with other ops, and the tape records those. */
  int (*view)(const cvl_args *a, cvl_tensor *y, cvl_err *e);
  cvl_tensor *(*compose)(cvl_scope *s, const cvl_args *a);
  /* d loss / d in[i], written with ops, so that it can be differentiated again; of in[i]'s
  ** shape, or y's when the op .broadcasts. Used where there is no backward kernel, and for
  ** create_graph. NULL: no second order. */
  cvl_tensor *(*vjp)(cvl_scope *s, const cvl_args *a, cvl_tensor *y, cvl_tensor *gy, int i);
  /* How many blocks of four random numbers a call draws; NULL: enough for one number per element
  ** of y. */
  int64_t (*draws)(const cvl_args *a, const cvl_meta *y);
  const char *const *samples;  /* Lua, NULL-terminated: tiny calls without kinks, for the specs */
  const cvl_reject *rejects;   /* .call == NULL ends */
  const cvl_kernels *anywhere; /* made of move.c's functions: for every device and type; or: */
  const cvl_kernels *cpu[3][CVL_DTYPE_COUNT]; /* by ISA and type; NULL where there is none */
};

#define CVL_SAMPLES(...) \
  .samples = (const char *const[]) { __VA_ARGS__, NULL }
#define CVL_REJECTS(...)            \
  .rejects = (const cvl_reject[]) { \
    __VA_ARGS__, { NULL, NULL }     \
  }

#define CVL_WEAK_(name, variant) \
  extern const cvl_kernels cvl_##name##_cpu_##variant __attribute__((weak));
#define CVL_OTHER_TYPES_(name)                                            \
  [CVL_F64] = &cvl_##name##_cpu_f64, [CVL_I32] = &cvl_##name##_cpu_i32,   \
  [CVL_I64] = &cvl_##name##_cpu_i64, [CVL_U8] = &cvl_##name##_cpu_u8,     \
  [CVL_BOOL] = &cvl_##name##_cpu_u8, [CVL_BF16] = &cvl_##name##_cpu_bf16, \
  [CVL_F16] = &cvl_##name##_cpu_f16
#define CVL_OP(op_name, ...)                                                              \
  CVL_WEAK_(op_name, f32_baseline)                                                        \
  CVL_WEAK_(op_name, f32_avx2)                                                            \
  CVL_WEAK_(op_name, f32_avx512)                                                          \
  CVL_WEAK_(op_name, f64)                                                                 \
  CVL_WEAK_(op_name, bf16)                                                                \
  CVL_WEAK_(op_name, f16)                                                                 \
  CVL_WEAK_(op_name, i32)                                                                 \
  CVL_WEAK_(op_name, i64) CVL_WEAK_(op_name, u8) extern const cvl_op cvl_op_##op_name;    \
  const cvl_op cvl_op_##op_name = {                                                       \
      .name = #op_name,                                                                   \
      .cpu = {{[CVL_F32] = &cvl_##op_name##_cpu_f32_baseline, CVL_OTHER_TYPES_(op_name)}, \
              {[CVL_F32] = &cvl_##op_name##_cpu_f32_avx2, CVL_OTHER_TYPES_(op_name)},     \
              {[CVL_F32] = &cvl_##op_name##_cpu_f32_avx512, CVL_OTHER_TYPES_(op_name)}},  \
      __VA_ARGS__};

/* The kernels of op for tensors like x: the CPU's, or those that x's device looks up by name. NULL with CVL_EDTYPE or
** CVL_EDEVICE when there are none. */
const cvl_kernels *cvl_op_kernels(const cvl_op *op, const cvl_tensor *x, cvl_err *e);
/* Every op in the order of their names; *n of them. */
const cvl_op *const *cvl_ops(int *n);
const cvl_op *cvl_op_named(const char *name); /* NULL when there is none */

/* Shape rules that many share. */
int cvl_shape_same(const cvl_args *a, cvl_meta *y, cvl_err *e); /* in[0]'s */
int cvl_shape_broadcasts(const cvl_args *a, cvl_meta *y,
                         cvl_err *e); /* the broadcast of all inputs */
int cvl_shape_compares(const cvl_args *a, cvl_meta *y, cvl_err *e); /* the same, of type bool */

/* ------------------------------------------------------------------------------- kernel files */

/*
** Compiled for kernels: CVL_REAL is the element type, CVL_SUFFIX ends the symbols,
** CVL_DTYPE_F32/F64/BF16/F16/I32/I64/U8 tells which. Files with the word CVL_EVERY_DTYPE in them are
** compiled for integers too, those with CVL_HALF for bfloat16 and float16, of which elements are
** uint16_t and `real` is float; an op without such kernels is computed in float32 and its result
** rounded. An op that has kernels ends with CVL_KERNELS(name, forward, backward-or-NULL), or with
** CVL_KERNELS_ADDING where backward can add.
*/
#ifdef CVL_REAL
typedef CVL_REAL real;
#if defined CVL_DTYPE_F32 || defined CVL_DTYPE_F64 || defined CVL_DTYPE_BF16 || \
    defined CVL_DTYPE_F16
#define CVL_FLOATING 1
#else
#define CVL_FLOATING 0
#endif
#ifdef __CUDACC__
#define CVL_EXTERN extern "C"
#define CVL_PASTE_(a, b, c) a##b##_cuda_##c
#else
#define CVL_EXTERN extern
#define CVL_PASTE_(a, b, c) a##b##_cpu_##c
#endif
#define CVL_PASTE(a, b, c) CVL_PASTE_(a, b, c)
#define CVL_KERNELS_ADDING(name, fwd, bwd, adds)                  \
  CVL_EXTERN const cvl_kernels CVL_PASTE(cvl_, name, CVL_SUFFIX); \
  const cvl_kernels CVL_PASTE(cvl_, name, CVL_SUFFIX) = {fwd, bwd, adds};
#define CVL_KERNELS(name, fwd, bwd) CVL_KERNELS_ADDING(name, fwd, bwd, 0)
#elif defined CVL_DESCRIBE
typedef float real; /* so that formulas compile here too; they are not used */
#define CVL_FLOATING 1
#endif

#endif

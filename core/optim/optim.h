/*
** Optimizers. An update rule is a file of this room: CVL_OPTIM(Name, ...) with its options, the names of the state tensors
** it keeps beside each parameter, and a function that updates a run of elements. Everything else is here: one pass over
** all parameters as if they lay one after the other, cut into chunks of a fixed size for the threads; clipping; the search
** for gradients that are not finite; the state for checkpoints.
**
** Common to all rules, with t the number of this step, from 1:
**   lr = learning_rate / (1 + decay t)
**   g <- g clip_norm / max(clip_norm, norm of all gradients)      or each element of g to [-clip_value, clip_value]
**   g <- g + weight_decay w, or when decoupled w <- w - lr weight_decay w      (Loshchilov & Hutter 2019, arXiv:1711.05101)
** A parameter without a gradient is left as it is, state included.
*/
#ifndef CVL_OPTIM_OPTIM_H
#define CVL_OPTIM_OPTIM_H

#include "kernels/update.h"
#include "ops/op.h"

enum { CVL_MAX_STATES = 3 };

typedef struct cvl_optimizer cvl_optimizer;

/* The first member of every rule's options. */
typedef struct cvl_optim_options {
  double learning_rate, weight_decay;
  bool decoupled;
  double decay, clip_norm, clip_value; /* 0: off */
} cvl_optim_options;

/* What the rule gets for a run of elements of one parameter. */
typedef struct cvl_update {
  cvl_gradient_rule gradient;
  double lr;
  int64_t step; /* t */
} cvl_update;

/* One parameter in a step on a device; all of it dense and there. */
typedef struct cvl_optim_run {
  int64_t count;
  const void *g;
  void *w, *state[CVL_MAX_STATES]; /* NULL where these options need none */
  cvl_update update;
} cvl_optim_run;

/* A rule on a device that is not the CPU, for one element type: what cvl_device.optim_kernels finds. Few launches for all
** n parameters; the same bits every time. */
typedef struct cvl_optim_kernels {
  /* clip_norm > 0: the gradients of these runs together are first shortened to that length, without the host. */
  int (*update)(cvl_device *d, const void *options, double clip_norm, const cvl_optim_run *runs,
                int n, cvl_err *e);
  /* squares[i], on the host, becomes the sum of g^2 of run i in double; not finite when an element is not. Waits. */
  int (*squares)(cvl_device *d, const cvl_optim_run *runs, int n, double *squares, cvl_err *e);
} cvl_optim_kernels;

typedef struct cvl_optim_type {
  const char *name, *doc;
  const cvl_option *options;
  size_t option_bytes;
  const char *state[CVL_MAX_STATES];             /* names, the rest NULL */
  int (*states)(const void *options);            /* how many of them these options need */
  int (*check)(const void *options, cvl_err *e); /* what the options' ranges cannot say */
  /* Updates w[0..n) in place from g and state[k][0..n), all of type `dtype`. */
  void (*update)(const void *options, const cvl_update *u, cvl_dtype dtype, int64_t n,
                 const void *g, void *w, void *const *state);
} cvl_optim_type;

#define CVL_OPTIM(optim_name, ...)                    \
  extern const cvl_optim_type cvl_optim_##optim_name; \
  const cvl_optim_type cvl_optim_##optim_name = {.name = #optim_name, __VA_ARGS__};

const cvl_optim_type *const *cvl_optim_types(int *n);

/* One for each parameter. Factors apply to the optimizer's numbers as they are at each step. */
typedef struct cvl_optim_slot {
  cvl_tensor *w; /* one reference */
  cvl_tensor *state[CVL_MAX_STATES];
  double lr_factor;    /* of its group */
  double weight_decay; /* of its group; below 0: the optimizer's */
} cvl_optim_slot;

struct cvl_optimizer {
  const cvl_optim_type *type;
  void *options; /* the type's struct; may be changed between steps, the number of states may not */
  int64_t step;  /* steps done */
  int n, states;
  cvl_optim_slot *slot;
};

/*
** Room for n parameters; then each is added once: dense, floating, on one device. States start as zeros.
** CVL_EARG when the options contradict each other or a parameter is there twice.
*/
cvl_optimizer *cvl_optimizer_new(const cvl_optim_type *type, const void *options, int n,
                                 cvl_err *e);
int cvl_optimizer_add(cvl_optimizer *o, cvl_tensor *w, double lr_factor, double weight_decay,
                      cvl_err *e);
void cvl_optimizer_free(cvl_optimizer *o); /* NULL is fine */

/* One step. On failure nothing has changed. */
int cvl_optimizer_step(cvl_optimizer *o, cvl_err *e);
void cvl_optimizer_zero_grad(cvl_optimizer *o);
/* The Euclidean norm of all gradients together, and the first parameter (from 0) whose gradient has an element that is not
** finite, or -1. Either may be NULL. */
int cvl_optimizer_inspect(const cvl_optimizer *o, double *norm, int *first_bad, cvl_err *e);
/* Whether changed options still fit: for the setters of numbers. */
int cvl_optimizer_check(const cvl_optimizer *o, cvl_err *e);

/* For the descriptors of rules: the common options with a rule's own defaults. */
#define CVL_OPTIM_NUMBER(field, def, range, doc) \
  { #field, CVL_OPT_NUMBER, offsetof(cvl_optim_options, field), def, range, NULL, doc }
#define CVL_OPTIM_COMMON(lr, wd, is_decoupled)                                                  \
  CVL_OPTIM_NUMBER(learning_rate, lr, CVL_NOT_NEGATIVE, "size of a step"),                      \
      CVL_OPTIM_NUMBER(weight_decay, wd, CVL_NOT_NEGATIVE, "pull of the weights towards 0"),    \
      CVL_FLAG(cvl_optim_options, decoupled, is_decoupled,                                      \
               "apply weight_decay to the weights instead of the gradient"),                    \
      CVL_OPTIM_NUMBER(decay, 0, CVL_NOT_NEGATIVE, "step t has learning_rate / (1 + decay t)"), \
      CVL_OPTIM_NUMBER(clip_norm, 0, CVL_NOT_NEGATIVE,                                          \
                       "longest gradient of all parameters together; 0: any"),                  \
      CVL_OPTIM_NUMBER(clip_value, 0, CVL_NOT_NEGATIVE, "largest element of a gradient; 0: any")

#endif

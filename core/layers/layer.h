/*
** A layer is a file of this room: options, parameters and buffers with their shapes and initial values, and a forward that
** is written with ops. It has no backward of its own: the tape records the ops. CVL_LAYER(Name, ...) describes it; the list
** of layers is read from the lines that start so. From a descriptor come nn.Name{...}, the checks of its options, help()
** and the reference.
*/
#ifndef CVL_LAYERS_LAYER_H
#define CVL_LAYERS_LAYER_H

#include "layers/initializer.h"
#include "ops/call.h"
#include "ops/window.h"

enum { CVL_MAX_SLOTS = 6, CVL_LAYER_INPUTS = 2 };

/* A parameter, or a buffer: what is saved with the model but has no gradient. */
typedef struct cvl_slot {
  const char *name;
  bool buffer;
  cvl_tensor *x; /* owned */
} cvl_slot;

/* What a normalization does: scale (x - mean) / sqrt(var + epsilon) + offset, + residual; in training with the statistics of
** its input, which those given follow. */
typedef struct cvl_statistics {
  cvl_tensor *scale, *offset, *mean, *var,
      *residual; /* {K} each, and y's shape or NULL; borrowed */
  double momentum, epsilon;
  bool training, relu;
} cvl_statistics;

struct cvl_pool_options; /* ops/pool.h */

typedef struct cvl_layer_type cvl_layer_type;
typedef struct cvl_layer {
  const cvl_layer_type *type;
  void *options; /* the type's struct, owned */
  bool training; /* true at first, as a layer is made to be trained */
  int n;
  cvl_slot slot[CVL_MAX_SLOTS]; /* parameters in the order of their names, then buffers likewise */
} cvl_layer;

struct cvl_layer_type {
  const char *name, *doc;
  const cvl_option *options;
  size_t option_bytes;
  int n_in, n_optional; /* tensors that forward takes; how many of the last may be nil */
  /* Checks what the options' ranges cannot say and declares the slots; NULL: nothing to do. */
  int (*build)(cvl_layer *l, cvl_err *e);
  cvl_tensor *(*forward)(cvl_scope *s, cvl_layer *l, cvl_tensor *const *in);
  /* For joined.h: the statistics, all but the residual, false when there is more to this layer; and forward with a
  ** normalization behind it, NULL when that is not one op. */
  bool (*statistics)(const cvl_layer *l, cvl_statistics *given);
  cvl_tensor *(*forward_norm)(cvl_scope *s, cvl_layer *l, cvl_tensor *x,
                              const cvl_statistics *norm);
  /* For joined.h: the pooling's options, whose axes' number and kind are told; and forward with a pooling behind it, NULL
  ** when that is not done in one pass. */
  const struct cvl_pool_options *(*pooling)(const cvl_layer *l, int *axes, bool *max);
  cvl_tensor *(*forward_pool)(cvl_scope *s, cvl_layer *l, cvl_tensor *x, const cvl_layer *pool);
  /* The shape of y for an x of this shape, and how many products are added up for it; both start as x's and 0. NULL: so
  ** they stay. */
  int (*cost)(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
              cvl_err *e);
  /* Sets axes, filter, stride and dilation of a layer that slides a window, for receptive fields. NULL: it sees a point. */
  void (*window)(const cvl_layer *l, cvl_window *w);
};

#define CVL_LAYER(layer_name, ...)                    \
  extern const cvl_layer_type cvl_layer_##layer_name; \
  const cvl_layer_type cvl_layer_##layer_name = {.name = #layer_name, __VA_ARGS__};

/* Every layer type in the order of the names; *n of them. */
const cvl_layer_type *const *cvl_layer_types(int *n);

/* A layer with a copy of `options` (the type's struct). Parameters are float32 on the CPU, drawn from the global
** generator in the order of their names. */
cvl_layer *cvl_layer_new(const cvl_layer_type *type, const void *options, cvl_err *e);
void cvl_layer_free(cvl_layer *l); /* NULL is fine */

/* y = layer(in). On success *y holds one reference; e->arg counts forward's arguments. */
int cvl_layer_forward(cvl_layer *l, cvl_tensor *const *in, cvl_tensor **y, cvl_err *e);
int cvl_layer_cost(const cvl_layer *l, const cvl_shape *x, cvl_shape *y, int64_t *multiply_adds,
                   cvl_err *e);

cvl_slot *cvl_layer_slot(cvl_layer *l, const char *name); /* NULL when there is none */
/* Replaces every slot by its copy of another type or device; all of them or, on failure, none. */
int cvl_layer_cast(cvl_layer *l, cvl_dtype dtype, cvl_err *e);
int cvl_layer_move(cvl_layer *l, cvl_device *device, cvl_err *e);

/* For build(): parameters first and in the order of their names. */
int cvl_declare_parameter(cvl_layer *l, const char *name, const cvl_shape *shape,
                          cvl_initializer init, cvl_fans fans, cvl_err *e);
int cvl_declare_buffer(cvl_layer *l, const char *name, const cvl_shape *shape, double value,
                       cvl_err *e);
/* For forward(): the slot's tensor, NULL when it was not declared. */
cvl_tensor *cvl_slot_tensor(const cvl_layer *l, const char *name);
/* For forward() and cost(): an error unless x has ndim axes, or at least -ndim, and its last one has `channels`. */
int cvl_check_channels(const cvl_shape *x, int ndim, int64_t channels, cvl_err *e);

/* For cost(): *n = the elements of `shape` times the factors; an error when that is more than 63 bits hold. */
int cvl_count_products(const cvl_shape *shape, const int64_t *factors, int n_factors, int64_t *n,
                       cvl_err *e);

/* Activations by name, for the option that most layers have. */
extern const char *const cvl_activations[]; /* NULL-terminated; the first is "identity" */
cvl_tensor *cvl_activate(cvl_scope *s, int activation, cvl_tensor *x);

#define CVL_ACTIVATION(type) \
  CVL_CHOICE(type, activation, 0, cvl_activations, "what is applied to the result, by name")
#define CVL_USE_BIAS(type) CVL_FLAG(type, use_bias, 1, "add a bias to each filter's result")
#define CVL_FILTER_INITIALIZER(type) \
  CVL_CHOICE(type, filter_initializer, 0, cvl_initializers, "how the filter starts, by name")
#define CVL_BIAS_INITIALIZER(type)                                     \
  CVL_CHOICE(type, bias_initializer, CVL_INIT_ZEROS, cvl_initializers, \
             "how the bias starts, by name")

#endif

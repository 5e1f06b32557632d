/*
** One convolution with what follows it, or one of its two gradients, as a plan of cuDNN 9's graph (backend) API. Plain C over
** cudnnBackend*: describe the tensors and the operation, ask the heuristics for engines, take the first that keeps
** the rules. NVIDIA, "cuDNN Backend API", and cudnn_graph.h.
*/
#ifndef CVL_CUDA_DNN_GRAPH_H
#define CVL_CUDA_DNN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda/cudnn_api.h"

typedef enum cvl_dnn_pass {
  CVL_DNN_FORWARD, /* x, w -> y */
  CVL_DNN_DATA,    /* y, w -> x, the gradients of the first two */
  CVL_DNN_FILTER   /* x, y -> w */
} cvl_dnn_pass;

/* What a forward pass does to its sums before it writes them, in this order; a set of these. */
typedef enum cvl_dnn_step {
  CVL_DNN_RESIDUAL = 1, /* + residual, as y is */
  CVL_DNN_SHIFT = 2,    /* + shift {K}, of the type of y: of another one there are few engines */
  CVL_DNN_RELU = 4
} cvl_dnn_step;

enum { CVL_DNN_MOST_AXES = 3 };

/*
** x {N, in..., C}   w {K, filter..., C/groups}   y {N, out..., K}      all dense, channels last, of one type
** Two or three spatial axes: one of them is described with a height of 1. Sums are made in float32, of float64 in float64.
** Memory compares as bytes: made from zeroed memory, equal problems are equal to memcmp.
*/
typedef struct cvl_dnn_conv {
  cvl_dnn_pass pass;
  int then; /* of cvl_dnn_step */
  cudnnDataType_t type;
  int axes;
  int64_t N, C, K, groups;
  int64_t in[CVL_DNN_MOST_AXES], filter[CVL_DNN_MOST_AXES], out[CVL_DNN_MOST_AXES];
  int64_t stride[CVL_DNN_MOST_AXES], dilation[CVL_DNN_MOST_AXES], padding[CVL_DNN_MOST_AXES];
} cvl_dnn_conv;

typedef struct cvl_dnn_rules {
  bool deterministic;
  bool tf32;         /* float32 inputs may be rounded to fewer bits for the tensor cores */
  int64_t workspace; /* bytes at most */
} cvl_dnn_rules;

/* The device that a plan is for: a handle on it, or, without a GPU, its description (cvl_dnn_describe). */
typedef struct cvl_dnn_target {
  cudnnHandle_t handle;
  cudnnBackendDescriptor_t properties;
} cvl_dnn_target;

typedef struct cvl_dnn_plan {
  cudnnBackendDescriptor_t plan;
  int64_t workspace; /* bytes that it needs */
  int candidates;    /* engines refused before this one */
} cvl_dnn_plan;

/* CVL_EDEVICE when no engine keeps the rules; the message says how many there were and why the last was refused. */
int cvl_dnn_plan_conv(const cvl_cudnn *dnn, const cvl_dnn_target *target, const cvl_dnn_conv *c,
                      const cvl_dnn_rules *rules, cvl_dnn_plan *plan, cvl_err *e);
void cvl_dnn_plan_free(const cvl_cudnn *dnn, cvl_dnn_plan *plan);

/* Device addresses: of what the problem has, at 16 bytes, and of plan->workspace bytes at 256; others are NULL. */
typedef struct cvl_dnn_memory {
  void *x, *w, *y, *residual, *shift, *workspace;
} cvl_dnn_memory;

/* Runs it on the handle's stream. */
int cvl_dnn_execute(const cvl_cudnn *dnn, cudnnHandle_t handle, const cvl_dnn_plan *plan,
                    const cvl_dnn_memory *m, cvl_err *e);

/* A device by its properties, as JSON (keys as cuDNN names them), to plan without having one. Free with
** cvl_dnn_forget. */
cudnnBackendDescriptor_t cvl_dnn_describe(const cvl_cudnn *dnn, const char *json, cvl_err *e);
void cvl_dnn_forget(const cvl_cudnn *dnn, cudnnBackendDescriptor_t d);

#endif

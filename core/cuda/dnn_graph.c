#include "cuda/dnn_graph.h"

#include <string.h>

enum { X_ID = 1, W_ID, Y_ID, RESIDUAL_ID, SHIFT_ID, BETWEEN_ID };
enum {
  MOST_STEPS = 3,
  MOST_OWNED = 32,
  MOST_CANDIDATES = 64,
  MOST_DIMS = CVL_DNN_MOST_AXES + 2,
  ALIGNMENT = 16
};

/* What is made on the way to a plan; once a call fails the rest does nothing. */
typedef struct {
  const cvl_cudnn *dnn;
  cvl_err *e;
  bool failed;
  int n;
  cudnnBackendDescriptor_t owned[MOST_OWNED];
} graph;

static int fail(const cvl_cudnn *dnn, cudnnStatus_t status, const char *what, cvl_err *e) {
  char more[512] = "";
  dnn->GetLastErrorString(more, sizeof more);
  return cvl_fail(e, CVL_EDEVICE, 0, "cuDNN: %s: %s%s%s", what, dnn->GetErrorString(status),
                  more[0] != '\0' ? ": " : "", more);
}

static void check(graph *g, cudnnStatus_t status, const char *what) {
  if (g->failed || status == CUDNN_STATUS_SUCCESS) return;
  fail(g->dnn, status, what, g->e);
  g->failed = true;
}

static cudnnBackendDescriptor_t make(graph *g, cudnnBackendDescriptorType_t type,
                                     const char *what) {
  cudnnBackendDescriptor_t d = NULL;
  if (g->failed) return NULL;
  check(g, g->dnn->BackendCreateDescriptor(type, &d), what);
  return g->failed ? NULL : (g->owned[g->n++] = d);
}

static void set(graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *p) {
  if (!g->failed)
    check(g, g->dnn->BackendSetAttribute(d, name, type, n, p), "a setting was refused");
}

static void set_descriptor(graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                           cudnnBackendDescriptor_t value) {
  set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finalize(graph *g, cudnnBackendDescriptor_t d, const char *what) {
  if (!g->failed) check(g, g->dnn->BackendFinalize(d), what);
}

static void end(graph *g) {
  while (g->n > 0) g->dnn->BackendDestroyDescriptor(g->owned[--g->n]);
}

/* In what sums are made, and what stays on the chip between operations. */
static cudnnDataType_t wide(const cvl_dnn_conv *c) {
  return c->type == CUDNN_DATA_DOUBLE ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
}

/* Dimensions as cuDNN counts them, {outer, inner, size...}, of memory in which `inner` runs fastest. From BETWEEN_ID on
** it has no memory. */
static cudnnBackendDescriptor_t tensor(graph *g, const cvl_dnn_conv *c, int64_t id, int64_t outer,
                                       int64_t inner, const int64_t *size) {
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor");
  cudnnDataType_t type = id < BETWEEN_ID ? c->type : wide(c);
  bool is_virtual = id >= BETWEEN_ID;
  int64_t dim[MOST_DIMS] = {outer, inner}, stride[MOST_DIMS], step = inner, align = ALIGNMENT;
  stride[1] = 1;
  for (int i = c->axes - 1; i >= 0; i--) {
    dim[2 + i] = size[i];
    stride[2 + i] = step;
    step *= size[i];
  }
  stride[0] = step;
  set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, c->axes + 2, dim);
  set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, c->axes + 2, stride);
  set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
  set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  finalize(g, d, "tensor");
  return d;
}

static cudnnBackendDescriptor_t geometry(graph *g, const cvl_dnn_conv *c) {
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  cudnnDataType_t sums = wide(c);
  int64_t axes = c->axes;
  set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
  set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, c->padding);
  set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, c->padding);
  set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, c->dilation);
  set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, c->stride);
  finalize(g, d, "convolution");
  return d;
}

static cudnnBackendDescriptor_t convolution(graph *g, const cvl_dnn_conv *c,
                                            cudnnBackendDescriptor_t y) {
  static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
  } passes[] = {[CVL_DNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
                [CVL_DNN_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
                [CVL_DNN_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
  const double one = 1, zero = 0;
  cudnnBackendDescriptor_t d = make(g, passes[c->pass].type, "operation");
  set_descriptor(g, d, passes[c->pass].geometry, geometry(g, c));
  set_descriptor(g, d, passes[c->pass].x, tensor(g, c, X_ID, c->N, c->C, c->in));
  set_descriptor(g, d, passes[c->pass].w, tensor(g, c, W_ID, c->K, c->C / c->groups, c->filter));
  set_descriptor(g, d, passes[c->pass].y, y);
  set(g, d, passes[c->pass].alpha, CUDNN_TYPE_DOUBLE, 1, &one);
  set(g, d, passes[c->pass].beta, CUDNN_TYPE_DOUBLE, 1, &zero);
  finalize(g, d, "operation");
  return d;
}

/* y = mode(x, b); b is NULL where the mode takes one. */
static cudnnBackendDescriptor_t pointwise(graph *g, const cvl_dnn_conv *c,
                                          cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                                          cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y) {
  cudnnBackendDescriptor_t how = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise"), d;
  cudnnDataType_t precision = wide(c);
  set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
  finalize(g, how, "pointwise");
  d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "pointwise operation");
  set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b != NULL) set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  finalize(g, d, "pointwise operation");
  return d;
}

/* The convolution, then its steps: the last of them makes y, each before it what the next takes. */
static cudnnBackendDescriptor_t operation_graph(graph *g, const cvl_dnn_target *target,
                                                const cvl_dnn_conv *c) {
  static const cvl_dnn_step steps[MOST_STEPS] = {CVL_DNN_RESIDUAL, CVL_DNN_SHIFT, CVL_DNN_RELU};
  const int64_t one[CVL_DNN_MOST_AXES] = {1, 1, 1};
  cudnnBackendDescriptor_t op[1 + MOST_STEPS], d, x;
  int n = 0, left = c->then;
  x = tensor(g, c, left != 0 ? BETWEEN_ID : Y_ID, c->N, c->K, c->out);
  op[n++] = convolution(g, c, x);
  for (int i = 0; i < MOST_STEPS; i++) {
    cudnnBackendDescriptor_t b = NULL, y;
    if ((left & steps[i]) == 0) continue;
    left &= ~(int)steps[i];
    if (steps[i] == CVL_DNN_RESIDUAL) b = tensor(g, c, RESIDUAL_ID, c->N, c->K, c->out);
    if (steps[i] == CVL_DNN_SHIFT) b = tensor(g, c, SHIFT_ID, 1, c->K, one);
    y = tensor(g, c, left != 0 ? BETWEEN_ID + n : Y_ID, c->N, c->K, c->out);
    op[n++] = pointwise(g, c, b != NULL ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD, x, b, y);
    x = y;
  }
  d = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "graph");
  set(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, op);
  if (target->handle != NULL)
    set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
  finalize(g, d, "graph");
  return d;
}

/* ------------------------------------------------------------------------------------------- the choice of an engine */

/* Engine configurations, best first. */
typedef struct {
  int made;
  int64_t n;
  cudnnBackendDescriptor_t config[MOST_CANDIDATES];
} candidates;

static void forget_candidates(const cvl_cudnn *dnn, candidates *list) {
  while (list->made > 0) dnn->BackendDestroyDescriptor(list->config[--list->made]);
}

static void find_candidates(graph *g, const cvl_dnn_target *target, cudnnBackendDescriptor_t op,
                            cudnnBackendHeurMode_t mode, candidates *list) {
  const char *what = "engine heuristics";
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, what);
  *list = (candidates){0};
  set_descriptor(g, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, op);
  set(g, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (target->properties != NULL)
    set_descriptor(g, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, target->properties);
  finalize(g, d, what);
  while (!g->failed && list->made < MOST_CANDIDATES) {
    check(g,
          g->dnn->BackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                          &list->config[list->made]),
          what);
    list->made += !g->failed;
  }
  if (!g->failed)
    check(g,
          g->dnn->BackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CANDIDATES, &list->n,
                                      list->config),
          what);
}

/* Whether an engine's notes allow it; one that says nothing is not trusted. */
static bool keeps_rules(const cvl_cudnn *dnn, cudnnBackendDescriptor_t config,
                        const cvl_dnn_conv *c, const cvl_dnn_rules *rules) {
  cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendDescriptor_t engine = NULL;
  int64_t n = 0;
  bool strict = c->type == CUDNN_DATA_FLOAT && !rules->tf32, ok = false;
  bool half = c->type == CUDNN_DATA_HALF || c->type == CUDNN_DATA_BFLOAT16;
  if (dnn->BackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) !=
      CUDNN_STATUS_SUCCESS)
    return false;
  if (dnn->BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               1, &n, &engine) == CUDNN_STATUS_SUCCESS &&
      dnn->BackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                               CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, note) == CUDNN_STATUS_SUCCESS)
    ok = true;
  for (int64_t i = 0; ok && i < n; i++) {
    if (rules->deterministic && note[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) ok = false;
    if (strict && (note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                   note[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS))
      ok = false;
    if (half && note[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) ok = false;
  }
  dnn->BackendDestroyDescriptor(engine);
  return ok;
}

/* A plan with this engine, if its workspace is small enough. */
static int try_engine(const cvl_cudnn *dnn, const cvl_dnn_target *target,
                      cudnnBackendDescriptor_t config, int64_t most, cvl_dnn_plan *plan,
                      cvl_err *e) {
  graph g = {.dnn = dnn, .e = e};
  const char *what = "execution plan";
  cudnnBackendDescriptor_t d = make(&g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, what);
  int64_t count, workspace = 0;
  set_descriptor(&g, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  if (target->handle != NULL)
    set(&g, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
  if (target->properties != NULL)
    set_descriptor(&g, d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, target->properties);
  finalize(&g, d, what);
  if (!g.failed)
    check(&g,
          dnn->BackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                   &count, &workspace),
          what);
  if (!g.failed && workspace > most) {
    cvl_fail(e, CVL_EDEVICE, 0, "a workspace of %lld bytes, %lld are allowed", (long long)workspace,
             (long long)most);
    g.failed = true;
  }
  if (!g.failed) {
    plan->plan = d;
    plan->workspace = workspace;
    g.n = 0; /* moved to the caller */
  }
  end(&g);
  return g.failed ? -1 : 0;
}

int cvl_dnn_plan_conv(const cvl_cudnn *dnn, const cvl_dnn_target *target, const cvl_dnn_conv *c,
                      const cvl_dnn_rules *rules, cvl_dnn_plan *plan, cvl_err *e) {
  static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
  graph g = {.dnn = dnn, .e = e};
  cudnnBackendDescriptor_t op = operation_graph(&g, target, c);
  cvl_err last = {0};
  int seen = 0;
  *plan = (cvl_dnn_plan){0};
  for (size_t m = 0; !g.failed && plan->plan == NULL && m < sizeof modes / sizeof modes[0]; m++) {
    candidates list;
    graph heuristics = {.dnn = dnn, .e = &(cvl_err){0}};
    find_candidates(&heuristics, target, op, modes[m], &list);
    if (heuristics.failed) last = *heuristics.e;
    for (int64_t i = 0; i < list.n && plan->plan == NULL; i++, seen++) {
      cvl_err why = {0};
      if (!keeps_rules(dnn, list.config[i], c, rules)) continue;
      if (try_engine(dnn, target, list.config[i], rules->workspace, plan, &why) != 0) last = why;
      plan->candidates = seen;
    }
    forget_candidates(dnn, &list);
    end(&heuristics);
  }
  if (!g.failed && plan->plan == NULL)
    cvl_fail(e, CVL_EDEVICE, 0, "none of cuDNN's %d engines for it may be used%s%s", seen,
             last.code != CVL_OK ? "; the last: " : "", last.msg);
  end(&g);
  return plan->plan != NULL ? 0 : -1;
}

void cvl_dnn_plan_free(const cvl_cudnn *dnn, cvl_dnn_plan *plan) {
  if (plan->plan != NULL) dnn->BackendDestroyDescriptor(plan->plan);
  *plan = (cvl_dnn_plan){0};
}

int cvl_dnn_execute(const cvl_cudnn *dnn, cudnnHandle_t handle, const cvl_dnn_plan *plan,
                    const cvl_dnn_memory *m, cvl_err *e) {
  void *const by_id[] = {[X_ID] = m->x,
                         [W_ID] = m->w,
                         [Y_ID] = m->y,
                         [RESIDUAL_ID] = m->residual,
                         [SHIFT_ID] = m->shift};
  int64_t id[BETWEEN_ID], n = 0;
  void *data[BETWEEN_ID], *workspace = m->workspace;
  graph g = {.dnn = dnn, .e = e};
  cudnnBackendDescriptor_t d = make(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "arguments");
  for (int i = X_ID; i < BETWEEN_ID; i++)
    if (by_id[i] != NULL) {
      id[n] = i;
      data[n++] = by_id[i];
    }
  set(&g, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, id);
  set(&g, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data);
  set(&g, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finalize(&g, d, "arguments");
  if (!g.failed) check(&g, dnn->BackendExecute(handle, plan->plan, d), "a convolution failed");
  end(&g);
  return g.failed ? -1 : 0;
}

cudnnBackendDescriptor_t cvl_dnn_describe(const cvl_cudnn *dnn, const char *json, cvl_err *e) {
  graph g = {.dnn = dnn, .e = e};
  const char *what = "description of the device";
  cudnnBackendDescriptor_t d = make(&g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, what);
  set(&g, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1,
      json);
  finalize(&g, d, what);
  if (!g.failed) return d;
  end(&g);
  return NULL;
}

void cvl_dnn_forget(const cvl_cudnn *dnn, cudnnBackendDescriptor_t d) {
  if (d != NULL) dnn->BackendDestroyDescriptor(d);
}

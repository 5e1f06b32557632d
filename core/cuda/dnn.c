/*
** cuDNN wants filters as {K, taps, C} and the same padding at both ends of an axis: filters are turned for it, and images
** with other padding are padded, into memory of the cache. A plan is made once for each problem and kept.
*/
#include "cuda/dnn.h"

#if defined __has_include && __has_include(<cudnn.h>)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/conv.h"
#include "cuda/dnn_problem.h"
#include "device/cache.h"

enum { ALIGNMENT = 16, BUCKETS = 256 };

typedef struct entry {
  struct entry *next;
  cvl_dnn_conv conv;
  bool tf32;
  cvl_dnn_plan plan; /* plan.plan == NULL: cuDNN has none */
} entry;

typedef struct cvl_cuda_dnn {
  const cvl_cudnn *api; /* NULL: it cannot be had, and why */
  cvl_err why;
  cudnnHandle_t handle;
  entry *bucket[BUCKETS];
} cvl_cuda_dnn;

static int start(cvl_cuda *d, cvl_cuda_dnn *n) {
  cudnnStatus_t status;
  const cvl_cudnn *api = cvl_cudnn_get(&n->why);
  if (api == NULL) return -1;
  if ((status = api->Create(&n->handle)) != CUDNN_STATUS_SUCCESS)
    return cvl_fail(&n->why, CVL_EDEVICE, 0, "cudnnCreate: %s", api->GetErrorString(status));
  if ((status = api->SetStream(n->handle, d->stream)) != CUDNN_STATUS_SUCCESS) {
    api->Destroy(n->handle);
    return cvl_fail(&n->why, CVL_EDEVICE, 0, "cudnnSetStream: %s", api->GetErrorString(status));
  }
  n->api = api;
  return 0;
}

/* The device's cuDNN, started at the first call; NULL when there is no memory for it. */
static cvl_cuda_dnn *dnn_of(cvl_cuda *d) {
  if (d->dnn == NULL && (d->dnn = calloc(1, sizeof *d->dnn)) != NULL && start(d, d->dnn) != 0)
    fprintf(stderr,
            "convlua: %s: without cuDNN, convolutions run on kernels of convlua's own, which are "
            "slower (%s)\n",
            d->base.name, d->dnn->why.msg);
  return d->dnn;
}

/* FNV-1a */
static unsigned hash(const cvl_dnn_conv *c) {
  const unsigned char *p = (const unsigned char *)c;
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < sizeof *c; i++) h = (h ^ p[i]) * 16777619u;
  return h % BUCKETS;
}

/* The plan for a problem, made at the first question; NULL when cuDNN has none, or there is no memory to keep it. */
static const cvl_dnn_plan *plan_of(cvl_cuda *d, cvl_cuda_dnn *n, const cvl_dnn_conv *c) {
  const cvl_dnn_target target = {.handle = n->handle};
  const cvl_dnn_rules rules = {
      .deterministic = true, .tf32 = d->tf32, .workspace = CVL_DNN_WORKSPACE};
  entry **bucket = &n->bucket[hash(c)], *it;
  cvl_err why = {0};
  for (it = *bucket; it != NULL; it = it->next)
    if (it->tf32 == d->tf32 && memcmp(&it->conv, c, sizeof *c) == 0)
      return it->plan.plan != NULL ? &it->plan : NULL;
  if ((it = calloc(1, sizeof *it)) == NULL) return NULL;
  it->conv = *c;
  it->tf32 = d->tf32;
  cvl_dnn_plan_conv(n->api, &target, c, &rules, &it->plan, &why);
  it->next = *bucket;
  *bucket = it;
  return it->plan.plan != NULL ? &it->plan : NULL;
}

/* ------------------------------------------------------------------------------------------------------ one convolution */

/* Memory of the cache that one call needs; work on the stream goes on using it after it has been given back, as does
** what gets it next. */
typedef struct {
  cvl_device *device;
  void *memory;
  size_t bytes;
} scratch;

static int take(scratch *s, cvl_cuda *d, int64_t bytes, cvl_err *e) {
  *s = (scratch){.device = &d->base, .bytes = (size_t)bytes};
  return bytes == 0 || (s->memory = cvl_cache_alloc(s->device, s->bytes, e)) != NULL ? 0 : -1;
}

static void give(scratch *s) {
  if (s->memory != NULL) cvl_cache_free(s->device, s->memory, s->bytes);
}

static int64_t product(const int64_t *size, int n) {
  int64_t p = 1;
  for (int i = 0; i < n; i++) p *= size[i];
  return p;
}

static cvl_cuda_box box_of(const cvl_conv *c, const cvl_dnn_problem *p) {
  cvl_cuda_box b = {.N = c->N, .C = c->C};
  int first = 3 - p->conv.axes;
  for (int i = 0; i < 3; i++) {
    b.inner_size[i] = c->in[i];
    b.outer_size[i] = i < first ? c->in[i] : p->conv.in[i - first];
    b.shift[i] = i < first ? 0 : p->shift[i - first];
  }
  return b;
}

/* A view may begin anywhere: what cuDNN reads begins at ALIGNMENT. */
static int align(cvl_cuda *d, void **p, int64_t bytes, scratch *s, cvl_err *e) {
  if ((uintptr_t)*p % ALIGNMENT == 0) return 0;
  if (take(s, d, bytes, e) != 0) return -1;
  if (CVL_CUDA(e, cudaMemcpyAsync(s->memory, *p, s->bytes, cudaMemcpyDeviceToDevice, d->stream)) !=
      0)
    return -1;
  *p = s->memory;
  return 0;
}

enum {
  TURNED,
  PADDED,
  WORKSPACE,
  ALIGNED_X,
  ALIGNED_Y,
  ALIGNED_RESIDUAL,
  ALIGNED_SHIFT,
  SCRATCHES
};

static int run(cvl_cuda *d, cvl_cuda_dnn *n, const cvl_dnn_problem *p, const cvl_dnn_plan *plan,
               cvl_dtype type, const cvl_conv *c, const cvl_cuda_conv *m, cvl_err *e) {
  const int64_t size = (int64_t)cvl_dtype_size(type);
  const int64_t row = product(c->filter, 3) * (c->C / c->groups); /* of the filter */
  const int64_t inputs = c->N * product(c->in, 3) * c->C,
                outputs = c->N * product(c->out, 3) * c->K;
  const cvl_dnn_pass pass = p->conv.pass;
  const cvl_cuda_box box = box_of(c, p);
  scratch own[SCRATCHES] = {{0}};
  cvl_dnn_memory at = {m->x, NULL, m->y, m->residual, m->shift, NULL};
  int rc = -1;
  if (take(&own[TURNED], d, row * c->K * size, e) != 0) goto done;
  at.w = own[TURNED].memory;
  if (take(&own[WORKSPACE], d, plan->workspace, e) != 0) goto done;
  at.workspace = own[WORKSPACE].memory;
  if (pass != CVL_DNN_FILTER &&
      CVL_CUDA(e, cvl_cuda_transpose(type, m->w, row, c->K, at.w, d->stream)) != 0)
    goto done;
  if (pass != CVL_DNN_FORWARD && align(d, &at.y, outputs * size, &own[ALIGNED_Y], e) != 0)
    goto done;
  if (align(d, &at.residual, outputs * size, &own[ALIGNED_RESIDUAL], e) != 0 ||
      align(d, &at.shift, c->K * size, &own[ALIGNED_SHIFT], e) != 0)
    goto done;
  if (p->padded) {
    if (take(&own[PADDED], d, c->N * product(box.outer_size, 3) * c->C * size, e) != 0) goto done;
    at.x = own[PADDED].memory;
    if (pass != CVL_DNN_DATA && CVL_CUDA(e, cvl_cuda_pad(type, &box, m->x, at.x, d->stream)) != 0)
      goto done;
  } else if (pass != CVL_DNN_DATA && align(d, &at.x, inputs * size, &own[ALIGNED_X], e) != 0) {
    goto done;
  }
  if (cvl_dnn_execute(n->api, n->handle, plan, &at, e) != 0) goto done;
  if (pass == CVL_DNN_FILTER &&
      CVL_CUDA(e, cvl_cuda_transpose(type, at.w, c->K, row, m->w, d->stream)) != 0)
    goto done;
  if (pass == CVL_DNN_DATA && p->padded &&
      CVL_CUDA(e, cvl_cuda_crop(type, &box, at.x, m->x, d->stream)) != 0)
    goto done;
  rc = cvl_cuda_launched(d, e);
done:
  for (int i = 0; i < SCRATCHES; i++) give(&own[i]);
  return rc;
}

int cvl_cuda_dnn_conv(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *c,
                      const cvl_cuda_conv *m, cvl_err *e) {
  static const cudnnDataType_t types[CVL_DTYPE_COUNT] = {[CVL_F32] = CUDNN_DATA_FLOAT,
                                                         [CVL_F64] = CUDNN_DATA_DOUBLE,
                                                         [CVL_BF16] = CUDNN_DATA_BFLOAT16,
                                                         [CVL_F16] = CUDNN_DATA_HALF};
  cvl_cuda_dnn *n = dnn_of(d);
  const cvl_dnn_plan *plan;
  cvl_dnn_problem p;
  if (n == NULL || n->api == NULL || c->N == 0) return 1;
  cvl_dnn_problem_of(&p, (cvl_dnn_pass)pass, types[type], c);
  if (m->residual != NULL) p.conv.then |= CVL_DNN_RESIDUAL;
  if (m->shift != NULL) p.conv.then |= CVL_DNN_SHIFT;
  if (m->relu) p.conv.then |= CVL_DNN_RELU;
  if ((plan = plan_of(d, n, &p.conv)) == NULL) return 1;
  return run(d, n, &p, plan, type, c, m, e);
}

int cvl_cuda_dnn_version(cvl_cuda *d, cvl_err *e) {
  cvl_cuda_dnn *n = dnn_of(d);
  if (n != NULL && n->api != NULL) return (int)n->api->GetVersion();
  return cvl_fail(e, CVL_EDEVICE, 0, "%s", n != NULL ? n->why.msg : "out of memory"), 0;
}

#else /* built without cuDNN's headers */

int cvl_cuda_dnn_conv(cvl_cuda *d, cvl_cuda_pass pass, cvl_dtype type, const cvl_conv *c,
                      const cvl_cuda_conv *m, cvl_err *e) {
  (void)d, (void)pass, (void)type, (void)c, (void)m, (void)e;
  return 1;
}

int cvl_cuda_dnn_version(cvl_cuda *d, cvl_err *e) {
  (void)d;
  return cvl_fail(e, CVL_EDEVICE, 0, "the plugin was built without cuDNN's headers"), 0;
}

#endif

/*
** The fake libcudnn: the twelve functions that a user of the backend API needs.
*/
#include <cudnn.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <set>

#include "cudnn_store.h"

using namespace cudasim;

struct cudnnContext {
  int device = current_device();
  cudaStream_t stream = nullptr;
};

namespace {

thread_local char last_error[512];

std::set<Descriptor *> &descriptors() {
  static auto *all = new std::set<Descriptor *>;
  return *all;
}

/* NULL, after a violation, for what is no descriptor. */
Descriptor *descriptor(cudnnBackendDescriptor_t d, const char *call) {
  auto *known = static_cast<Descriptor *>(d);
  if (descriptors().count(known) != 0) return known;
  violation("%s: descriptor %p does not exist, or was destroyed", call, d);
  return nullptr;
}

size_t bytes_of(cudnnBackendAttributeType_t type) {
  switch (type) {
  case CUDNN_TYPE_HANDLE:
  case CUDNN_TYPE_INT64:
  case CUDNN_TYPE_DOUBLE:
  case CUDNN_TYPE_VOID_PTR:
  case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    return 8;
  case CUDNN_TYPE_BOOLEAN:
  case CUDNN_TYPE_CHAR:
    return 1;
  default:
    return 4; /* enumerations, float, int32 */
  }
}

/* The engines for the heuristics' graph, best first, as configurations in descriptors of the caller. */
cudnnStatus_t give_configurations(const Descriptor &heuristics, int64_t room, int64_t *count,
                                  void *out) {
  auto graph = heuristics.attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).descriptors[0];
  bool fallback = heuristics.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) ==
                  CUDNN_HEUR_MODE_FALLBACK;
  int64_t n = 0;
  for (int engine = fallback ? 1 : 0; engine_takes(*graph) && engine < kEngines && n < room;
       engine++) {
    Descriptor *c = descriptor(static_cast<cudnnBackendDescriptor_t *>(out)[n++], __func__);
    if (c == nullptr || c->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
      return refuse(CUDNN_STATUS_BAD_PARAM, "engine configurations are wanted as results");
    c->engine = engine;
    c->graph = graph;
    c->finalized = true;
  }
  *count = n;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t give_engine(const Descriptor &configuration, int64_t *count, void *out) {
  Descriptor *e = descriptor(*static_cast<cudnnBackendDescriptor_t *>(out), __func__);
  if (e == nullptr || e->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR)
    return refuse(CUDNN_STATUS_BAD_PARAM, "an engine is wanted as result");
  e->engine = configuration.engine;
  e->graph = configuration.graph;
  e->finalized = true;
  *count = 1;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t give_notes(const Descriptor &engine, int64_t room, int64_t *count, void *out) {
  auto notes = notes_of(engine.engine);
  *count = int64_t(notes.size());
  notes.resize(std::min(notes.size(), size_t(room)));
  memcpy(out, notes.data(), notes.size() * sizeof notes[0]);
  return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t cudasim::refuse(cudnnStatus_t status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof last_error, format, args);
  va_end(args);
  return status;
}

/* The first lines of every call. */
#define CUDNN_CALL(wanted)                                                                \
  Call call(__func__, cudaErrorUnknown);                                                  \
  if (call.error != cudaSuccess)                                                          \
  return refuse(sticky_error() != cudaSuccess ? CUDNN_STATUS_EXECUTION_FAILED : (wanted), \
                "%s failed", __func__)

#define DESCRIPTOR(d, handle)                   \
  Descriptor *d = descriptor(handle, __func__); \
  if (d == nullptr) return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor")

CUDASIM_EXPORT size_t cudnnGetVersion() { return CUDNN_VERSION; }

CUDASIM_EXPORT const char *cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
  case CUDNN_STATUS_SUCCESS:
    return "CUDNN_STATUS_SUCCESS";
  case CUDNN_STATUS_NOT_INITIALIZED:
    return "CUDNN_STATUS_NOT_INITIALIZED";
  case CUDNN_STATUS_BAD_PARAM:
    return "CUDNN_STATUS_BAD_PARAM";
  case CUDNN_STATUS_NOT_SUPPORTED:
    return "CUDNN_STATUS_NOT_SUPPORTED";
  case CUDNN_STATUS_EXECUTION_FAILED:
    return "CUDNN_STATUS_EXECUTION_FAILED";
  default:
    return "CUDNN_STATUS_INTERNAL_ERROR";
  }
}

CUDASIM_EXPORT void cudnnGetLastErrorString(char *text, size_t bytes) {
  snprintf(text, bytes, "%s", last_error);
  last_error[0] = '\0';
}

CUDASIM_EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
  CUDNN_CALL(CUDNN_STATUS_NOT_INITIALIZED);
  if (refuse_in_capture(__func__) != cudaSuccess)
    return refuse(CUDNN_STATUS_INTERNAL_ERROR, "not during a capture");
  *out = new cudnnContext;
  born(Kind::cudnn, *out, 0);
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t h) {
  CUDNN_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  died(Kind::cudnn, h);
  delete h;
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream) {
  CUDNN_CALL(CUDNN_STATUS_BAD_PARAM);
  if (h == nullptr || unknown_stream(stream))
    return refuse(CUDNN_STATUS_BAD_PARAM, "no handle or no stream");
  if (device_of(stream) != h->device)
    return refuse(CUDNN_STATUS_BAD_PARAM, "the stream is another device's");
  h->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                                          cudnnBackendDescriptor_t *out) {
  CUDNN_CALL(CUDNN_STATUS_ALLOC_FAILED);
  auto *d = new Descriptor;
  d->type = type;
  descriptors().insert(d);
  born(Kind::descriptor, d, 0);
  *out = d;
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle) {
  CUDNN_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  DESCRIPTOR(d, handle);
  descriptors().erase(d);
  died(Kind::descriptor, d);
  delete d;
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle,
                                                      cudnnBackendAttributeName_t name,
                                                      cudnnBackendAttributeType_t type,
                                                      int64_t count, const void *elements) {
  CUDNN_CALL(CUDNN_STATUS_BAD_PARAM);
  DESCRIPTOR(d, handle);
  if (d->finalized)
    return refuse(CUDNN_STATUS_NOT_INITIALIZED, "attribute %d: the descriptor is finalized already",
                  int(name));
  if (cudnnStatus_t s = check_attribute(*d, name, type, count)) return s;
  auto *bytes = static_cast<const char *>(elements);
  Attribute a = {type, count, {bytes, bytes + size_t(count) * bytes_of(type)}, {}};
  for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++) {
    DESCRIPTOR(other, static_cast<const cudnnBackendDescriptor_t *>(elements)[i]);
    if (!other->finalized)
      return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d: what it refers to is not finalized",
                    int(name));
    a.descriptors.push_back(std::make_shared<const Descriptor>(*other));
  }
  d->attributes[name] = std::move(a);
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
  CUDNN_CALL(CUDNN_STATUS_NOT_SUPPORTED);
  DESCRIPTOR(d, handle);
  if (cudnnStatus_t s = check_complete(*d)) return s;
  if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    const Descriptor *configuration = d->reference(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    d->engine = configuration->engine;
    d->graph = configuration->graph;
  }
  d->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t handle,
                                                      cudnnBackendAttributeName_t name,
                                                      cudnnBackendAttributeType_t, int64_t room,
                                                      int64_t *count, void *out) {
  CUDNN_CALL(CUDNN_STATUS_NOT_SUPPORTED);
  DESCRIPTOR(d, handle);
  int64_t unused;
  if (count == nullptr) count = &unused;
  if (!d->finalized) return refuse(CUDNN_STATUS_NOT_INITIALIZED, "the descriptor is not finalized");
  switch (name) {
  case CUDNN_ATTR_ENGINEHEUR_RESULTS:
    return give_configurations(*d, room, count, out);
  case CUDNN_ATTR_ENGINECFG_ENGINE:
    return give_engine(*d, count, out);
  case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
    return give_notes(*d, room, count, out);
  case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
    *static_cast<int64_t *>(out) = workspace_of(d->engine);
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  default:
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "attribute %d is not simulated", int(name));
  }
}

CUDASIM_EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                                                 cudnnBackendDescriptor_t arguments) {
  CUDNN_CALL(CUDNN_STATUS_EXECUTION_FAILED);
  DESCRIPTOR(p, plan);
  DESCRIPTOR(a, arguments);
  if (h == nullptr || !p->finalized || !a->finalized ||
      p->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR ||
      a->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
    return refuse(CUDNN_STATUS_BAD_PARAM,
                  "a handle, a finalized plan and its arguments are needed");
  if (h->device != current_device())
    return refuse(CUDNN_STATUS_BAD_PARAM, "the handle is another device's");
  return run_plan(h->stream, *p, *a);
}

#include "stream.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "graph.h"

namespace cudasim {

namespace {

enum class Schedule { lazy, eager, random };

Schedule schedule() {
  static Schedule s = [] {
    std::string name = setting("CVSIM_SCHED", "lazy");
    if (name == "eager") return Schedule::eager;
    if (name.rfind("random", 0) == 0) return Schedule::random;
    if (name == "lazy" || name.empty()) return Schedule::lazy;
    fprintf(stderr, "cudasim: CVSIM_SCHED=%s is none of lazy, eager, random:SEED\n", name.c_str());
    abort();
  }();
  return s;
}

/* In the order of their making, so that random:SEED repeats. */
std::vector<CUstream_st *> &streams() {
  static auto *all = new std::vector<CUstream_st *>;
  return *all;
}

std::set<CUevent_st *> &events() {
  static auto *all = new std::set<CUevent_st *>;
  return *all;
}

CUstream_st *default_stream(int device) {
  static auto *all = new std::vector<CUstream_st>(size_t(device_count()));
  CUstream_st &s = (*all)[size_t(device)];
  s.device = device;
  return &s;
}

bool is_default(const CUstream_st *s) { return s == default_stream(s->device); }

/* What the program knows to have happened. */
Clock &host_clock() {
  static Clock *c = new Clock;
  return *c;
}

void host_learns(const Clock &c) {
  host_clock().join(c);
  unguard(host_clock());
}

double now_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

/* Runs the first piece of work, after what it waits for. A signal's record was queued before any wait
** for it, so this comes to an end. */
void step(CUstream_st *s) {
  if (s->queue.empty()) return;
  while (s->queue.front().wait != nullptr && !s->queue.front().wait->done)
    step(s->queue.front().wait->stream);
  Work work = std::move(s->queue.front());
  s->queue.pop_front();
  if (work.run && sticky_error() == cudaSuccess) {
    if (injected("execution")) return lose_context(cudaErrorLaunchFailure);
    Acting acting(work.actor, s->device);
    work.run();
  }
  if (work.record != nullptr) {
    work.record->done = true;
    work.record->ms = now_ms();
  }
}

/* The default stream waits for the blocking streams, and they for it. */
void order_with_default(CUstream_st *s) {
  auto after = [s](CUstream_st *other) {
    drain(other);
    s->clock.join(other->clock);
  };
  if (is_default(s)) {
    for (CUstream_st *t : streams())
      if (t->blocking && t->device == s->device) after(t);
  } else if (s->blocking) {
    after(default_stream(s->device));
  }
}

bool known(CUevent_st *e, const char *call) {
  if (events().count(e) != 0) return true;
  violation("%s: event %p does not exist, or was destroyed", call, static_cast<void *>(e));
  return false;
}

/* Of an event that was recorded in a capture there is nothing to wait for. */
cudaError_t refuse_captured(CUevent_st *e) {
  if (e->capture == nullptr) return cudaSuccess;
  spoil(e->capture);
  return cudaErrorCapturedEvent;
}

} // namespace

CUstream_st *stream_of(cudaStream_t handle, const char *call) {
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread)
    return default_stream(current_device());
  if (std::find(streams().begin(), streams().end(), handle) != streams().end()) return handle;
  violation("%s: stream %p does not exist, or was destroyed", call, static_cast<void *>(handle));
  return nullptr;
}

bool unknown_stream(cudaStream_t stream) { return stream_of(stream, "stream") == nullptr; }

int device_of(cudaStream_t stream) {
  CUstream_st *s = stream_of(stream, "stream");
  return s != nullptr ? s->device : current_device();
}

bool is_capturing(cudaStream_t stream) {
  CUstream_st *s = stream_of(stream, "stream");
  return s != nullptr && s->capture != nullptr;
}

CUstream_st *new_stream(int device, bool blocking) {
  auto *s = new CUstream_st;
  s->device = device;
  s->blocking = blocking;
  s->slot = new_slot();
  streams().push_back(s);
  return s;
}

void delete_stream(CUstream_st *s) {
  drain(s);
  give_slot_back(s->slot);
  streams().erase(std::find(streams().begin(), streams().end(), s));
  delete s;
}

cudaError_t enqueue(cudaStream_t stream, const char *name, std::function<void()> run) {
  CUstream_st *s = stream_of(stream, name);
  if (s == nullptr) return cudaErrorInvalidResourceHandle;
  Work work;
  work.name = keep_name(name);
  work.run = std::move(run);
  return enqueue(s, std::move(work));
}

cudaError_t enqueue(CUstream_st *s, Work work) {
  if (s->capture != nullptr) return record_node(s, std::move(work));
  if (is_default(s))
    for (CUstream_st *t : streams())
      if (t->capture != nullptr && t->blocking && t->device == s->device) {
        spoil(t->capture); /* it would wait for work that does not run yet */
        return cudaErrorStreamCaptureImplicit;
      }
  queue(s, std::move(work));
  return cudaSuccess;
}

void queue(CUstream_st *s, Work work) {
  order_with_default(s);
  s->clock.join(host_clock());
  if (work.wait != nullptr) s->clock.join(work.wait->clock);
  s->clock.time[s->slot] = next_time(s->slot);
  work.actor = {work.name, s->slot, s->clock, work.names};
  if (work.record != nullptr) {
    work.record->stream = s;
    work.record->clock = s->clock;
  }
  for (const HostUse &use : work.host) guard(use, s->slot, s->clock.time[s->slot], work.name);
  s->queue.push_back(std::move(work));
  if (schedule() == Schedule::eager) drain(s);
  if (schedule() == Schedule::random)
    for (CUstream_st *t : streams())
      if (random_below(3) == 0) step(t);
}

void drain(CUstream_st *s) {
  while (!s->queue.empty()) step(s);
}

void synchronize(CUstream_st *s) {
  drain(s);
  host_learns(s->clock);
}

void synchronize_device(int device) {
  for (CUstream_st *s : streams())
    if (s->device == device) synchronize(s);
  synchronize(default_stream(device));
}

} // namespace cudasim

using namespace cudasim;

#define STREAM(s, handle)                       \
  CUstream_st *s = stream_of(handle, __func__); \
  if (s == nullptr) return failed(cudaErrorInvalidResourceHandle)

#define EVENT(e) \
  if (!known(e, __func__)) return failed(cudaErrorInvalidResourceHandle)

CUDASIM_EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int) {
  CUDASIM_CALL();
  if (out == nullptr || (flags & ~unsigned(cudaStreamNonBlocking)) != 0)
    return failed(cudaErrorInvalidValue);
  *out = new_stream(current_device(), (flags & cudaStreamNonBlocking) == 0);
  born(Kind::stream, *out, 0);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
  CUDASIM_CALL();
  return cudaStreamCreateWithPriority(out, flags, 0);
}

CUDASIM_EXPORT cudaError_t cudaStreamCreate(cudaStream_t *out) {
  CUDASIM_CALL();
  return cudaStreamCreateWithPriority(out, cudaStreamDefault, 0);
}

CUDASIM_EXPORT cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  CUDASIM_CALL();
  STREAM(s, stream);
  if (is_default(s)) return failed(cudaErrorInvalidResourceHandle);
  if (s->capture != nullptr) spoil(s->capture);
  died(Kind::stream, s);
  delete_stream(s);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  CUDASIM_CALL();
  STREAM(s, stream);
  if (cudaError_t e = refuse_for_stream(s, __func__)) return failed(e);
  synchronize(s);
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaStreamQuery(cudaStream_t stream) {
  CUDASIM_CALL();
  STREAM(s, stream);
  if (cudaError_t e = refuse_for_stream(s, __func__)) return failed(e);
  step(s);
  if (!s->queue.empty()) return failed(cudaErrorNotReady);
  host_learns(s->clock);
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaDeviceSynchronize() {
  CUDASIM_CALL();
  if (cudaError_t e = refuse_for_device(current_device(), __func__)) return failed(e);
  synchronize_device(current_device());
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *data) {
  CUDASIM_CALL();
  return failed(enqueue(stream, "host function", [fn, data] { fn(data); }));
}

CUDASIM_EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
  CUDASIM_CALL();
  if (out == nullptr) return failed(cudaErrorInvalidValue);
  *out = new CUevent_st;
  (*out)->timing = (flags & cudaEventDisableTiming) == 0;
  events().insert(*out);
  born(Kind::event, *out, 0);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaEventCreate(cudaEvent_t *out) {
  CUDASIM_CALL();
  return cudaEventCreateWithFlags(out, cudaEventDefault);
}

CUDASIM_EXPORT cudaError_t cudaEventDestroy(cudaEvent_t e) {
  CUDASIM_CALL();
  EVENT(e);
  events().erase(e);
  died(Kind::event, e);
  delete e;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream) {
  CUDASIM_CALL();
  EVENT(e);
  STREAM(s, stream);
  if (s->capture != nullptr) return failed(record_event(s, e));
  Work work;
  work.name = "cudaEventRecord";
  work.record = std::make_shared<Signal>();
  e->signal = work.record;
  e->capture = nullptr;
  return failed(enqueue(s, std::move(work)));
}

CUDASIM_EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned) {
  CUDASIM_CALL();
  EVENT(e);
  STREAM(s, stream);
  if (s->capture != nullptr || e->capture != nullptr) return failed(wait_event(s, e));
  if (e->signal == nullptr) return cudaSuccess; /* never recorded: nothing to wait for */
  Work work;
  work.name = "cudaStreamWaitEvent";
  work.wait = e->signal;
  return failed(enqueue(s, std::move(work)));
}

CUDASIM_EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  CUDASIM_CALL();
  EVENT(e);
  if (cudaError_t error = refuse_captured(e)) return failed(error);
  if (cudaError_t error = refuse_in_capture(__func__)) return failed(error);
  if (e->signal == nullptr) return cudaSuccess;
  while (!e->signal->done) step(e->signal->stream);
  host_learns(e->signal->clock);
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaEventQuery(cudaEvent_t e) {
  CUDASIM_CALL();
  EVENT(e);
  if (cudaError_t error = refuse_captured(e)) return failed(error);
  if (cudaError_t error = refuse_in_capture(__func__)) return failed(error);
  if (e->signal == nullptr) return cudaSuccess;
  if (!e->signal->done) {
    step(e->signal->stream);
    if (!e->signal->done) return failed(cudaErrorNotReady);
  }
  host_learns(e->signal->clock);
  return failed(sticky_error());
}

CUDASIM_EXPORT cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
  CUDASIM_CALL();
  EVENT(start);
  EVENT(end);
  if (ms == nullptr) return failed(cudaErrorInvalidValue);
  if (!start->timing || !end->timing || start->signal == nullptr || end->signal == nullptr)
    return failed(cudaErrorInvalidResourceHandle);
  if (!start->signal->done || !end->signal->done) return failed(cudaErrorNotReady);
  *ms = float(end->signal->ms - start->signal->ms);
  return cudaSuccess;
}

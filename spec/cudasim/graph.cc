#include "graph.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <thread>

namespace cudasim {

namespace {

constexpr size_t kNone = size_t(-1);

struct Node {
  Work work;
  size_t branch;
  size_t record = kNone, wait = kNone; /* a mark, the graph's number for one record of an event */
};

struct Graph {
  std::vector<Node> nodes;
  size_t branches = 1, marks = 0;
};

using BranchClock = std::vector<size_t>; /* how many nodes of each branch come before */

} // namespace

struct Capture {
  Graph graph;
  CUstream_st *origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread = std::this_thread::get_id();
  bool spoilt = false;
  std::vector<CUstream_st *> members;
  std::vector<BranchClock> clocks = {{0}}; /* of each branch */
  std::vector<BranchClock> marks;
};

namespace {

std::set<Capture *> &captures() {
  static auto *all = new std::set<Capture *>;
  return *all;
}

/* Marks of captures that ended stay with their events, to be refused: captures are kept, where leak checkers see them. */
void end(Capture *c) {
  static auto *ended = new std::vector<Capture *>;
  ended->push_back(c);
  for (CUstream_st *s : c->members) s->capture = nullptr;
  captures().erase(c);
}

void join(BranchClock &into, const BranchClock &other) {
  into.resize(std::max(into.size(), other.size()));
  for (size_t i = 0; i < other.size(); i++) into[i] = std::max(into[i], other[i]);
}

/* Whether all branches have come together in the first again. */
bool joined(const Capture &c) {
  BranchClock origin = c.clocks[0];
  origin.resize(c.graph.branches);
  for (size_t b = 0; b < c.graph.branches; b++)
    if (origin[b] < c.clocks[b][b]) return false;
  return true;
}

void enter(Capture *c, CUstream_st *s) {
  s->capture = c;
  s->branch = c->graph.branches++;
  c->members.push_back(s);
  c->clocks.push_back(BranchClock(s->branch + 1));
}

} // namespace

void spoil(Capture *capture) { capture->spoilt = true; }

cudaError_t record_node(CUstream_st *s, Work work) {
  Capture *c = s->capture;
  if (c->spoilt) return cudaErrorStreamCaptureInvalidated;
  c->graph.nodes.push_back({std::move(work), s->branch});
  c->clocks[s->branch][s->branch]++;
  return cudaSuccess;
}

cudaError_t record_event(CUstream_st *s, CUevent_st *e) {
  Capture *c = s->capture;
  if (c->spoilt) return cudaErrorStreamCaptureInvalidated;
  e->capture = c;
  e->mark = c->graph.marks++;
  c->marks.push_back(c->clocks[s->branch]);
  Node node = {{}, s->branch};
  node.work.name = "cudaEventRecord";
  node.record = e->mark;
  c->graph.nodes.push_back(std::move(node));
  return cudaSuccess;
}

cudaError_t wait_event(CUstream_st *s, CUevent_st *e) {
  if (e->capture == nullptr) { /* recorded outside: the graph could not know when */
    if (e->signal == nullptr) return cudaSuccess;
    spoil(s->capture);
    return cudaErrorStreamCaptureIsolation;
  }
  Capture *c = e->capture;
  if (captures().count(c) == 0 || (s->capture != nullptr && s->capture != c)) {
    if (s->capture != nullptr) spoil(s->capture);
    return captures().count(c) == 0 ? cudaErrorCapturedEvent : cudaErrorStreamCaptureMerge;
  }
  if (c->spoilt) return cudaErrorStreamCaptureInvalidated;
  if (s->capture == nullptr) enter(c, s);
  join(c->clocks[s->branch], c->marks[e->mark]);
  Node node = {{}, s->branch};
  node.work.name = "cudaStreamWaitEvent";
  node.wait = e->mark;
  c->graph.nodes.push_back(std::move(node));
  return cudaSuccess;
}

cudaError_t refuse_in_capture(const char *call) {
  bool refused = false;
  for (Capture *c : captures()) {
    bool mine = c->thread == std::this_thread::get_id();
    if (c->mode == cudaStreamCaptureModeRelaxed) continue;
    if (c->mode == cudaStreamCaptureModeThreadLocal && !mine) continue;
    spoil(c);
    refused = true;
  }
  if (refused) fprintf(stderr, "cudasim: %s may not be called while a stream is captured\n", call);
  return refused ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t refuse_for_stream(CUstream_st *s, const char *call) {
  if (s->capture == nullptr) return refuse_in_capture(call);
  spoil(s->capture);
  fprintf(stderr, "cudasim: %s may not be called for a stream that is captured\n", call);
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t refuse_for_device(int device, const char *call) {
  for (Capture *c : captures())
    if (c->origin->device == device) return refuse_for_stream(c->origin, call);
  return refuse_in_capture(call);
}

} // namespace cudasim

using namespace cudasim;

struct CUgraph_st {
  Graph graph;
};

struct CUgraphExec_st {
  Graph graph;
  std::shared_ptr<NamedMemory> names = std::make_shared<NamedMemory>();
  std::vector<CUstream_st *> streams; /* for branches 1, 2, ... */

  CUgraphExec_st(const Graph &g, int device) : graph(g) {
    for (size_t b = 1; b < g.branches; b++) streams.push_back(new_stream(device, false));
  }
  ~CUgraphExec_st() {
    for (CUstream_st *s : streams) delete_stream(s);
  }
};

namespace {

std::set<const void *> &graphs() {
  static auto *all = new std::set<const void *>;
  return *all;
}

bool known(const void *graph, const char *call) {
  if (graphs().count(graph) != 0) return true;
  violation("%s: graph %p does not exist, or was destroyed", call, graph);
  return false;
}

void add(const void *graph) {
  graphs().insert(graph);
  born(Kind::graph, graph, 0);
}

void remove(const void *graph) {
  graphs().erase(graph);
  died(Kind::graph, graph);
}

void signal(CUstream_st *s, const std::shared_ptr<Signal> &signal) {
  Work work;
  work.name = "cudaGraphLaunch";
  work.record = signal;
  queue(s, std::move(work));
}

void await(CUstream_st *s, const std::shared_ptr<Signal> &signal) {
  Work work;
  work.name = "cudaGraphLaunch";
  work.wait = signal;
  queue(s, std::move(work));
}

/* Same nodes in the same order, on the same branches. */
bool same_shape(const Graph &a, const Graph &b) {
  auto same = [](const Node &x, const Node &y) {
    return x.work.name == y.work.name && x.branch == y.branch && x.record == y.record &&
           x.wait == y.wait;
  };
  return a.branches == b.branches && a.nodes.size() == b.nodes.size() &&
         std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), same);
}

} // namespace

CUDASIM_EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CUDASIM_CALL();
  CUstream_st *s = stream_of(stream, __func__);
  if (s == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (s != stream) return failed(cudaErrorStreamCaptureUnsupported); /* the default stream */
  if (s->capture != nullptr) return failed(cudaErrorIllegalState);
  auto *c = new Capture;
  c->origin = s;
  c->mode = mode;
  c->members.push_back(s);
  s->capture = c;
  s->branch = 0;
  captures().insert(c);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  CUDASIM_CALL();
  CUstream_st *s = stream_of(stream, __func__);
  if (s == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (graph == nullptr) return failed(cudaErrorInvalidValue);
  *graph = nullptr;
  Capture *c = s->capture;
  if (c == nullptr) return failed(cudaErrorIllegalState);
  if (c->origin != s) return failed(cudaErrorStreamCaptureUnmatched);
  if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
    return failed(cudaErrorStreamCaptureWrongThread);
  end(c);
  if (c->spoilt) return failed(cudaErrorStreamCaptureInvalidated);
  if (!joined(*c)) return failed(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(c->graph)};
  add(*graph);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t stream,
                                                 cudaStreamCaptureStatus *status) {
  CUDASIM_CALL();
  CUstream_st *s = stream_of(stream, __func__);
  if (s == nullptr) return failed(cudaErrorInvalidResourceHandle);
  *status = s->capture == nullptr ? cudaStreamCaptureStatusNone
            : s->capture->spoilt  ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes,
                                             size_t *count) {
  CUDASIM_CALL();
  if (!known(graph, __func__)) return failed(cudaErrorInvalidValue);
  if (nodes != nullptr) return failed(cudaErrorNotSupported); /* the nodes have no handles here */
  *count = 0;
  for (const Node &n : graph->graph.nodes) *count += n.record == kNone && n.wait == kNone;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                                unsigned long long) {
  CUDASIM_CALL();
  if (!known(graph, __func__)) return failed(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st(graph->graph, current_device());
  add(*exec);
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                               cudaGraphExecUpdateResultInfo *info) {
  CUDASIM_CALL();
  if (!known(exec, __func__) || !known(graph, __func__)) return failed(cudaErrorInvalidValue);
  bool same = same_shape(exec->graph, graph->graph);
  if (info != nullptr) {
    *info = {};
    info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
  }
  if (!same) return failed(cudaErrorGraphExecUpdateFailure);
  exec->graph = graph->graph;
  exec->names = std::make_shared<NamedMemory>();
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  CUDASIM_CALL();
  CUstream_st *s = stream_of(stream, __func__);
  if (s == nullptr) return failed(cudaErrorInvalidResourceHandle);
  if (!known(exec, __func__)) return failed(cudaErrorInvalidValue);
  if (s->capture != nullptr) return failed(cudaErrorNotSupported); /* graphs within graphs */
  std::vector<std::shared_ptr<Signal>> marks(exec->graph.marks);
  auto start = std::make_shared<Signal>();
  if (!exec->streams.empty()) signal(s, start);
  for (CUstream_st *branch : exec->streams) await(branch, start);
  for (const Node &node : exec->graph.nodes) {
    Work work = node.work;
    work.names = exec->names;
    if (node.record != kNone) work.record = marks[node.record] = std::make_shared<Signal>();
    if (node.wait != kNone) work.wait = marks[node.wait];
    queue(node.branch == 0 ? s : exec->streams[node.branch - 1], std::move(work));
  }
  for (CUstream_st *branch : exec->streams) {
    auto finish = std::make_shared<Signal>();
    signal(branch, finish);
    await(s, finish);
  }
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  CUDASIM_CALL();
  if (!known(graph, __func__)) return failed(cudaErrorInvalidValue);
  remove(graph);
  delete graph;
  return cudaSuccess;
}

CUDASIM_EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  CUDASIM_CALL();
  if (!known(exec, __func__)) return failed(cudaErrorInvalidValue);
  remove(exec);
  delete exec;
  return cudaSuccess;
}

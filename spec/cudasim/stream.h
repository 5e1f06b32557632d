/*
** Streams as queues of work that the schedule runs later, and events. The order in which things may
** happen follows the program's calls (order.h); the order in which they do happen is CVSIM_SCHED's.
*/
#ifndef CUDASIM_STREAM_H
#define CUDASIM_STREAM_H

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "memory.h"
#include "order.h"
#include "sim.h"

namespace cudasim {

/* One cudaEventRecord: done when the stream gets there. */
struct Signal {
  CUstream_st *stream = nullptr; /* who will set it; valid until it is done */
  Clock clock;
  bool done = false;
  double ms = 0; /* when it was set */
};

/* What is queued: something to run, a signal to wait for, or one to set. */
struct Work {
  const char *name = "";
  std::function<void()> run;
  std::shared_ptr<Signal> wait, record;
  std::vector<HostUse> host;          /* the pinned memory that it uses */
  std::shared_ptr<NamedMemory> names; /* of the graph that it belongs to */
  Actor actor;                        /* filled in when it is queued */
};

struct Capture; /* graph.h */

} // namespace cudasim

struct CUstream_st {
  int device = 0;
  bool blocking = true; /* ordered with the default stream */
  unsigned slot = 0;
  cudasim::Clock clock;
  std::deque<cudasim::Work> queue;
  cudasim::Capture *capture = nullptr; /* of which it is branch number `branch` */
  size_t branch = 0;
};

struct CUevent_st {
  bool timing = true;
  std::shared_ptr<cudasim::Signal> signal; /* of the last record; NULL: none yet */
  cudasim::Capture *capture = nullptr; /* in which it was last recorded, as mark number `mark` */
  size_t mark = 0;
};

namespace cudasim {

/* The stream itself, also for the default stream's names; NULL, after a violation, when it is none. */
CUstream_st *stream_of(cudaStream_t handle, const char *call);

CUstream_st *new_stream(int device, bool blocking);
void delete_stream(CUstream_st *s); /* its work runs first */

/* Queues work behind what the stream has, or records it when the stream is being captured. */
cudaError_t enqueue(CUstream_st *s, Work work);

/* Queues work for a stream that is not being captured. */
void queue(CUstream_st *s, Work work);

/* Runs all that the stream has. Only synchronize() lets the program count on it. */
void drain(CUstream_st *s);
void synchronize(CUstream_st *s);
void synchronize_device(int device);

} // namespace cudasim

#endif

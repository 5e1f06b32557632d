/*
** Captures and graphs. A capture writes down what its streams were given: work, records of events and
** waits for them, by branch; the stream that began it is branch 0, others join by waiting for an event
** recorded in it. Launching a graph queues the same again, each branch on a stream of its own, so that
** branches stay unordered where the captured streams were.
*/
#ifndef CUDASIM_GRAPH_H
#define CUDASIM_GRAPH_H

#include "stream.h"

namespace cudasim {

/* Writes work down as a node of the capture that the stream takes part in. */
cudaError_t record_node(CUstream_st *s, Work work);
cudaError_t record_event(CUstream_st *s, CUevent_st *e);

/* A wait in which a capture takes part: the stream's, the event's or both. */
cudaError_t wait_event(CUstream_st *s, CUevent_st *e);

/* The error, and the capture spoilt, of a call that waits for a stream, or for a device's streams, while one of them is
** captured: in every mode. */
cudaError_t refuse_for_stream(CUstream_st *s, const char *call);
cudaError_t refuse_for_device(int device, const char *call);

/* Something was done that a capture does not allow: its end will be an error. */
void spoil(Capture *capture);

} // namespace cudasim

#endif

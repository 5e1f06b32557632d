/*
** Recordings are CUDA graphs. The capture is relaxed: asking for memory is allowed meanwhile, which the program's cache does
** for blocks that stay the graph's. What would wait for the stream is refused before CUDA sees it (memory.c, runtime.c).
*/
#include "cuda/runtime.h"

int cvl_cuda_begin_recording(cvl_device *base, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_cuda_use(d, e) != 0) return -1;
  return CVL_CUDA(e, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeRelaxed));
}

/* A capture that something spoilt ends with an error; one whose end failed otherwise still goes on. */
static cudaGraph_t end_capture(cvl_cuda *d, cvl_err *e) {
  cudaGraph_t graph = NULL;
  for (int attempt = 0; attempt < 2; attempt++) {
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
    if (CVL_CUDA(e, cudaStreamEndCapture(d->stream, &graph)) == 0) break;
    if (cudaStreamIsCapturing(d->stream, &status) != cudaSuccess) cudaGetLastError();
    if (status == cudaStreamCaptureStatusNone) break;
  }
  return graph;
}

void *cvl_cuda_end_recording(cvl_device *base, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  cudaGraphExec_t work = NULL;
  cudaGraph_t graph;
  cvl_err first = {0};
  if (cvl_cuda_use(d, e) != 0) return NULL;
  if ((graph = end_capture(d, &first)) == NULL || first.code != CVL_OK)
    cvl_fail(e, first.code, 0, "%s", first.msg);
  else if (CVL_CUDA(e, cudaGraphInstantiate(&work, graph, 0)) != 0)
    work = NULL;
  if (graph != NULL && cudaGraphDestroy(graph) != cudaSuccess) cudaGetLastError();
  return work;
}

int cvl_cuda_replay(cvl_device *base, void *work, cvl_err *e) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_cuda_use(d, e) != 0) return -1;
  if (CVL_CUDA(e, cudaGraphLaunch(work, d->stream)) != 0) return -1;
  return d->checked ? CVL_CUDA(e, cudaStreamSynchronize(d->stream)) : 0;
}

void cvl_cuda_free_recording(cvl_device *base, void *work) {
  cvl_cuda *d = cvl_cuda_of(base);
  if (cvl_cuda_use(d, NULL) != 0) return;
  if (cudaStreamSynchronize(d->stream) != cudaSuccess) cudaGetLastError();
  if (cudaGraphExecDestroy(work) != cudaSuccess) cudaGetLastError();
}

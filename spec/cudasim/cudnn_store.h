/*
** The fake libcudnn: descriptors of the backend (graph) API. A descriptor is a bag of attributes until it
** is finalized; one that refers to another keeps a copy of it, as it was then.
*/
#ifndef CUDASIM_CUDNN_STORE_H
#define CUDASIM_CUDNN_STORE_H

#include <cudnn.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "sim.h"

namespace cudasim {

struct Descriptor;

struct Attribute {
  cudnnBackendAttributeType_t type;
  int64_t count;
  std::vector<char> bytes;
  std::vector<std::shared_ptr<const Descriptor>>
      descriptors; /* for CUDNN_TYPE_BACKEND_DESCRIPTOR */
};

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Attribute> attributes;
  int engine = -1; /* which engine a configuration, an engine or a plan stands for */
  std::shared_ptr<const Descriptor> graph; /* what that engine is for */

  bool has(cudnnBackendAttributeName_t name) const { return attributes.count(name) != 0; }

  int64_t count(cudnnBackendAttributeName_t name) const {
    auto found = attributes.find(name);
    return found != attributes.end() ? found->second.count : 0;
  }

  /* Element i of an attribute that is there. */
  template <class T> T get(cudnnBackendAttributeName_t name, int64_t i = 0) const {
    T value;
    memcpy(&value, attributes.at(name).bytes.data() + size_t(i) * sizeof value, sizeof value);
    return value;
  }

  template <class T> std::vector<T> all(cudnnBackendAttributeName_t name) const {
    std::vector<T> values(size_t(count(name)));
    for (size_t i = 0; i < values.size(); i++) values[i] = get<T>(name, int64_t(i));
    return values;
  }

  /* NULL when it is not set. */
  const Descriptor *reference(cudnnBackendAttributeName_t name) const {
    auto found = attributes.find(name);
    return found != attributes.end() ? found->second.descriptors.at(0).get() : nullptr;
  }
};

/* Keeps the text for cudnnGetLastErrorString; returns the status. */
cudnnStatus_t refuse(cudnnStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* cudnn_rules.cc: what may be set, and what makes a descriptor complete. */
cudnnStatus_t check_attribute(const Descriptor &d, cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, int64_t count);
cudnnStatus_t check_complete(const Descriptor &d);

/* cudnn_graph.cc: the engines, and running one. */
constexpr int kEngines = 2;
std::vector<cudnnBackendNumericalNote_t> notes_of(int engine);
bool engine_takes(const Descriptor &graph); /* whether any engine can run it */
int64_t workspace_of(int engine);
cudnnStatus_t run_plan(cudaStream_t stream, const Descriptor &plan, const Descriptor &arguments);

} // namespace cudasim

#endif

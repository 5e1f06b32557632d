/* Which source lines of the kernels have been executed. */
#ifndef CUDASIM_PTX_COVERAGE_H
#define CUDASIM_PTX_COVERAGE_H

namespace cudasim::ptx {

class LoadedModule;

/* A module counts from when it is loaded; what it counted is kept when it goes. */
void add_coverage(const LoadedModule *m);
void remove_coverage(const LoadedModule *m);

} // namespace cudasim::ptx

#endif

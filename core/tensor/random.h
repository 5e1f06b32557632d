/* Dense host tensors filled with random numbers, the same for any number of threads. Each call draws from the global
** generator (base/rng.h). Floating types only, but for cvl_fill_integers. */
#ifndef CVL_TENSOR_RANDOM_H
#define CVL_TENSOR_RANDOM_H

#include "tensor/tensor.h"

void cvl_fill_uniform(cvl_tensor *x, double low, double high);   /* [low, high) */
void cvl_fill_normal(cvl_tensor *x, double mean, double stddev); /* Box & Muller 1958 */
void cvl_fill_integers(cvl_tensor *x, int64_t low,
                       int64_t high); /* low..high, both included; any type */

#endif

/* A convolution as the CPU engine describes it, put into the form that cuDNN takes. */
#ifndef CVL_CUDA_DNN_PROBLEM_H
#define CVL_CUDA_DNN_PROBLEM_H

#include "cuda/dnn_graph.h"
#include "kernels/conv.h"

enum { CVL_DNN_WORKSPACE = 256 << 20 }; /* bytes that a plan may ask for */

/*
** cuDNN's engines take the same padding at both ends of an axis only. Where the ends differ, `conv` has none there and
** its x is padded: it holds x {N, in..., C} from `shift` on, and zeros around it.
*/
typedef struct cvl_dnn_problem {
  cvl_dnn_conv conv;
  bool padded;
  int64_t shift[CVL_DNN_MOST_AXES]; /* of conv's axes */
} cvl_dnn_problem;

void cvl_dnn_problem_of(cvl_dnn_problem *p, cvl_dnn_pass pass, cudnnDataType_t type,
                        const cvl_conv *c);

#endif

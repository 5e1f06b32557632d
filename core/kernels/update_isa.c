#include "kernels/update.h"

#include <math.h>
#include <stddef.h>

#include "kernels/vector.h"

#define REAL float
#define SQRT sqrtf
#define NAME(name) name##_f32
#include "kernels/update_loops.h"
#undef REAL
#undef SQRT
#undef NAME

#define REAL double
#define SQRT sqrt
#define NAME(name) name##_f64
#include "kernels/update_loops.h"

const cvl_update_kernels CVL_ISA_NAME(cvl_update) = {sgd_f32,  sgd_f64,     adam_f32,
                                                     adam_f64, squares_f32, squares_f64};

#ifndef CVL_OPS_CAST_H
#define CVL_OPS_CAST_H

typedef struct {
  int dtype; /* a cvl_dtype */
} cvl_cast_options;

#endif

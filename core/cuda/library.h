/*
** Shared libraries that are looked for when they are first needed, so that a machine without cuDNN keeps the rest.
** A table of functions is a struct of pointers in the order of a list:
**   #define LIST(X) X(Create) X(Destroy)
**   typedef struct { LIST(CVL_MEMBER) } table;      with  #define CVL_MEMBER(f) __typeof__(&cudnn##f) f;
*/
#ifndef CVL_CUDA_LIBRARY_H
#define CVL_CUDA_LIBRARY_H

#include "base/err.h"

/* Opens the library `soname` for the life of the process and fills functions[0..n) with the symbols names[0..n). CVL_EDEVICE
** names what is missing, or says that the environment has <unless>=0, by which a user does without. */
int cvl_library_load(const char *soname, const char *unless, int n, const char *const *names,
                     void *functions, cvl_err *e);

#endif

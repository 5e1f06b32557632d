#include "cuda/cudnn_api.h"

#include <stdbool.h>

#include "cuda/library.h"

#define NAME(f) "cudnn" #f,
#define SONAME "libcudnn.so.9"

static const char *const names[] = {CVL_CUDNN_FUNCTIONS(NAME)};

const cvl_cudnn *cvl_cudnn_get(cvl_err *e) {
  static cvl_cudnn table;
  static bool loaded;
  if (!loaded) {
    size_t version;
    if (cvl_library_load(SONAME, "CONVLUA_CUDNN", sizeof names / sizeof names[0], names, &table,
                         e) != 0)
      return NULL;
    if ((version = table.GetVersion()) / 10000 != CUDNN_MAJOR) {
      cvl_fail(e, CVL_EDEVICE, 0, SONAME " says that it is version %zu: cuDNN 9 is needed",
               version);
      return NULL;
    }
    loaded = true;
  }
  return &table;
}

#include "cuda/library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int cvl_library_load(const char *soname, const char *unless, int n, const char *const *names,
                     void *functions, cvl_err *e) {
  const char *wanted = getenv(unless);
  void *library;
  if (wanted != NULL && strcmp(wanted, "0") == 0)
    return cvl_fail(e, CVL_EDEVICE, 0, "%s=0", unless);
  library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return cvl_fail(e, CVL_EDEVICE, 0, "%s", dlerror());
  for (int i = 0; i < n; i++) {
    void *symbol = dlsym(library, names[i]);
    if (symbol == NULL) {
      cvl_fail(e, CVL_EDEVICE, 0, "%s has no function %s: another version of it is needed", soname,
               names[i]);
      dlclose(library);
      return -1;
    }
    memcpy((char *)functions + (size_t)i * sizeof symbol, &symbol, sizeof symbol);
  }
  return 0; /* stays open */
}

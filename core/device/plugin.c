/*
** Finds a device by name. CUDA lives in a plugin, convlua_cuda.so beside the program, that is loaded when first asked
** for: the same binary runs where no CUDA is installed.
*/
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

enum { MOST_DEVICES = 16 };

static cvl_device *opened[MOST_DEVICES];

/* "<folder of this program or module>/convlua_cuda.so" */
static void plugin_path(char *path, size_t size) {
  Dl_info here;
  const char *slash = NULL;
  if (dladdr((void *)&cvl_device_get, &here) != 0 && here.dli_fname != NULL)
    slash = strrchr(here.dli_fname, '/');
  if (slash == NULL)
    snprintf(path, size, "convlua_cuda.so");
  else
    snprintf(path, size, "%.*s/convlua_cuda.so", (int)(slash - here.dli_fname), here.dli_fname);
}

static cvl_device *open_cuda(int index, cvl_err *e) {
  static cvl_plugin_open_fn *open;
  char path[4096];
  if (opened[index] != NULL) return opened[index];
  if (open == NULL) {
    void *library;
    plugin_path(path, sizeof path);
    if ((library = dlopen(path, RTLD_NOW | RTLD_LOCAL)) == NULL) {
      cvl_fail(e, CVL_EDEVICE, 0, "device 'cuda' is not available: %s", dlerror());
      return NULL;
    }
    void *symbol = dlsym(library, "cvl_plugin_open");
    if (symbol == NULL) {
      cvl_fail(e, CVL_EDEVICE, 0, "device 'cuda' is not available: %s is not a convlua plugin",
               path);
      dlclose(library);
      return NULL;
    }
    memcpy(&open, &symbol, sizeof open);
  }
  return opened[index] = open(CVL_PLUGIN_ABI, index, e);
}

cvl_device *cvl_device_get(const char *name, cvl_err *e) {
  char *end = NULL;
  long index = 0;
  if (strcmp(name, "cpu") == 0) return cvl_cpu();
  if (strcmp(name, "cuda") == 0) return open_cuda(0, e);
  if (strncmp(name, "cuda:", 5) == 0 && name[5] >= '0' && name[5] <= '9')
    index = strtol(name + 5, &end, 10);
  if (end != NULL && *end == '\0' && index < MOST_DEVICES) return open_cuda((int)index, e);
  cvl_fail(e, CVL_EDEVICE, 0, "no device has the name '%s'; there are cpu, cuda and cuda:N", name);
  return NULL;
}

cvl_device *cvl_device_default(void) {
  cvl_err e = {0};
  cvl_device *cuda = cvl_device_get("cuda", &e);
  return cuda != NULL ? cuda : cvl_cpu();
}

/*
** Finds a device by name. CUDA lives in a plugin, convlua_cuda.so beside the program, that is loaded when first asked
** for: the same binary runs where no CUDA is installed.
*/
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "device/cache.h"

enum { MOST_DEVICES = 16 };

static cvl_device *opened[MOST_DEVICES];

static const cvl_host host = {.alloc = cvl_alloc,
                              .resize = cvl_resize,
                              .free = cvl_free,
                              .permit = cvl_mem_permit,
                              .count = cvl_mem_count,
                              .live = cvl_mem_live,
                              .cached = cvl_mem_cached,
                              .cache_alloc = cvl_cache_alloc,
                              .cache_free = cvl_cache_free,
                              .cache_empty = cvl_cache_empty,
                              .cpu = cvl_cpu};

/* The file that this code lies in: the program, or convlua.so. */
static bool own_path(char *path, size_t size) {
  struct link_map *map = NULL;
  Dl_info here;
  ssize_t n;
  if (dladdr1((void *)&cvl_device_get, &here, (void **)&map, RTLD_DL_LINKMAP) != 0 && map != NULL &&
      map->l_name[0] != '\0')
    return (size_t)snprintf(path, size, "%s", map->l_name) < size;
  if ((n = readlink("/proc/self/exe", path, size)) <= 0 || (size_t)n >= size) return false;
  path[n] = '\0';
  return true;
}

/* $CONVLUA_CUDA_PLUGIN, else convlua_cuda.so beside this code (a build, or convlua.so installed), else where it is
** installed as seen from the program in bin/. */
static void plugin_path(char *path, size_t size) {
  static const char *const places[] = {"", "../lib/lua/5.4/"};
  const char *given = getenv("CONVLUA_CUDA_PLUGIN"), *slash;
  char own[2048];
  int folder;
  if (given != NULL && *given != '\0') {
    snprintf(path, size, "%s", given);
    return;
  }
  folder =
      own_path(own, sizeof own) && (slash = strrchr(own, '/')) != NULL ? (int)(slash - own) + 1 : 0;
  for (int i = 0; i < 2; i++) {
    snprintf(path, size, "%.*s%sconvlua_cuda.so", folder, own, places[i]);
    if (access(path, F_OK) == 0) return;
  }
  snprintf(path, size, "%.*sconvlua_cuda.so", folder, own);
}

static int unavailable(cvl_err *e, int index, const char *why) {
  return cvl_fail(e, CVL_EDEVICE, 0, "device 'cuda:%d' is not available: %s", index, why);
}

static cvl_plugin_open_fn *load(int index, cvl_err *e) {
  static cvl_plugin_open_fn *open;
  char path[4096], why[4200];
  void *library, *symbol;
  if (open != NULL) return open;
  plugin_path(path, sizeof path);
  if (access(path, F_OK) != 0) {
    snprintf(why, sizeof why, "convlua was built without it: there is no %s (make cuda)", path);
    unavailable(e, index, why);
    return NULL;
  }
  if ((library = dlopen(path, RTLD_NOW | RTLD_LOCAL)) == NULL) {
    unavailable(e, index, dlerror());
    return NULL;
  }
  if ((symbol = dlsym(library, "cvl_plugin_open")) == NULL) {
    snprintf(why, sizeof why, "%s is not a convlua plugin", path);
    unavailable(e, index, why);
    dlclose(library);
    return NULL;
  }
  memcpy(&open, &symbol, sizeof open);
  return open;
}

static cvl_device *open_cuda(int index, cvl_err *e) {
  cvl_plugin_open_fn *open;
  cvl_err why = {0};
  if (opened[index] != NULL) return opened[index];
  if ((open = load(index, e)) == NULL) return NULL;
  if ((opened[index] = open(CVL_PLUGIN_ABI, &host, index, &why)) == NULL)
    unavailable(e, index, why.msg);
  return opened[index];
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

int cvl_devices_open(cvl_device **list, int most) {
  int n = 0;
  if (n < most) list[n++] = cvl_cpu();
  for (int i = 0; i < MOST_DEVICES; i++)
    if (opened[i] != NULL && n < most) list[n++] = opened[i];
  return n;
}

int cvl_devices_sync(cvl_err *e) {
  int rc = 0;
  for (int i = 0; i < MOST_DEVICES; i++)
    if (opened[i] != NULL && opened[i]->sync(opened[i], e) != 0) rc = -1;
  return rc;
}

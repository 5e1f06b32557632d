#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int cvl_fail(cvl_err *e, cvl_code code, int arg, const char *fmt, ...) {
  va_list ap;
  if (e == NULL || e->code != CVL_OK) return -1;
  e->code = code;
  e->arg = arg;
  va_start(ap, fmt);
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  va_end(ap);
  return -1;
}

int cvl_fail_memory(cvl_err *e, long long bytes) {
  return cvl_fail(e, CVL_ENOMEM, 0, "out of memory: asked %lld bytes, live %lld, cached %lld",
                  bytes, (long long)cvl_mem_live(), (long long)cvl_mem_cached());
}

int cvl_err_prefix(cvl_err *e, const char *fmt, ...) {
  char prefix[160], rest[sizeof e->msg];
  va_list ap;
  if (e == NULL) return -1;
  va_start(ap, fmt);
  vsnprintf(prefix, sizeof prefix, fmt, ap);
  va_end(ap);
  memcpy(rest, e->msg, sizeof rest);
  snprintf(e->msg, sizeof e->msg, "%s: %.*s", prefix, (int)(sizeof e->msg - strlen(prefix) - 3),
           rest);
  return -1;
}

/* Downloads, through libcurl, which is loaded at the first use: no program needs it to start. */
#ifndef CVL_IO_FETCH_H
#define CVL_IO_FETCH_H

#include <stdint.h>

#include "base/err.h"

typedef struct cvl_fetch_request {
  const char *url;  /* http, https or file */
  const char *path; /* where the file shall be; its directory exists */
  int64_t size;     /* bytes it must have; 0 when not known */
  const char *sha1; /* 40 hexadecimal digits in lower case; NULL when not known */
  /* Called several times a second: bytes that are there, and of how many (0: not known). A value
  ** other than 0 stops the download; what is there is kept for the next time. May be NULL. */
  int (*progress)(void *context, int64_t done, int64_t total);
  void *context;
} cvl_fetch_request;

/*
** Downloads into PATH.part, goes on from what an earlier try left there, checks size and sum, and
** only then renames to PATH. A file that fails its check is removed, so that the next try starts
** afresh; one that is merely incomplete stays. Two processes that fetch the same file: the second
** is refused. Errors: CVL_EIO (no libcurl, no network, the server's refusal, the disk), CVL_EFORMAT
** (wrong size or sum), CVL_ESTATE (stopped by `progress`); the message has the address.
*/
int cvl_fetch(const cvl_fetch_request *r, cvl_err *e);

/* 0 when the file has this SHA-1 and size (0: any); else CVL_EFORMAT with both sums. */
int cvl_check_sha1(const char *path, int64_t size, const char *sha1, cvl_err *e);

#endif

/*
** Errors are values: a function of the core returns 0 or -1 (or a pointer or NULL) and fills its last argument.
** Nothing below bind/ exits, jumps or prints.
*/
#ifndef CVL_BASE_ERR_H
#define CVL_BASE_ERR_H

typedef enum cvl_code {
  CVL_OK = 0,
  CVL_EARG,    /* a value outside its range */
  CVL_ESHAPE,  /* shapes that do not fit each other */
  CVL_EDTYPE,  /* an element type that the operation does not take */
  CVL_ENOMEM,  /* no memory, or the limit reached; the caller may collect garbage and try again */
  CVL_EIO,     /* the system refused a file operation */
  CVL_EFORMAT, /* a file is damaged or of another format */
  CVL_EDEVICE, /* a device is absent or failed */
  CVL_ESTATE,  /* the object is in the wrong state: freed graph, closed loader */
  CVL_EHOOK    /* code above the core failed; its own error object waits there */
} cvl_code;

typedef struct cvl_err {
  cvl_code code;
  int arg;        /* the argument at fault, from 1; 0 when it is none in particular */
  char msg[1000]; /* complete sentence without the op's name; cut, never overrun */
} cvl_err;

/* Fills `e` (which may be NULL) and returns -1. Allocates nothing. An error already noted is kept: the first counts. */
int cvl_fail(cvl_err *e, cvl_code code, int arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* "out of memory: asked X bytes, live Y, cached Z" with the figures of mem.c. Returns -1. */
int cvl_fail_memory(cvl_err *e, long long bytes);

/* Puts "prefix: " before the message, for a caller that knows the op, layer or file. Returns -1. */
int cvl_err_prefix(cvl_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

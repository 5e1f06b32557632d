/* SHA-1 (FIPS 180-4, section 6.1): checks downloads against published sums; not for security. */
#ifndef CVL_DATA_SHA1_H
#define CVL_DATA_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { CVL_SHA1_TEXT = 41 }; /* 40 hexadecimal digits and the zero */

typedef struct cvl_sha1 {
  uint32_t state[5];
  uint64_t bytes;
  unsigned char block[64];
} cvl_sha1;

void cvl_sha1_init(cvl_sha1 *s);
void cvl_sha1_add(cvl_sha1 *s, const void *data, size_t size);
/* Lower-case hexadecimal digits. The struct must be initialised again before another use. */
void cvl_sha1_end(cvl_sha1 *s, char text[CVL_SHA1_TEXT]);

/* The three in one. */
void cvl_sha1_of(const void *data, size_t size, char text[CVL_SHA1_TEXT]);

#endif

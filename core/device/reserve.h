/*
** The blocks that a recording names (recording.h). Its work uses them again at every replay, so that a device's cache may
** hand none of them out in the meantime, whoever gives one back.
*/
#ifndef CVL_DEVICE_RESERVE_H
#define CVL_DEVICE_RESERVE_H

#include <stdbool.h>

typedef struct cvl_reserved {
  void *memory;
  int size_class; /* as cache.c numbers them */
  bool
      own; /* handed out while the recording was made: nothing outside of it begins with its contents */
  bool idle; /* given back */
} cvl_reserved;

typedef struct cvl_reserve {
  struct cvl_reserve *next; /* in the cache's list */
  cvl_reserved *block;      /* {n}, by address */
  int n, room;
} cvl_reserve;

/* The block at that address, or NULL. */
cvl_reserved *cvl_reserve_find(const cvl_reserve *r, const void *memory);
/* Adds a block that is not there yet; -1 without memory for the note. */
int cvl_reserve_add(cvl_reserve *r, const cvl_reserved *block);
/* One of its own of that class that was given back, or NULL. */
cvl_reserved *cvl_reserve_idle(const cvl_reserve *r, int size_class);
/* Forgets all blocks. */
void cvl_reserve_clear(cvl_reserve *r);

#endif

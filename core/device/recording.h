/*
** Recordings: the work that a device is asked for is written down, and done again with one call as often as wanted, with
** the same memory. What the work reads may be another each time: the values of the tensors that it uses, and the state of
** the program's random numbers.
*/
#ifndef CVL_DEVICE_RECORDING_H
#define CVL_DEVICE_RECORDING_H

#include "base/rng.h"
#include "device/device.h"
#include "device/reserve.h"

typedef struct cvl_recording {
  cvl_device *device;
  void *work;   /* the device's; NULL: not ended */
  cvl_rng base; /* the program's random numbers when the recording began */
  cvl_rng *rng; /* on the device: the same for the replay under way */
  uint64_t
      drawn; /* positions that a replay takes; those of its kernels end at `used` at the earliest */
  uint64_t used;
  cvl_reserve reserve;
  cvl_err why; /* the first thing that cannot be recorded */
} cvl_recording;

/*
** Begins on device d. Until the end, on this thread, what d is asked for is not done, and other devices may not be asked.
** CVL_EDEVICE: it cannot record. CVL_ESTATE: one is being made.
*/
cvl_recording *cvl_recording_begin(cvl_device *d, cvl_err *e);
/* Ends it. On failure, CVL_ESTATE where something cannot be recorded, it is of no use and waits to be freed. The random
** numbers are where they were at the beginning: replays draw. */
int cvl_recording_end(cvl_recording *r, cvl_err *e);
/* Does it, once: drawing random numbers where the program is. Does not wait. */
int cvl_recording_replay(cvl_recording *r, cvl_err *e);
/* Waits for the work and gives the memory back; also in place of an end. NULL is fine. */
void cvl_recording_free(cvl_recording *r);

/* What a call uses: block p, of `bytes` as asked for, of device d. Without a recording nothing happens, in one the block
** stays as long as the recording. CVL_ESTATE on another device than its own: that work would be done now, and never again. */
int cvl_recording_uses(cvl_device *d, void *p, size_t bytes, cvl_err *e);

/* For devices: "X, which cannot be recorded" when the device records, else 0. The recording fails, also where the caller's
** error is caught. */
static inline int cvl_recording_refuse(const cvl_device *d, const char *what, cvl_err *e) {
  if (d->recording == NULL) return 0;
  cvl_fail(&d->recording->why, CVL_ESTATE, 0, "%s, which cannot be recorded", what);
  return cvl_fail(e, CVL_ESTATE, 0, "%s, which cannot be recorded", what);
}

/* For kernels that draw: NULL in *live, or, in a recording, the address on the device of where the program's random numbers
** are when the kernel runs; rng->position then counts from there. */
static inline int cvl_recording_rng(const cvl_device *d, cvl_rng *rng, const cvl_rng **live,
                                    cvl_err *e) {
  cvl_recording *r = d->recording;
  *live = NULL;
  if (r == NULL) return 0;
  if (rng->seed != r->base.seed || rng->stream != r->base.stream ||
      rng->position < r->base.position)
    return cvl_recording_refuse(d, "random numbers from before the recording", e);
  rng->position -= r->base.position;
  if (rng->position >= r->used) r->used = rng->position + 1;
  *live = r->rng;
  return 0;
}

#endif

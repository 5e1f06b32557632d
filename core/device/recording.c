#include "device/recording.h"

#include "base/mem.h"
#include "device/cache.h"

static _Thread_local cvl_recording *made; /* the one that is being made */

cvl_recording *cvl_recording_begin(cvl_device *d, cvl_err *e) {
  cvl_recording *r = NULL;
  if (d->begin_recording == NULL) {
    cvl_fail(e, CVL_EDEVICE, 0, "device %s cannot record its work; CUDA devices can", d->name);
    return NULL;
  }
  if (made != NULL) {
    cvl_fail(e, CVL_ESTATE, 0, "a recording is being made already");
    return NULL;
  }
  if ((r = cvl_alloc(sizeof *r)) == NULL) {
    cvl_fail_memory(e, (long long)sizeof *r);
    return NULL;
  }
  r->device = d;
  r->base = *cvl_global_rng();
  if ((r->rng = cvl_cache_alloc(d, sizeof *r->rng, e)) == NULL) goto fail;
  if (cvl_cache_open_reserve(d, &r->reserve, e) != 0) goto fail;
  if (d->begin_recording(d, e) == 0) {
    d->recording = made = r;
    return r;
  }
  cvl_cache_seal_reserve(d);
  cvl_cache_close_reserve(d, &r->reserve);
fail:
  cvl_cache_free(d, r->rng, sizeof *r->rng);
  cvl_free(r);
  return NULL;
}

/* From here on the device does what it is asked for. */
static void leave(cvl_recording *r, cvl_err *e) {
  cvl_device *d = r->device;
  made = NULL;
  r->work = d->end_recording(d, e);
  d->recording = NULL;
  cvl_cache_seal_reserve(d);
}

int cvl_recording_end(cvl_recording *r, cvl_err *e) {
  cvl_rng *now = cvl_global_rng(), then = *now;
  *now = r->base;
  leave(r, r->why.code == CVL_OK ? &r->why : NULL);
  r->drawn = then.position - r->base.position;
  if (r->why.code == CVL_OK && (then.seed != r->base.seed || then.stream != r->base.stream ||
                                then.position < r->base.position || r->drawn < r->used))
    cvl_fail(&r->why, CVL_ESTATE, 0, "the random numbers were set, which cannot be recorded");
  return r->why.code == CVL_OK ? 0 : cvl_fail(e, r->why.code, 0, "%s", r->why.msg);
}

int cvl_recording_replay(cvl_recording *r, cvl_err *e) {
  cvl_device *d = r->device;
  cvl_rng *now = cvl_global_rng();
  if (made != NULL) return cvl_fail(e, CVL_ESTATE, 0, "a replay cannot be recorded");
  if (r->drawn > 0 && d->from_host(d, r->rng, now, sizeof *now, e) != 0) return -1;
  if (d->replay(d, r->work, e) != 0) return -1;
  now->position += r->drawn;
  return 0;
}

void cvl_recording_free(cvl_recording *r) {
  cvl_device *d;
  if (r == NULL) return;
  d = r->device;
  if (r == made) {
    *cvl_global_rng() = r->base;
    leave(r, NULL);
  }
  if (r->work != NULL) d->free_recording(d, r->work);
  cvl_cache_close_reserve(d, &r->reserve);
  cvl_cache_free(d, r->rng, sizeof *r->rng);
  cvl_free(r);
}

int cvl_recording_uses(cvl_device *d, void *p, size_t bytes, cvl_err *e) {
  if (made == NULL) return 0;
  if (d == made->device) return cvl_cache_reserve(d, p, bytes, e);
  cvl_fail(&made->why, CVL_ESTATE, 0, "work on device %s, which cannot be recorded on %s", d->name,
           made->device->name);
  return cvl_fail(e, CVL_ESTATE, 0, "%s", made->why.msg);
}

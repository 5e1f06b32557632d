#include "data/augment.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/stream.h"

static int check(const cvl_augment *o, cvl_dtype dtype, const cvl_shape *item, cvl_err *e) {
  char text[CVL_SHAPE_TEXT];
  int64_t channels = item->ndim > 0 ? item->dim[item->ndim - 1] : 1;
  bool moves = o->pad != 0 || o->flip || o->alternating_flip || o->cutout != 0;
  if (dtype != CVL_U8 && dtype != CVL_F32)
    return cvl_fail(e, CVL_EDTYPE, 0, "items must be uint8 or float32, got %s",
                    cvl_dtype_name(dtype));
  if (o->pad < 0 || o->cutout < 0)
    return cvl_fail(e, CVL_EARG, 0,
                    "crop padding and cutout must not be negative, got %lld and %lld",
                    (long long)o->pad, (long long)o->cutout);
  if (moves && item->ndim != 3)
    return cvl_fail(e, CVL_ESHAPE, 0,
                    "crop, flip and cutout need items {height, width, channels}, got %s",
                    cvl_shape_text(item, text));
  if (o->reflect && o->pad > 0 && (o->pad >= item->dim[0] || o->pad >= item->dim[1]))
    return cvl_fail(e, CVL_EARG, 0, "reflection by %lld pixels needs larger items than %s",
                    (long long)o->pad, cvl_shape_text(item, text));
  if (o->channels < 0 || o->channels > CVL_AUGMENT_CHANNELS ||
      (o->channels > 0 && o->channels != channels))
    return cvl_fail(e, CVL_ESHAPE, 0,
                    "mean and deviation have %d values for items %s (expected %lld, at most %d)",
                    o->channels, cvl_shape_text(item, text), (long long)channels,
                    CVL_AUGMENT_CHANNELS);
  for (int c = 0; c < o->channels; c++)
    if (!(o->deviation[c] > 0))
      return cvl_fail(e, CVL_EARG, 0, "deviations must be positive, got %g for channel %d",
                      (double)o->deviation[c], c + 1);
  return 0;
}

int cvl_transform_init(cvl_transform *t, const cvl_augment *o, cvl_dtype dtype,
                       const cvl_shape *item, cvl_err *e) {
  *t = (cvl_transform){.o = *o, .dtype = dtype};
  if (check(o, dtype, item, e) != 0) return -1;
  t->channels = item->ndim == 3 ? item->dim[2] : o->channels > 0 ? o->channels : 1;
  t->height = item->ndim == 3 ? item->dim[0] : 1;
  t->width = t->height * t->channels > 0 ? cvl_shape_count(item) / (t->height * t->channels) : 0;
  if (dtype != CVL_U8) return 0;
  if ((t->table = cvl_alloc_array((size_t)t->channels, 256 * sizeof *t->table)) == NULL)
    return cvl_fail_memory(e, (long long)(t->channels * 256) * (long long)sizeof *t->table);
  for (int64_t c = 0; c < t->channels; c++)
    for (int v = 0; v < 256; v++) {
      double unit = v / 255.0;
      t->table[c * 256 + v] =
          (float)(o->channels > 0 ? (unit - (double)o->mean[c]) / (double)o->deviation[c] : unit);
    }
  return 0;
}

void cvl_transform_free(cvl_transform *t) {
  cvl_free(t->table);
  *t = (cvl_transform){0};
}

/* What the dice say for one sample. */
typedef struct {
  int64_t down, right; /* where the crop starts in the image, -pad..pad */
  bool flip;
  int64_t top, bottom, left, end; /* the square to cut out; empty when top == bottom */
} choice;

static int64_t clamp(int64_t v, int64_t high) { return v < 0 ? 0 : v > high ? high : v; }

/* The coin of the epoch before the first, turned over in every epoch. */
static bool alternate(cvl_rng g, uint64_t epoch, int64_t index) {
  uint32_t r[4];
  g.stream = CVL_STREAM_AUGMENT;
  cvl_philox(&g, 2 * (uint64_t)index, r);
  return (r[2] >> 31) ^ (epoch & 1);
}

static choice choose(const cvl_transform *t, uint64_t seed, uint64_t epoch, int64_t index) {
  const cvl_augment *o = &t->o;
  cvl_rng g = {.seed = seed, .stream = CVL_STREAM_AUGMENT | (epoch & 0xffffffff)};
  choice k = {0};
  uint32_t r[4], at[4];
  cvl_philox(&g, 2 * (uint64_t)index, r); /* two blocks for each sample, whatever is switched on */
  k.down = cvl_below(r[0], 2 * o->pad + 1) - o->pad;
  k.right = cvl_below(r[1], 2 * o->pad + 1) - o->pad;
  k.flip = o->alternating_flip ? alternate(g, epoch, index) : o->flip && r[2] >> 31;
  if (o->cutout > 0) {
    cvl_philox(&g, 2 * (uint64_t)index + 1, at);
    int64_t top = cvl_below(at[0], t->height) - o->cutout / 2;
    int64_t left = cvl_below(at[1], t->width) - o->cutout / 2;
    k.top = clamp(top, t->height);
    k.bottom = clamp(top + o->cutout, t->height);
    k.left = clamp(left, t->width);
    k.end = clamp(left + o->cutout, t->width);
  }
  return k;
}

/* The position in the image of position i of the padded image, or -1 for black. */
static int64_t source(const cvl_augment *o, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (!o->reflect) return -1;
  return i < 0 ? -i : 2 * (n - 1) - i;
}

/* One pixel; `x` is NULL for black. */
static void pixel(const cvl_transform *t, const void *x, int64_t at, float *y) {
  static const unsigned char black;
  const unsigned char *bytes = x != NULL ? (const unsigned char *)x + at : NULL;
  if (t->dtype == CVL_U8) {
    for (int64_t c = 0; c < t->channels; c++)
      y[c] = t->table[c * 256 + (bytes != NULL ? bytes[c] : black)];
  } else {
    const float *reals = x != NULL ? (const float *)x + at : NULL;
    for (int64_t c = 0; c < t->channels; c++) {
      float v = reals != NULL ? reals[c] : 0;
      y[c] = t->o.channels > 0 ? (v - t->o.mean[c]) / t->o.deviation[c] : v;
    }
  }
}

void cvl_transform_apply(const cvl_transform *t, const void *x, uint64_t seed, uint64_t epoch,
                         int64_t index, float *y) {
  int64_t H = t->height, W = t->width, C = t->channels;
  choice k = choose(t, seed, epoch, index);
  for (int64_t i = 0; i < H; i++) {
    int64_t row = source(&t->o, i + k.down, H);
    for (int64_t j = 0; j < W; j++, y += C) {
      int64_t column = source(&t->o, (k.flip ? W - 1 - j : j) + k.right, W);
      if (i >= k.top && i < k.bottom && j >= k.left && j < k.end)
        memset(y, 0, (size_t)C * sizeof *y); /* the mean, after normalisation */
      else
        pixel(t, row >= 0 && column >= 0 ? x : NULL, (row * W + column) * C, y);
    }
  }
}

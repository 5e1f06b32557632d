#include "kernels/patches.h"

#include <string.h>

#include "kernels/sizes.h"
#include "kernels/tile.h"

static int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }

cvl_axis cvl_axis_forward(const cvl_conv *p, int d) {
  return (cvl_axis){.size = p->in[d],
                    .count = p->out[d],
                    .step = p->stride[d],
                    .taps = p->filter[d],
                    .offset = -p->before[d],
                    .spread = p->dilation[d],
                    .filter = 0,
                    .filter_step = 1,
                    .origin = 0,
                    .stride = 1};
}

/*
** Input i = phase + stride * q takes part in output o = (i + before - f * dilation) / stride when that is whole. Taps
** that do lie every stride / gcd(stride, dilation). They are listed from the last to the first, so that o grows.
*/
cvl_axis cvl_axis_backward(const cvl_conv *p, int d, int64_t phase) {
  int64_t stride = p->stride[d], dilation = p->dilation[d], every = stride / gcd(stride, dilation);
  int64_t shifted = phase + p->before[d], first = 0, taps = 0, last;
  while (first < every && (shifted - first * dilation) % stride != 0) first++;
  if (first < every && first < p->filter[d]) taps = (p->filter[d] - 1 - first) / every + 1;
  last = taps > 0 ? first + (taps - 1) * every : 0;
  return (cvl_axis){.size = p->out[d],
                    .count = ceil_div(p->in[d] - phase, stride),
                    .step = 1,
                    .taps = taps,
                    .offset = taps > 0 ? (shifted - last * dilation) / stride : 0,
                    .spread = dilation * every / stride,
                    .filter = last,
                    .filter_step = -every,
                    .origin = phase,
                    .stride = stride};
}

cvl_axis cvl_axis_part(cvl_axis a, int64_t i, int64_t count, int64_t t, int64_t taps) {
  a.offset += i * a.step + t * a.spread;
  a.filter += t * a.filter_step;
  a.origin += i * a.stride;
  a.count = count;
  a.taps = taps;
  return a;
}

void cvl_axis_positions(const cvl_axis *a, int64_t t, int64_t taps, int64_t *first, int64_t *last) {
  int64_t low = a->offset + t * a->spread, high = low + (taps - 1) * a->spread;
  *first = clamp(ceil_div(-high, a->step), 0, a->count);
  *last = clamp(floor_div(a->size - 1 - low, a->step) + 1, *first, a->count);
}

void cvl_axis_taps(const cvl_axis *a, int64_t i, int64_t *first, int64_t *last) {
  int64_t low = a->offset + i * a->step;
  *first = clamp(ceil_div(-low, a->spread), 0, a->taps);
  *last = clamp(floor_div(a->size - 1 - low, a->spread) + 1, *first, a->taps);
}

double cvl_axis_waste(const cvl_axis *a) {
  int64_t hits = 0, first, last;
  if (a->count == 0 || a->taps == 0) return 0;
  for (int64_t i = 0; i < a->count; i++) {
    cvl_axis_taps(a, i, &first, &last);
    hits += last - first;
  }
  return 1 - (double)hits / ((double)a->count * (double)a->taps);
}

int64_t cvl_axis_line_met(const cvl_axis a[3], int64_t line, int64_t pair) {
  int64_t image = line / a[1].count / a[0].count, i0 = line / a[1].count % a[0].count;
  int64_t z = a[0].offset + i0 * a[0].step + pair / a[1].taps * a[0].spread;
  int64_t h = a[1].offset + line % a[1].count * a[1].step + pair % a[1].taps * a[1].spread;
  bool inside = (uint64_t)z < (uint64_t)a[0].size && (uint64_t)h < (uint64_t)a[1].size;
  return inside ? (image * a[0].size + z) * a[1].size + h : -1;
}

int64_t cvl_axis_line_target(const cvl_axis a[3], int64_t line, const int64_t size[3]) {
  int64_t image = line / a[1].count / a[0].count, i0 = line / a[1].count % a[0].count;
  int64_t z = a[0].origin + i0 * a[0].stride, h = a[1].origin + line % a[1].count * a[1].stride;
  return ((image * size[0] + z) * size[1] + h) * size[2] + a[2].origin;
}

bool cvl_patches_are_rows(const cvl_patches *p) {
  for (int d = 0; d < 3; d++) {
    const cvl_axis *a = &p->axis[d];
    if (a->taps != 1 || a->offset != 0 || a->step != 1 || a->count != a->size) return false;
  }
  return true;
}

int64_t cvl_patches_rows(const cvl_patches *p) {
  return p->images * p->axis[0].count * p->axis[1].count * p->axis[2].count;
}

int64_t cvl_patches_columns(const cvl_patches *p) {
  return p->depth * p->axis[0].taps * p->axis[1].taps * p->axis[2].taps;
}

/* The position of a row, counted on without division. */
typedef struct {
  int64_t n, i[3];
} position;

static position position_of(const cvl_patches *p, int64_t r) {
  position q;
  for (int d = 2; d >= 0; d--) {
    q.i[d] = r % p->axis[d].count;
    r /= p->axis[d].count;
  }
  q.n = r;
  return q;
}

static void advance(const cvl_patches *p, position *q) {
  if (++q->i[2] < p->axis[2].count) return;
  q->i[2] = 0;
  if (++q->i[1] < p->axis[1].count) return;
  q->i[1] = 0;
  if (++q->i[0] < p->axis[0].count) return;
  q->i[0] = 0;
  q->n++;
}

/*
** What one row of a block takes from one place of the source: floats [skip, skip + count) of `taps` * depth that lie
** side by side. With neighbouring taps and all channels wanted, a whole row of the filter is one such run.
*/
typedef struct {
  int64_t from[3]; /* the first tap, relative to the position's first */
  int64_t taps, skip, count;
} run;

static int list_runs(const cvl_patches *p, int64_t k, int64_t columns, run *out) {
  bool side_by_side = p->axis[2].spread == 1 && p->depth == p->pitch;
  int64_t taps = side_by_side ? p->axis[2].taps : 1, length = taps * p->depth, last = k + columns;
  int n = 0;
  while (k < last) {
    int64_t t = k / length * taps, skip = k % length;
    run *r = &out[n++];
    r->from[2] = t % p->axis[2].taps * p->axis[2].spread;
    r->from[1] = t / p->axis[2].taps % p->axis[1].taps * p->axis[1].spread;
    r->from[0] = t / p->axis[2].taps / p->axis[1].taps * p->axis[0].spread;
    r->taps = taps;
    r->skip = skip;
    r->count = length - skip < last - k ? length - skip : last - k;
    k += r->count;
  }
  return n;
}

/* For the short copies of images with three channels a call costs more than the bytes. */
static inline void copy(float *to, const float *from, int64_t n) {
  if (n >= 32)
    memcpy(to, from, (size_t)n * sizeof *to);
  else
    for (; n > 0; n -= n >= 4 ? 4 : 1, to += 4, from += 4) {
      if (n >= 4) {
        memcpy(to, from, 4 * sizeof *to);
        continue;
      }
      for (int64_t i = 0; i < n; i++) to[i] = from[i];
      return;
    }
}

static inline void clear(float *to, int64_t n) { memset(to, 0, (size_t)n * sizeof *to); }

void cvl_patches_copy(const cvl_patches *p, int64_t r, int64_t rows, int64_t k, int64_t columns,
                      float *block) {
  run runs[CVL_BLOCK_K];
  int n = list_runs(p, k, columns, runs);
  position q = position_of(p, r);
  const cvl_axis *a = p->axis;
  for (int64_t i = 0; i < rows; i++, block += CVL_BLOCK_ROW, advance(p, &q)) {
    int64_t s0 = a[0].offset + q.i[0] * a[0].step, s1 = a[1].offset + q.i[1] * a[1].step;
    int64_t s2 = a[2].offset + q.i[2] * a[2].step;
    float *to = block;
    for (int j = 0; j < n; to += runs[j].count, j++) {
      const run *u = &runs[j];
      int64_t z = s0 + u->from[0], h = s1 + u->from[1], w = s2 + u->from[2], first, last;
      const float *from;
      if ((uint64_t)z >= (uint64_t)a[0].size || (uint64_t)h >= (uint64_t)a[1].size) {
        clear(to, u->count);
        continue;
      }
      from = p->source + (((q.n * a[0].size + z) * a[1].size + h) * a[2].size + w) * p->pitch +
             u->skip;
      if (w >= 0 && w + u->taps <= a[2].size) {
        copy(to, from, u->count);
        continue;
      }
      /* Some taps lie left or right of the source: floats [first, last) of the run do not. */
      first = clamp(-w * p->depth - u->skip, 0, u->count);
      last = clamp((a[2].size - w) * p->depth - u->skip, first, u->count);
      clear(to, first);
      if (last > first) copy(to + first, from + first, last - first);
      clear(to + last, u->count - last);
    }
  }
}

/* The pixel that a position's taps reach first, or last, as far as it lies inside the source. */
static int64_t pixel_of(const cvl_patches *p, const position *q, bool last) {
  int64_t pixel = q->n;
  for (int d = 0; d < 3; d++) {
    const cvl_axis *a = &p->axis[d];
    int64_t at = a->offset + q->i[d] * a->step + (last ? (a->taps - 1) * a->spread : 0);
    pixel = pixel * a->size + clamp(at, 0, a->size - 1);
  }
  return pixel;
}

int cvl_patches_soon(const cvl_patches *p, int64_t r, int64_t rows, cvl_soon *out) {
  enum { ROOM = 1 << 17 };
  int64_t image = p->axis[0].count * p->axis[1].count * p->axis[2].count, room = ROOM;
  int n = 0;
  if (p->depth < p->pitch) return 0;
  for (int64_t end = r + rows, next; r < end; r = next) {
    next = min(end, (r / image + 1) * image);
    position first = position_of(p, r), last = position_of(p, next - 1);
    int64_t from = pixel_of(p, &first, false), to = pixel_of(p, &last, true) + 1;
    if ((room -= (to - from) * p->pitch) < 0) return 0;
    out[n++] = (cvl_soon){p->source + from * p->pitch, (to - from) * p->pitch};
  }
  return n;
}

void cvl_patches_targets(const cvl_patches *p, int64_t r, int64_t rows, float *target,
                         const int64_t size[3], int64_t pitch, float **row) {
  position q = position_of(p, r);
  const cvl_axis *a = p->axis;
  for (int64_t i = 0, count; i < rows; i += count) {
    int64_t z = a[0].origin + q.i[0] * a[0].stride, h = a[1].origin + q.i[1] * a[1].stride;
    int64_t w = a[2].origin + q.i[2] * a[2].stride;
    float *at = target + (((q.n * size[0] + z) * size[1] + h) * size[2] + w) * pitch;
    count = min(a[2].count - q.i[2], rows - i);
    for (int64_t n = 0; n < count; n++) row[i + n] = at + n * a[2].stride * pitch;
    q.i[2] += count - 1;
    advance(p, &q);
  }
}

int cvl_patches_stretches(const cvl_patches *p, int64_t r, int64_t rows, const float *target,
                          const int64_t size[3], int64_t pitch, cvl_stretch *out) {
  position q = position_of(p, r);
  const cvl_axis *a = p->axis;
  int n = 0;
  for (int64_t count; rows > 0; rows -= count) {
    int64_t from = q.n, to = q.n;
    for (int d = 0; d < 3; d++) {
      from = from * a[d].size + a[d].offset + q.i[d] * a[d].step;
      to = to * size[d] + a[d].origin + q.i[d] * a[d].stride;
    }
    cvl_stretch s = {p->source + from * p->pitch, target + to * pitch, 0}, *last = out + n - 1;
    count = min(a[2].count - q.i[2], rows);
    if (n == 0 || s.a != last->a + last->count * a[2].step * p->pitch ||
        s.b != last->b + last->count * pitch)
      *(last = out + n++) = s;
    last->count += count;
    q.i[2] += count - 1;
    advance(p, &q);
  }
  return n;
}

/*
** A figure is a signed distance: negative inside, in units of its radius. Multiplied by the radius
** in pixels it also says how much of a pixel is covered, which gives smooth edges from one sample
** per pixel.
*/
#include "data/shapes10.h"

#include <math.h>
#include <stdbool.h>

#include "base/pool.h"
#include "base/rng.h"
#include "data/stream.h"

enum { SIDE = CVL_SHAPES10_SIDE };
enum { DISC, RING, SQUARE, TRIANGLE, STAR, CROSS, CRESCENT, STRIPES, CHECKER, DOTS };

const char *const cvl_shapes10_names[CVL_SHAPES10_CLASSES] = {
    "disc",  "ring",     "square",  "triangle", "star",
    "cross", "crescent", "stripes", "checker",  "dots"};

/* ---- random numbers: each sample has 4096 blocks of its own */

typedef struct {
  cvl_rng rng;
  uint64_t next; /* block */
  uint32_t block[4];
  int left;
} dice;

static float roll(dice *d) {
  if (d->left == 0) {
    cvl_philox(&d->rng, d->next++, d->block);
    d->left = 4;
  }
  return cvl_uniform_f32(d->block[--d->left]);
}

static float between(dice *d, float low, float high) { return low + (high - low) * roll(d); }
static int upto(dice *d, int n) { return (int)(roll(d) * (float)n); } /* 0..n-1 */

/* ---- the canvas */

typedef struct {
  float r, g, b; /* 0..1 */
} colour;

typedef struct {
  colour at[SIDE][SIDE];
} canvas;

/* A colour around a grey of low..high. */
static colour tone(dice *d, float low, float high) {
  const float tint = 0.5f;
  float grey = between(d, low, high);
  return (colour){grey + tint * (roll(d) - 0.5f), grey + tint * (roll(d) - 0.5f),
                  grey + tint * (roll(d) - 0.5f)};
}

static colour mix(colour a, colour b, float t) {
  return (colour){a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

static float clamp01(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

static float length(float x, float y) { return sqrtf(x * x + y * y); }

/* How much of a pixel lies inside, from the distance to the edge in pixels. */
static float cover(float pixels) { return clamp01(0.5f - pixels); }

/* The pixels of one axis within `reach` of `centre`: first..last-1. */
static void span(float centre, float reach, int *first, int *last) {
  float low = floorf(centre - reach), high = ceilf(centre + reach) + 1;
  *first = low > 0 ? (int)low : 0;
  *last = high < SIDE ? (int)high : SIDE;
}

/* ---- figures: signed distances in the unit circle */

static float disc(float u, float v) { return length(u, v) - 0.9f; }
static float square(float u, float v) { return fmaxf(fabsf(u), fabsf(v)) - 0.75f; }

static float triangle(float u, float v) {
  return fmaxf(-v, fmaxf(0.8660254f * u + 0.5f * v, -0.8660254f * u + 0.5f * v)) - 0.5f;
}

/* Five points: the plane is folded into one tenth, where the outline is a straight line. */
static float star(float u, float v) {
  const float fifth = 1.2566371f, inner = 0.42f;
  float angle = fabsf(remainderf(atan2f(u, v), fifth)), r = length(u, v);
  float x = r * sinf(angle), y = r * cosf(angle);
  float bx = inner * sinf(fifth / 2), by = inner * cosf(fifth / 2); /* notch; the tip: (0, 1) */
  float nx = 1 - by, ny = bx, norm = length(nx, ny);                /* normal of the line */
  return (x * nx + (y - 1) * ny) / norm;
}

static float cross(float u, float v) {
  float a = fabsf(u), b = fabsf(v);
  return fminf(fmaxf(a - 0.26f, b - 0.92f), fmaxf(a - 0.92f, b - 0.26f));
}

static float crescent(float u, float v) {
  return fmaxf(length(u, v) - 0.9f, 0.72f - length(u - 0.45f, v));
}

static float ring(float u, float v) { return fabsf(length(u, v) - 0.7f) - 0.2f; }

/* A texture's figure is a disc or a square. */
static float (*const outlines[])(float, float) = {
    [DISC] = disc, [RING] = ring,   [SQUARE] = square,    [TRIANGLE] = triangle,
    [STAR] = star, [CROSS] = cross, [CRESCENT] = crescent};

/* ---- textures: 0..1 at a place in pixels, for waves of `period` pixels */

static float texture(int kind, float px, float py, float period) {
  const float turn = 6.2831853f;
  float a = sinf(turn * px / period), b = sinf(turn * py / period);
  return kind == STRIPES   ? clamp01(0.5f + 1.5f * a)
         : kind == CHECKER ? clamp01(0.5f + 2.5f * a * b)
                           : clamp01(2 * (a + b) - 1.6f); /* DOTS */
}

/* ---- the picture, from back to front */

static void background(canvas *c, dice *d) {
  colour base = tone(d, 0.15f, 0.45f), other = tone(d, 0.15f, 0.45f);
  float angle = between(d, 0, 6.2831853f), phase = between(d, 0, 6.2831853f);
  float period = between(d, 25, 70), kx = cosf(angle) / period, ky = sinf(angle) / period;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      float t = 0.5f + 0.5f * sinf(6.2831853f * (kx * (float)j + ky * (float)i) + phase);
      c->at[i][j] = mix(base, other, t);
    }
}

/* A bar with round ends, short enough to be a blob at times. */
static void bar(canvas *c, dice *d, float thickest) {
  float x = between(d, 0, SIDE), y = between(d, 0, SIDE), angle = between(d, 0, 6.2831853f);
  float half = between(d, 0, 6), thick = between(d, 0.6f, thickest);
  float dx = cosf(angle), dy = sinf(angle);
  colour paint = tone(d, 0.2f, 0.7f);
  int top, bottom, left, right;
  span(x, half + thick + 1, &left, &right);
  span(y, half + thick + 1, &top, &bottom);
  for (int i = top; i < bottom; i++)
    for (int j = left; j < right; j++) {
      float px = (float)j - x, py = (float)i - y, along = px * dx + py * dy;
      float rest = fabsf(along) > half ? fabsf(along) - half : 0;
      float t = cover(length(rest, px * dy - py * dx) - thick);
      if (t > 0) c->at[i][j] = mix(c->at[i][j], paint, t);
    }
}

static void figure(canvas *c, dice *d, int label) {
  bool textured = label >= STRIPES;
  int shape = !textured ? label : upto(d, 3) == 0 ? SQUARE : DISC;
  float radius = between(d, 7, 12);
  float x = SIDE / 2 + between(d, -6, 6), y = SIDE / 2 + between(d, -6, 6);
  float angle = between(d, -0.6f, 0.6f), dx = cosf(angle), dy = sinf(angle);
  float squeeze = between(d, 0.8f, 1); /* seen a little from the side */
  float period = between(d, 4, 7), shade = between(d, -0.25f, 0.25f);
  colour paint = tone(d, 0.5f, 0.95f), second = tone(d, 0.1f, 0.35f);
  int top, bottom, left, right;
  span(x, 1.1f * radius + 1, &left, &right); /* the corners of a square reach 1.06 */
  span(y, 1.1f * radius + 1, &top, &bottom);
  for (int i = top; i < bottom; i++)
    for (int j = left; j < right; j++) {
      float px = (float)j - x, py = (float)i - y;
      float u = px * dx + py * dy, v = (py * dx - px * dy) / squeeze;
      float t = cover(radius * squeeze * outlines[shape](u / radius, v / radius));
      if (t == 0) continue;
      colour here = textured ? mix(paint, second, texture(label, u, v, period)) : paint;
      float light = 1 + shade * u / radius;
      here = (colour){here.r * light, here.g * light, here.b * light};
      c->at[i][j] = mix(c->at[i][j], here, t);
    }
}

static uint8_t to_byte(float v, float noise) { return (uint8_t)(255 * clamp01(v + noise) + 0.5f); }

static void finish(const canvas *c, dice *d, uint8_t *x) {
  float grain = between(d, 0.02f, 0.15f); /* half the width of the noise */
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++, x += 3) {
      x[0] = to_byte(c->at[i][j].r, between(d, -grain, grain));
      x[1] = to_byte(c->at[i][j].g, between(d, -grain, grain));
      x[2] = to_byte(c->at[i][j].b, between(d, -grain, grain));
    }
}

static void draw(uint64_t seed, uint64_t index, uint8_t *x) {
  dice d = {.rng = {.seed = seed, .stream = CVL_STREAM_SHAPES10}, .next = index << 12};
  canvas c;
  int behind = 3 + upto(&d, 5), before = upto(&d, 4);
  background(&c, &d);
  for (int i = 0; i < behind; i++) bar(&c, &d, 2.5f);
  figure(&c, &d, (int)(index % CVL_SHAPES10_CLASSES));
  for (int i = 0; i < before; i++) bar(&c, &d, 1.6f);
  finish(&c, &d, x);
}

typedef struct {
  uint64_t seed, first;
  uint8_t *x;
  int64_t *labels;
} job;

static void draw_range(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t i = first; i < last; i++) {
    draw(j->seed, j->first + (uint64_t)i, j->x + i * CVL_SHAPES10_BYTES);
    j->labels[i] = (int64_t)((j->first + (uint64_t)i) % CVL_SHAPES10_CLASSES);
  }
}

void cvl_shapes10(uint64_t seed, uint64_t first, int64_t count, uint8_t *x, int64_t *labels) {
  job j = {seed, first, x, labels};
  cvl_parallel_range(count, 16, draw_range, &j);
}

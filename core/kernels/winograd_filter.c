/*
** The gradient of the filter: gw = G^T [ sum over tiles (B^T x B)^T (A gy A^T) ] G, where the sum is one matrix product
** {C, tiles} {tiles, K} for each of the 36 places. Two orders of work:
** - Few channels, many tiles: the tiles are cut into parts, and each task takes a part, some tiles at a time, through both
**   steps, to a sum of its own; the sums are added in the order of the parts.
** - Else the sums of the parts would be too large, or too few tiles be added up in each: tiles are taken in as large a
**   number as stays in the last-level cache once transformed; all threads transform them, then all threads multiply.
*/
#include <string.h>

#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

enum {
  GAP = 16,                /* as in winograd.c */
  PARTS = 8,               /* at most */
  PARTS_LIMIT = 128 * 128, /* C * K: the largest filters that are summed in parts */
  BLOCK = 64,              /* tiles at a time in a part */
  TRANSFORM = 8,           /* tiles of a task that transforms */
  SUM = 128,  /* words of tiles at a time: their part of a tile of u fits the first-level cache */
  WIDE = 128, /* columns of a task that multiplies */
  KEPT_BYTES = 6 << 20 /* of transformed tiles */
};

typedef struct {
  const cvl_conv *p;
  const float *x, *gy;
  float *gw;
  const cvl_tile *tile;
  const cvl_winograd *winograd;
  cvl_tiled read, written; /* x and gy under the grid of tiles */
  int64_t tiles;
  int planes, filter_planes, pack;
  int64_t first, count, room;    /* tiles now in v and z, and at most, */
  int64_t words;                 /* in so many words of `pack` tiles */
  int64_t chunks, panels, group; /* of C; of K; panels of a task */
  int64_t parts, part;           /* of the tiles in the first order, and tiles of one */
  int64_t v_plane, z_plane, u_plane;
  float *v, *z; /* {planes, chunks, words, CVL_CHUNK}, {planes, panels, words, nr} */
  float *u;     /* {parts, filter_planes, C, K} */
  float *zeros; /* a pixel outside x or gy */
} job;

/* Tiles [first, last) to words 0, 1, ... of v and z. */
static void transform_tiles(const job *j, int64_t first, int64_t last, float *v, float *z) {
  const float *pixel[CVL_MOST_READS * CVL_MOST_READS];
  int64_t nr = j->tile->nr;
  for (int64_t t = first; t < last; t++) {
    int64_t word = (t - first) / j->pack, part = (t - first) % j->pack;
    if (t + 1 < j->tiles) {
      cvl_tile_prefetch(&j->read, t + 1, j->x);
      cvl_tile_prefetch(&j->written, t + 1, j->gy);
    }
    cvl_tile_pixels_read(&j->read, t, j->x, j->zeros, pixel);
    j->winograd->sum_input[part](pixel, j->p->C, v + word * CVL_CHUNK, j->v_plane,
                                 j->words * CVL_CHUNK);
    cvl_tile_pixels_read(&j->written, t, j->gy, j->zeros, pixel);
    j->winograd->gradient[part](pixel, j->p->K, z + word * nr, j->z_plane, j->words * nr, (int)nr);
  }
}

/* One plane of u, one chunk of C, panels [panel, panel + group) of K: the places that go with the plane are added to it,
** or start it. */
static void multiply(const job *j, const float *v, const float *z, float *u, int u_plane,
                     int64_t chunk, int64_t panel, int64_t group, int64_t count, bool add) {
  int64_t nr = j->tile->nr, C = j->p->C, K = j->p->K, c = chunk * CVL_CHUNK,
          rows = min(CVL_CHUNK, C - c), words = ceil_div(count, j->pack);
  float *row[CVL_CHUNK];
  for (int64_t i = 0; i < rows; i++) row[i] = u + u_plane * j->u_plane + (c + i) * K + panel * nr;
  v += chunk * j->words * CVL_CHUNK;
  z += panel * j->words * nr;
  for (int i = 0; i < j->planes; i++) {
    if (cvl_filter_plane(j->winograd, i) != u_plane) continue;
    for (int64_t t = 0; t < words; t += SUM, add = true) {
      cvl_stretch stretch = {v + i * j->v_plane + t * CVL_CHUNK, z + i * j->z_plane + t * nr,
                             min(SUM, words - t)};
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_COLUMNS,
                                          .rows = rows,
                                          .columns = min(K - panel * nr, group * nr),
                                          .row = row,
                                          .panel_size = j->words * nr,
                                          .stretch = &stretch,
                                          .stretches = 1,
                                          .add = add});
    }
  }
}

/* The first order. */
static void part_task(void *context, int64_t part, int worker) {
  const job *j = context;
  int64_t last = min((part + 1) * j->part, j->tiles);
  float *v = j->v + worker * j->planes * j->v_plane, *z = j->z + worker * j->planes * j->z_plane;
  float *u = j->u + part * j->filter_planes * j->u_plane;
  for (int64_t t = part * j->part; t < last; t += j->room) {
    int64_t count = min(j->room, last - t);
    transform_tiles(j, t, t + count, v, z);
    for (int i = 0; i < j->filter_planes; i++)
      for (int64_t chunk = 0; chunk < j->chunks; chunk++)
        multiply(j, v, z, u, i, chunk, 0, j->panels, count, t > part * j->part);
  }
}

static void add_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t part = 1; part < j->parts; part++) {
    const float *restrict from = j->u + part * j->filter_planes * j->u_plane;
    float *restrict to = j->u;
    for (int64_t i = first; i < last; i++) to[i] += from[i];
  }
}

static int run_parts(job *j, cvl_err *e) {
  int64_t threads = cvl_threads();
  j->room = BLOCK;
  j->part = round_up(ceil_div(j->tiles, PARTS), j->room);
  j->parts = ceil_div(j->tiles, j->part);
  j->words = ceil_div(j->room, j->pack);
  j->v_plane = j->chunks * j->words * CVL_CHUNK + GAP;
  j->z_plane = j->panels * j->words * j->tile->nr + GAP;
  if ((j->v = cvl_scratch_take(threads * j->planes * j->v_plane + CVL_CHUNK, e)) == NULL) return -1;
  if ((j->z = cvl_scratch_take(threads * j->planes * j->z_plane, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(j->parts * j->filter_planes * j->u_plane, e)) == NULL) return -1;
  cvl_parallel(j->parts, part_task, j);
  cvl_parallel_range(j->filter_planes * j->u_plane, 1 << 14, add_parts, j);
  return 0;
}

/* The second order. The planes of u with the most places, and so the most work, are the last ones: they are taken first.
*/
static void transform_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t t = chunk * TRANSFORM;
  (void)worker;
  transform_tiles(j, j->first + t, j->first + min(t + TRANSFORM, j->count),
                  j->v + t / j->pack * CVL_CHUNK, j->z + t / j->pack * j->tile->nr);
}

static void multiply_task(void *context, int64_t task, int worker) {
  const job *j = context;
  int64_t groups = ceil_div(j->panels, j->group);
  (void)worker;
  multiply(j, j->v, j->z, j->u, j->filter_planes - 1 - (int)(task / j->chunks / groups),
           task % j->chunks, task / j->chunks % groups * j->group, j->group, j->count,
           j->first > 0);
}

static int run_together(job *j, cvl_err *e) {
  int64_t nr = j->tile->nr;
  j->group = WIDE / nr;
  j->parts = 1;
  j->words =
      KEPT_BYTES / (j->planes * (int64_t)sizeof(float) * (j->chunks * CVL_CHUNK + j->panels * nr));
  j->words = min(max(j->words / SUM, 1) * SUM, ceil_div(j->tiles, j->pack));
  j->room = j->words * j->pack;
  j->v_plane = j->chunks * j->words * CVL_CHUNK + GAP;
  j->z_plane = j->panels * j->words * nr + GAP;
  if ((j->v = cvl_scratch_take(j->planes * j->v_plane + CVL_CHUNK, e)) == NULL) return -1;
  if ((j->z = cvl_scratch_take(j->planes * j->z_plane, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(j->filter_planes * j->u_plane, e)) == NULL) return -1;
  for (j->first = 0; j->first < j->tiles; j->first += j->count) {
    j->count = min(j->room, j->tiles - j->first);
    cvl_parallel(ceil_div(j->count, TRANSFORM), transform_task, j);
    cvl_parallel(j->filter_planes * j->chunks * ceil_div(j->panels, j->group), multiply_task, j);
  }
  return 0;
}

static void finish(void *context, int64_t first, int64_t last) {
  const job *j = context;
  int64_t K = j->p->K;
  for (int64_t c = first; c < last; c++)
    j->winograd->filter_gradient(j->u + c * K, j->u_plane, K, j->gw + c * K, j->p->C * K);
}

int cvl_winograd_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e) {
  job j = {.p = p,
           .x = x,
           .gy = gy,
           .gw = gw,
           .tile = p->bf16 ? cvl_bf16_tile(p->C, p->K) : cvl_tile_used(p->C, p->K),
           .winograd = cvl_winograd_used(p, false)};
  int64_t widest = max(p->C, p->K);
  bool in_parts;
  int rc = -1;
  int64_t writes = j.winograd->writes, inset = j.winograd->inset;
  int64_t high = ceil_div(p->out[1], writes), wide = ceil_div(p->out[2], writes);
  j.read = (cvl_tiled){.H = p->in[1],
                       .W = p->in[2],
                       .C = p->C,
                       .top = p->before[1] - inset,
                       .left = p->before[2] - inset,
                       .step = j.winograd->step,
                       .size = j.winograd->reads,
                       .high = high,
                       .wide = wide};
  j.written = (cvl_tiled){.H = p->out[1],
                          .W = p->out[2],
                          .C = p->K,
                          .step = writes,
                          .size = writes,
                          .high = high,
                          .wide = wide};
  j.tiles = p->N * high * wide;
  j.planes = j.winograd->places * j.winograd->places;
  j.filter_planes = cvl_filter_planes(j.winograd);
  j.pack = j.winograd->pack;
  j.chunks = ceil_div(p->C, CVL_CHUNK);
  j.panels = ceil_div(p->K, j.tile->nr);
  j.u_plane = p->C * p->K + GAP;
  if ((j.zeros = cvl_scratch_take(widest, e)) == NULL) goto done;
  memset(j.zeros, 0, (size_t)widest * sizeof *j.zeros);
  in_parts = p->C * p->K <= PARTS_LIMIT && j.tiles >= PARTS * BLOCK;
  if ((in_parts ? run_parts(&j, e) : run_together(&j, e)) != 0) goto done;
  cvl_parallel_range(p->C, 1 + 4096 / p->K, finish, &j);
  rc = 0;
done:
  cvl_scratch_give(j.zeros);
  cvl_scratch_give(j.v);
  cvl_scratch_give(j.z);
  cvl_scratch_give(j.u);
  return rc;
}

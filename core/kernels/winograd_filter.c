/*
** The gradient of the filter: gw = G^T [ sum over tiles (B^T x B)^T (A gy A^T) ] G, where the sum is one matrix product
** {C, tiles} {tiles, K} for each of the 36 places. Tiles are taken in as large a number as stays in the last-level cache
** once transformed: all threads transform them, then all threads multiply.
*/
#include <string.h>

#include "base/pool.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

enum {
  GAP = 16,            /* as in winograd.c */
  TRANSFORM = 8,       /* tiles of a task that transforms */
  SUM = 128,           /* tiles at a time: their part of a tile of u fits the first-level cache */
  WIDE = 128,          /* columns of a task that multiplies */
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
  int planes;
  int64_t first, count, room;    /* tiles now in v and z, and at most */
  int64_t chunks, panels, group; /* of C; of K; panels of a task */
  int64_t v_plane, z_plane, u_plane;
  float *v, *z; /* {planes, chunks, room, CVL_CHUNK}, {planes, panels, room, nr} */
  float *u;     /* {CVL_FILTER_PLANES, C, K} */
  float *zeros; /* a pixel outside x or gy */
} job;

static void transform(void *context, int64_t chunk, int worker) {
  const job *j = context;
  const float *pixel[CVL_MOST_READS * CVL_MOST_READS];
  int64_t nr = j->tile->nr;
  (void)worker;
  for (int64_t t = chunk * TRANSFORM; t < min((chunk + 1) * TRANSFORM, j->count); t++) {
    cvl_tile_pixels_read(&j->read, j->first + t, j->x, j->zeros, pixel);
    j->winograd->input(pixel, j->p->C, j->v + t * CVL_CHUNK, j->v_plane, j->room * CVL_CHUNK);
    cvl_tile_pixels_read(&j->written, j->first + t, j->gy, j->zeros, pixel);
    j->winograd->gradient(pixel, j->p->K, j->z + t * nr, j->z_plane, j->room * nr, (int)nr);
  }
}

/* One plane of u, one chunk of C, one group of panels: the places that go with the plane are added to it, or start it.
** The planes of u with the most places, and so the most work, are the last ones: they are taken first. */
static void multiply(void *context, int64_t task, int worker) {
  const job *j = context;
  int u_plane = CVL_FILTER_PLANES - 1 - (int)(task / j->chunks / ceil_div(j->panels, j->group));
  int64_t chunk = task % j->chunks,
          panel = task / j->chunks % ceil_div(j->panels, j->group) * j->group;
  int64_t nr = j->tile->nr, C = j->p->C, K = j->p->K, c = chunk * CVL_CHUNK,
          rows = min(CVL_CHUNK, C - c);
  float *row[CVL_CHUNK];
  bool add = j->first > 0;
  (void)worker;
  for (int64_t i = 0; i < rows; i++)
    row[i] = j->u + u_plane * j->u_plane + (c + i) * K + panel * nr;
  for (int i = 0; i < j->planes; i++) {
    if (cvl_filter_plane(j->winograd, i) != u_plane) continue;
    const float *v = j->v + i * j->v_plane + chunk * j->room * CVL_CHUNK;
    const float *z = j->z + i * j->z_plane + panel * j->room * nr;
    for (int64_t t = 0; t < j->count; t += SUM, add = true) {
      cvl_stretch stretch = {v + t * CVL_CHUNK, z + t * nr, min(SUM, j->count - t)};
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_COLUMNS,
                                          .rows = rows,
                                          .columns = min(K - panel * nr, j->group * nr),
                                          .row = row,
                                          .panel_size = j->room * nr,
                                          .stretch = &stretch,
                                          .stretches = 1,
                                          .add = add});
    }
  }
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
           .tile = cvl_tile_used(p->K),
           .winograd = cvl_winograd_used(p->stride[1], false)};
  int64_t nr = j.tile->nr, widest = max(p->C, p->K);
  int rc = -1;
  int64_t high = ceil_div(p->out[1], 4), wide = ceil_div(p->out[2], 4);
  j.read = (cvl_tiled){p->in[1],         p->in[2],          p->C, p->before[1], p->before[2],
                       j.winograd->step, j.winograd->reads, high, wide};
  j.written = (cvl_tiled){p->out[1], p->out[2], p->K, 0, 0, 4, 4, high, wide};
  j.tiles = p->N * high * wide;
  j.planes = j.winograd->places * j.winograd->places;
  j.chunks = ceil_div(p->C, CVL_CHUNK);
  j.panels = ceil_div(p->K, nr);
  j.group = WIDE / nr;
  j.room =
      KEPT_BYTES / (j.planes * (int64_t)sizeof(float) * (j.chunks * CVL_CHUNK + j.panels * nr));
  j.room = min(max(j.room / SUM, 1) * SUM, j.tiles);
  j.v_plane = j.chunks * j.room * CVL_CHUNK + GAP;
  j.z_plane = j.panels * j.room * nr + GAP;
  j.u_plane = p->C * p->K + GAP;
  if ((j.zeros = cvl_scratch_take(widest, e)) == NULL) goto done;
  if ((j.v = cvl_scratch_take(j.planes * j.v_plane + CVL_CHUNK, e)) == NULL) goto done;
  if ((j.z = cvl_scratch_take(j.planes * j.z_plane, e)) == NULL) goto done;
  if ((j.u = cvl_scratch_take(CVL_FILTER_PLANES * j.u_plane, e)) == NULL) goto done;
  memset(j.zeros, 0, (size_t)widest * sizeof *j.zeros);
  for (j.first = 0; j.first < j.tiles; j.first += j.count) {
    j.count = min(j.room, j.tiles - j.first);
    cvl_parallel(ceil_div(j.count, TRANSFORM), transform, &j);
    cvl_parallel(CVL_FILTER_PLANES * j.chunks * ceil_div(j.panels, j.group), multiply, &j);
  }
  cvl_parallel_range(p->C, 1 + 4096 / p->K, finish, &j);
  rc = 0;
done:
  cvl_scratch_give(j.zeros);
  cvl_scratch_give(j.v);
  cvl_scratch_give(j.z);
  cvl_scratch_give(j.u);
  return rc;
}

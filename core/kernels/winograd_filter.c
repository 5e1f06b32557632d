/*
** The gradient of the filter: gw = G^T [ sum over tiles (B^T x B)^T (A gy A^T) ] G, where the sum is one matrix product
** {C, tiles} {tiles, K} for each of the 36 places. Two orders of work:
** - Few channels, many tiles: the tiles are cut into parts, and each task takes a part, some tiles at a time, through both
**   steps, to a sum of its own; the sums are added in the order of the parts.
** - Else the sums of the parts would be too large, or too few tiles be added up in each: tiles are taken in as large a
**   number as stays in the last-level cache once transformed; all threads transform them, then all threads multiply. Where
**   these are all tiles, a task makes all places of its channels and then their part of the gradient, and the sums, four
**   times as large as the filter, never reach memory.
*/
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

enum {
  GAP = 16,               /* as in winograd.c */
  PARTS = 8,              /* at most */
  PARTS_LIMIT = 64 * 64,  /* C * K: the largest filters that are summed in parts */
  BLOCK = 64,             /* tiles at a time in a part, */
  LINE_BLOCK = 6 * BLOCK, /* and along one axis; */
  PART_BLOCKS = 4,        /* so many times at the least */
  TRANSFORM = 8,          /* tiles of a task that transforms */
  SUM = 128,  /* words of tiles at a time: their part of a tile of u fits the first-level cache */
  WIDE = 256, /* columns of a task that multiplies */
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
  cvl_products products;
  int sources, targets, filters;                               /* planes of v, z and u */
  unsigned char needed[CVL_MOST_PRODUCTS * CVL_MOST_PRODUCTS]; /* tiles, by planes of z */
  int pack;
  bool ahead;                   /* the next tile's pixels are asked for */
  bool shared;                  /* what a thread transforms for all goes past its caches */
  int64_t room, words;          /* tiles in v and z at most, in so many words of `pack` */
  cvl_order order;              /* those now in v and z, in the second order of work, */
  bool add;                     /* whose products are added to u; */
  bool at_once;                 /* they are all, and u holds a task's sums */
  int64_t chunks, panels;       /* of C; of K */
  int64_t group, groups, width; /* panels of a task; such groups; columns of u in one */
  int64_t parts, part;          /* of the tiles in the first order, and tiles of one */
  int64_t v_plane, z_plane, u_plane;
  float *v, *z; /* {sources, chunks, words, CVL_CHUNK}, {targets, panels, words, nr} */
  float *u;     /* {parts, filters, groups, C, width}, or {threads, filters, CVL_CHUNK, width} */
  float *zeros; /* a pixel outside x or gy */
} job;

/* The tiles to words 0, 1, ... of v and z, `past` the caches. */
static void transform_tiles(const job *j, const int64_t *tile, int64_t tiles, float *v, float *z,
                            bool past) {
  const float *pixel[CVL_MOST_READS * CVL_MOST_READS];
  int64_t nr = j->tile->nr;
  for (int64_t t = 0; t < tiles; t++) {
    int64_t word = t / j->pack, part = t % j->pack;
    bool ask = j->ahead && t + 1 < tiles;
    if (ask) cvl_tile_prefetch(&j->read, tile[t + 1], j->x, 0, j->p->C);
    cvl_tile_pixels_read(&j->read, tile[t], j->x, j->zeros, pixel);
    j->winograd->sum_input[part](pixel, j->p->C, v + word * CVL_CHUNK, j->v_plane,
                                 j->words * CVL_CHUNK, past);
    if (ask) cvl_tile_prefetch(&j->written, tile[t + 1], j->gy, 0, j->p->K);
    cvl_tile_pixels_read(&j->written, tile[t], j->gy, j->zeros, pixel);
    j->winograd->gradient[part](pixel, j->p->K, z + word * nr, j->z_plane, j->words * nr, (int)nr,
                                past);
  }
  if (past) cvl_past_end();
}

/* A part of u: a plane, a chunk of C, a group of K. */
typedef struct {
  int plane;
  int64_t chunk, group;
} place;

static float *target_of(const job *j, float *u, place at) {
  int64_t before = j->at_once ? 0 : at.group * j->p->C + at.chunk * CVL_CHUNK;
  return u + at.plane * j->u_plane + before * j->width;
}

/* Words of product i: [begin, end). Of the others z is zero, or is nothing. */
typedef struct {
  int64_t begin, end;
} range;

static range words_of(const job *j, const cvl_order *o, int i) {
  int needed = j->needed[j->products.of[i].target];
  range w = {o->begin[needed] / j->pack, ceil_div(o->end[needed], j->pack)};
  return o->begin[needed] < o->end[needed] ? w : (range){0, 0};
}

/* What words [t, t + SUM) of product i, which end at `end`, read first. */
static void list_sources(const job *j, const float *v, const float *z, place at, int i, int64_t t,
                         int64_t end, cvl_soon out[2]) {
  int64_t nr = j->tile->nr, count = min(SUM, end - t);
  v += j->products.of[i].source * j->v_plane + (at.chunk * j->words + t) * CVL_CHUNK;
  z += j->products.of[i].target * j->z_plane + (at.group * j->group * j->words + t) * nr;
  out[0] = (cvl_soon){v, count * CVL_CHUNK};
  out[1] = (cvl_soon){z, count * nr};
}

/* The plane's products are added to u, or start it; meanwhile the sources of `next`, and where it goes, are asked for. */
static void multiply(const job *j, const cvl_order *o, const float *v, const float *z, float *u,
                     place at, place next, bool add) {
  int64_t nr = j->tile->nr, width = j->width, column = at.group * width,
          rows = min(CVL_CHUNK, j->p->C - at.chunk * CVL_CHUNK);
  float *row[CVL_CHUNK], *to = target_of(j, u, at);
  for (int64_t i = 0; i < rows; i++) row[i] = to + i * width;
  int end = j->products.first[at.plane + 1], after = j->products.first[next.plane];
  for (int i = j->products.first[at.plane]; i < end; i++) {
    const range w = words_of(j, o, i), then = words_of(j, o, i + 1 < end ? i + 1 : after);
    for (int64_t t = w.begin; t < w.end; t += SUM, add = true) {
      cvl_soon now[2], soon[3];
      bool last = t + SUM >= w.end;
      list_sources(j, v, z, at, i, t, w.end, now);
      if (!last)
        list_sources(j, v, z, at, i, t + SUM, w.end, soon);
      else
        list_sources(j, v, z, i + 1 < end ? at : next, i + 1 < end ? i + 1 : after, then.begin,
                     then.end, soon);
      soon[2] = (cvl_soon){target_of(j, u, next), CVL_CHUNK * width};
      cvl_stretch stretch = {now[0].at, now[1].at, min(SUM, w.end - t)};
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_COLUMNS,
                                          .rows = rows,
                                          .columns = min(j->p->K - column, width),
                                          .row = row,
                                          .panel_size = j->words * nr,
                                          .stretch = &stretch,
                                          .stretches = 1,
                                          .add = add,
                                          .soon = soon,
                                          .soons = last && i + 1 == end ? 3 : 2});
    }
  }
  if (!add) memset(to, 0, (size_t)(rows * width) * sizeof *to);
}

/* The products of planes [plane, end), from the last one on, for all chunks and one group. */
static void multiply_planes(const job *j, const cvl_order *o, const float *v, const float *z,
                            float *u, int first, int end, int64_t group, bool add) {
  for (int plane = end - 1; plane >= first; plane--)
    for (int64_t chunk = 0; chunk < j->chunks; chunk++) {
      place at = {plane, chunk, group}, next = {plane, chunk + 1, group};
      if (next.chunk == j->chunks) next = (place){max(plane - 1, 0), 0, group};
      multiply(j, o, v, z, u, at, next, add);
    }
}

/* The gradient of channel c and a group of K, out of that row of the sums. */
static void finish_row(const job *j, const float *u, int64_t c, int64_t group) {
  int64_t C = j->p->C, K = j->p->K, column = group * j->width;
  j->winograd->filter_gradient(u, j->u_plane, min(K - column, j->width), j->gw + c * K + column,
                               C * K);
}

/* The first order. */
static void part_task(void *context, int64_t part, int worker) {
  const job *j = context;
  int64_t last = min((part + 1) * j->part, j->tiles);
  float *v = j->v + worker * j->sources * j->v_plane, *z = j->z + worker * j->targets * j->z_plane;
  float *u = j->u + part * j->filters * j->u_plane;
  int64_t tile[LINE_BLOCK];
  cvl_order order = {.tile = tile};
  for (int64_t t = part * j->part; t < last; t += j->room) {
    cvl_order_set(&order, &j->written, t, min(j->room, last - t));
    transform_tiles(j, tile, order.count, v, z, false);
    multiply_planes(j, &order, v, z, u, 0, j->filters, 0, t > part * j->part);
  }
}

static void add_parts(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t part = 1; part < j->parts; part++) {
    const float *restrict from = j->u + part * j->filters * j->u_plane;
    float *restrict to = j->u;
    for (int64_t i = first; i < last; i++) to[i] += from[i];
  }
}

static int run_parts(job *j, cvl_err *e) {
  int64_t threads = cvl_threads();
  j->part = round_up(ceil_div(j->tiles, PARTS), j->room);
  j->parts = ceil_div(j->tiles, j->part);
  j->words = ceil_div(j->room, j->pack);
  j->v_plane = j->chunks * j->words * CVL_CHUNK + GAP;
  j->z_plane = j->panels * j->words * j->tile->nr + GAP;
  if ((j->v = cvl_scratch_take(threads * j->sources * j->v_plane + CVL_CHUNK, e)) == NULL)
    return -1;
  if ((j->z = cvl_scratch_take(threads * j->targets * j->z_plane, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(j->parts * j->filters * j->u_plane, e)) == NULL) return -1;
  cvl_parallel(j->parts, part_task, j);
  cvl_parallel_range(j->filters * j->u_plane, 1 << 14, add_parts, j);
  return 0;
}

/* The second order. The planes of u with the most products are the last ones: they are taken first. */
static void transform_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t t = chunk * TRANSFORM;
  (void)worker;
  transform_tiles(j, j->order.tile + t, min(TRANSFORM, j->order.count - t),
                  j->v + t / j->pack * CVL_CHUNK, j->z + t / j->pack * j->tile->nr, j->shared);
}

static void multiply_task(void *context, int64_t task, int worker) {
  const job *j = context;
  int plane = j->filters - 1 - (int)(task / j->groups);
  (void)worker;
  multiply_planes(j, &j->order, j->v, j->z, j->u, plane, plane + 1, task % j->groups, j->add);
}

/* A part of the gradient: a chunk of C, a group of K. */
static void gradient_task(void *context, int64_t task, int worker) {
  const job *j = context;
  int64_t chunk = task / j->groups, group = task % j->groups;
  float *u = j->u + worker * j->filters * j->u_plane;
  for (int plane = j->filters - 1; plane >= 0; plane--)
    multiply(j, &j->order, j->v, j->z, u, (place){plane, chunk, group},
             (place){max(plane - 1, 0), chunk, group}, false);
  for (int64_t c = chunk * CVL_CHUNK, i = 0; i < CVL_CHUNK && c + i < j->p->C; i++)
    finish_row(j, u + i * j->width, c + i, group);
}

static int run_together(job *j, cvl_err *e) {
  int64_t nr = j->tile->nr, threads = cvl_threads();
  j->parts = 1;
  j->words = KEPT_BYTES / ((int64_t)sizeof(float) *
                           (j->sources * j->chunks * CVL_CHUNK + j->targets * j->panels * nr));
  j->words = min(max(j->words / SUM, 1) * SUM, ceil_div(j->tiles, j->pack));
  j->room = j->words * j->pack;
  j->v_plane = j->chunks * j->words * CVL_CHUNK + GAP;
  j->z_plane = j->panels * j->words * nr + GAP;
  if ((j->v = cvl_scratch_take(j->sources * j->v_plane + CVL_CHUNK, e)) == NULL) return -1;
  if ((j->z = cvl_scratch_take(j->targets * j->z_plane, e)) == NULL) return -1;
  j->at_once = j->room >= j->tiles && j->chunks * j->groups >= threads;
  if (j->at_once) j->u_plane = CVL_CHUNK * j->width + GAP;
  if ((j->u = cvl_scratch_take((j->at_once ? threads : 1) * j->filters * j->u_plane, e)) == NULL)
    return -1;
  if ((j->order.tile = cvl_alloc_array((size_t)j->room, sizeof *j->order.tile)) == NULL)
    return cvl_fail_memory(e, j->room * (int64_t)sizeof *j->order.tile);
  for (int64_t t = 0; t < j->tiles; t += j->room) {
    cvl_order_set(&j->order, &j->written, t, min(j->room, j->tiles - t));
    j->add = t > 0;
    cvl_parallel(ceil_div(j->order.count, TRANSFORM), transform_task, j);
    if (j->at_once)
      cvl_parallel(j->chunks * j->groups, gradient_task, j);
    else
      cvl_parallel(j->filters * j->groups, multiply_task, j);
  }
  return 0;
}

static void finish(void *context, int64_t first, int64_t last) {
  const job *j = context;
  for (int64_t c = first; c < last; c++)
    for (int64_t g = 0; g < j->groups; g++)
      finish_row(j, j->u + (g * j->p->C + c) * j->width, c, g);
}

static int64_t room_of(const cvl_winograd *a) { return a->axes == 2 ? BLOCK : LINE_BLOCK; }

bool cvl_winograd_in_parts(const cvl_conv *p, const cvl_winograd *a, int64_t tiles) {
  return p->C * p->K <= PARTS_LIMIT && tiles >= PARTS * PART_BLOCKS * room_of(a);
}

int cvl_winograd_backward_filter(const cvl_conv *p, const float *x, const float *gy, float *gw,
                                 cvl_err *e) {
  job j = {.p = p,
           .x = x,
           .gy = gy,
           .gw = gw,
           .tile = p->bf16 ? cvl_bf16_tile(p->C, p->K) : cvl_tile_whole(p->C, p->K),
           .winograd = cvl_winograd_used(p, false)};
  int64_t widest = max(p->C, p->K);
  bool in_parts;
  int rc = -1;
  int64_t writes = j.winograd->writes, inset = j.winograd->inset;
  int64_t high = ceil_div(p->out[1], cvl_winograd_along(p, 1) ? writes : 1),
          wide = ceil_div(p->out[2], cvl_winograd_along(p, 2) ? writes : 1);
  j.read = (cvl_tiled){.H = p->in[1],
                       .W = p->in[2],
                       .C = p->C,
                       .top = p->before[1] - inset,
                       .left = p->before[2] - inset,
                       .high = high,
                       .wide = wide};
  j.written = (cvl_tiled){.H = p->out[1], .W = p->out[2], .C = p->K, .high = high, .wide = wide};
  cvl_tiled_set(&j.read, p, j.winograd->step, j.winograd->reads);
  cvl_tiled_set(&j.written, p, writes, writes);
  j.tiles = p->N * high * wide;
  cvl_products_by_filter(j.winograd, &j.products);
  j.sources = cvl_winograd_planes(j.winograd, j.winograd->sources);
  j.targets = cvl_winograd_planes(j.winograd, j.winograd->targets);
  j.filters = cvl_winograd_planes(j.winograd, j.winograd->filters);
  for (int i = 0; i < j.targets; i++)
    j.needed[i] = (unsigned char)cvl_order_needed(j.winograd, &j.written, i);
  j.pack = j.winograd->pack;
  j.ahead = cvl_cpu_waits_for_many();
  j.shared = cvl_cpu_shares_past();
  j.chunks = ceil_div(p->C, CVL_CHUNK);
  j.panels = ceil_div(p->K, j.tile->nr);
  if ((j.zeros = cvl_scratch_take(widest, e)) == NULL) goto done;
  memset(j.zeros, 0, (size_t)widest * sizeof *j.zeros);
  j.room = room_of(j.winograd);
  in_parts = cvl_winograd_in_parts(p, j.winograd, j.tiles);
  j.group = in_parts ? j.panels : min(j.panels, WIDE / j.tile->nr);
  j.groups = ceil_div(j.panels, j.group);
  j.width = min(p->K, j.group * j.tile->nr);
  j.u_plane = j.groups * p->C * j.width + GAP;
  if ((in_parts ? run_parts(&j, e) : run_together(&j, e)) != 0) goto done;
  if (!j.at_once) cvl_parallel_range(p->C, 1 + 4096 / p->K, finish, &j);
  rc = 0;
done:
  cvl_scratch_give(j.zeros);
  cvl_scratch_give(j.v);
  cvl_scratch_give(j.z);
  cvl_scratch_give(j.u);
  cvl_free(j.order.tile);
  return rc;
}

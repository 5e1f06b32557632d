/*
** Forward and the gradient of the data, which is the same convolution of gy with the filter turned round and its channels
** exchanged. Two orders of work:
** - Many tiles: all filters are transformed, then each task takes a block of tiles through the three steps, its
**   intermediate results staying in its cache.
** - Few tiles, many filters: all tiles are transformed, then each task takes some filters through the three steps. The
**   transformed filters, four times as large as the filters, never go to memory.
*/
#include "kernels/winograd.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/tile.h"

enum {
  PLANES = 36,
  GAP = 16, /* floats between planes: 36 streams at a power of two would share a set of the cache */
  BLOCK = 48,       /* tiles of a task when there are many; a multiple of every `mr` */
  LEAST_TASKS = 24, /* or half of BLOCK is taken, */
  NARROW = 128, /* as with so few channels on both sides, whose tiles then fit a core's own cache */
  GROUP = 128,  /* target channels between the second and the third step */
  FEW_BYTES =
      12 << 20 /* of transformed tiles: as much as is sure to stay in the last-level cache */
};

typedef struct {
  const float *x, *w, *bias;
  float *y;
  int64_t N, H, W, C, K; /* of the source; K channels of the target */
  int64_t top, left;     /* padding */
  cvl_tiling grid;       /* over the target */
  int64_t w_tap, w_row, w_column;
  bool backwards;
  const cvl_tile *tile;
  const cvl_winograd *winograd;
  int64_t panels, block, group; /* panels of K; tiles of a block; panels of a group */
  int64_t v_chunk, v_plane, u_plane, m_plane;
  float *u, *v, *m, *zeros; /* v and m: all, or {threads}, as is u in the second order */
} job;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const cvl_winograd *cvl_winograd_used(void) {
#if defined(__x86_64__)
  switch (cvl_isa_used()) {
  case CVL_ISA_AVX512:
    return &cvl_winograd_avx512;
  case CVL_ISA_AVX2:
    return &cvl_winograd_avx2;
  default:
    break;
  }
#endif
  return &cvl_winograd_baseline;
}

bool cvl_winograd_possible(const cvl_conv *p) {
  if (p->groups != 1 || p->N * p->C * p->K == 0 || p->in[0] != 1 || p->filter[0] != 1 ||
      p->out[0] != 1)
    return false;
  if (p->before[0] != 0) return false;
  for (int d = 1; d < 3; d++)
    if (p->filter[d] != 3 || p->stride[d] != 1 || p->dilation[d] != 1 || p->in[d] == 0 ||
        p->out[d] == 0)
      return false;
  return true;
}

cvl_tiling cvl_tiling_of(int64_t images, int64_t P, int64_t Q) {
  cvl_tiling g = {P, Q, ceil_div(P, 4), ceil_div(Q, 4), 0};
  g.tiles = images * g.high * g.wide;
  return g;
}

void cvl_tile_inputs(const cvl_tiling *g, int64_t tile, const float *x, int64_t H, int64_t W,
                     int64_t C, int64_t top, int64_t left, const float *zeros,
                     const float *pixel[36]) {
  int64_t w = tile % g->wide * 4 - left, h = tile / g->wide % g->high * 4 - top,
          n = tile / g->wide / g->high;
  for (int64_t r = 0; r < 6; r++)
    for (int64_t s = 0; s < 6; s++, pixel++) {
      bool inside = h + r >= 0 && h + r < H && w + s >= 0 && w + s < W;
      *pixel = inside ? x + ((n * H + h + r) * W + w + s) * C : zeros;
    }
}

void cvl_tile_outputs(const cvl_tiling *g, int64_t tile, int64_t index[16]) {
  int64_t q = tile % g->wide * 4, p = tile / g->wide % g->high * 4, n = tile / g->wide / g->high;
  for (int64_t r = 0; r < 4; r++)
    for (int64_t s = 0; s < 4; s++)
      *index++ = p + r < g->P && q + s < g->Q ? (n * g->P + p + r) * g->Q + q + s : -1;
}

/* Tiles [first, last) to rows 0, 1, ... of v. */
static void transform_tiles(const job *j, int64_t first, int64_t last, float *v) {
  const float *pixel[36];
  for (int64_t t = first; t < last; t++, v += CVL_CHUNK) {
    cvl_tile_inputs(&j->grid, t, j->x, j->H, j->W, j->C, j->top, j->left, j->zeros, pixel);
    j->winograd->input(pixel, j->C, v, j->v_plane, j->v_chunk);
  }
}

/* Source channels [c, c + rows) of panel `panel` of the filter to u {36 planes, rows, nr}. */
static void transform_filter(const job *j, int64_t panel, int64_t c, int64_t rows, float *u) {
  int64_t column = panel * j->tile->nr;
  j->winograd->filter(j->w + c * j->w_row + column * j->w_column, j->w_tap, j->w_row, j->w_column,
                      j->backwards, rows, j->K - column, j->tile->nr, u, j->u_plane);
}

/* One plane: m {rows, panels * nr} = v {rows, C} u {C, panels * nr}. */
static void multiply(const job *j, const float *v, const float *u, int64_t rows, int64_t panels,
                     float *m) {
  float *row[BLOCK * 2];
  int64_t nr = j->tile->nr, step = BLOCK * 2;
  for (int64_t i = 0; i < rows; i += step)
    for (int64_t c = 0; c < j->C; c += CVL_BLOCK_K) {
      cvl_stretch stretch[CVL_BLOCK_K / CVL_CHUNK];
      int stretches = 0;
      for (int64_t k = c; k < min(j->C, c + CVL_BLOCK_K); k += CVL_CHUNK)
        stretch[stretches++] = (cvl_stretch){v + k / CVL_CHUNK * j->v_chunk + i * CVL_CHUNK,
                                             u + k * nr, min(CVL_CHUNK, j->C - k)};
      for (int64_t r = 0; r < min(step, rows - i); r++) row[r] = m + (i + r) * panels * nr;
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_ROWS,
                                          .rows = min(step, rows - i),
                                          .columns = panels * nr,
                                          .row = row,
                                          .panel_size = j->C * nr,
                                          .stretch = stretch,
                                          .stretches = stretches,
                                          .add = c > 0});
    }
}

/* Tiles [first, first + rows) of y, channels from that of `panel` on, out of m {36 planes, rows, panels * nr}. */
static void finish(const job *j, int64_t first, int64_t rows, int64_t panel, int64_t panels,
                   const float *m) {
  int64_t k = panel * j->tile->nr, columns = min(j->K - k, panels * j->tile->nr), index[16];
  float *pixel[16];
  for (int64_t t = 0; t < rows; t++) {
    cvl_tile_outputs(&j->grid, first + t, index);
    for (int i = 0; i < 16; i++) pixel[i] = index[i] < 0 ? NULL : j->y + index[i] * j->K + k;
    j->winograd->output(m + t * panels * j->tile->nr, j->m_plane, columns,
                        j->bias != NULL ? j->bias + k : NULL, pixel);
  }
}

/* The first order. */
static void filter_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk % j->panels, c = chunk / j->panels * CVL_CHUNK;
  (void)worker;
  transform_filter(j, panel, c, min(CVL_CHUNK, j->C - c), j->u + (panel * j->C + c) * j->tile->nr);
}

static void block_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t first = chunk * j->block, rows = min(j->block, j->grid.tiles - first);
  float *v = j->v + worker * PLANES * j->v_plane, *m = j->m + worker * PLANES * j->m_plane;
  transform_tiles(j, first, first + rows, v);
  for (int64_t panel = 0; panel < j->panels; panel += j->group) {
    int64_t panels = min(j->group, j->panels - panel);
    for (int64_t i = 0; i < PLANES; i++)
      multiply(j, v + i * j->v_plane, j->u + i * j->u_plane + panel * j->C * j->tile->nr, rows,
               panels, m + i * j->m_plane);
    finish(j, first, rows, panel, panels, m);
  }
}

static int run_blocks(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->C, CVL_CHUNK), nr = j->tile->nr, threads = cvl_threads();
  j->block = j->grid.tiles >= LEAST_TASKS * BLOCK && j->C + j->K > NARROW ? BLOCK : BLOCK / 2;
  j->group = min(j->panels, GROUP / nr);
  j->v_chunk = j->block * CVL_CHUNK;
  j->v_plane = chunks * j->v_chunk + GAP;
  j->m_plane = j->block * j->group * nr + GAP;
  j->u_plane = j->panels * nr * j->C + GAP;
  if ((j->u = cvl_scratch_take(PLANES * j->u_plane, e)) == NULL) return -1;
  if ((j->v = cvl_scratch_take(threads * PLANES * j->v_plane, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(threads * PLANES * j->m_plane, e)) == NULL) return -1;
  cvl_parallel(j->panels * chunks, filter_task, j);
  cvl_parallel(ceil_div(j->grid.tiles, j->block), block_task, j);
  return 0;
}

/* The second order. */
static void tiles_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t first = chunk * j->block;
  (void)worker;
  transform_tiles(j, first, min(first + j->block, j->grid.tiles), j->v + first * CVL_CHUNK);
}

static void group_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk * j->group, panels = min(j->group, j->panels - panel),
          tiles = j->grid.tiles;
  float *u = j->u + worker * PLANES * j->u_plane, *m = j->m + worker * PLANES * j->m_plane;
  for (int64_t i = 0; i < panels; i++)
    transform_filter(j, panel + i, 0, j->C, u + i * j->C * j->tile->nr);
  for (int64_t i = 0; i < PLANES; i++)
    multiply(j, j->v + i * j->v_plane, u + i * j->u_plane, tiles, panels, m + i * j->m_plane);
  finish(j, 0, tiles, panel, panels, m);
}

static int run_groups(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->C, CVL_CHUNK), nr = j->tile->nr, threads = cvl_threads(),
          tiles = j->grid.tiles;
  j->block = 8;
  j->group = j->panels < 32 ? 1 : 2;
  j->v_chunk =
      ceil_div(tiles, CVL_TILE_MAX_ROWS) * CVL_TILE_MAX_ROWS * CVL_CHUNK; /* read in whole tiles */
  j->v_plane = chunks * j->v_chunk + GAP;
  j->m_plane = tiles * j->group * nr + GAP;
  j->u_plane = j->group * nr * j->C + GAP;
  if ((j->v = cvl_scratch_take(PLANES * j->v_plane, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(threads * PLANES * j->u_plane, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(threads * PLANES * j->m_plane, e)) == NULL) return -1;
  cvl_parallel(ceil_div(tiles, j->block), tiles_task, j);
  cvl_parallel(ceil_div(j->panels, j->group), group_task, j);
  return 0;
}

static int run(job *j, cvl_err *e) {
  bool few = j->grid.tiles <= j->K && PLANES * 4 * j->grid.tiles * j->C <= FEW_BYTES;
  int rc = -1;
  j->tile = cvl_tile_used();
  j->winograd = cvl_winograd_used();
  j->panels = ceil_div(j->K, j->tile->nr);
  if ((j->zeros = cvl_scratch_take(j->C, e)) == NULL) return -1;
  memset(j->zeros, 0, (size_t)j->C * sizeof *j->zeros);
  rc = few ? run_groups(j, e) : run_blocks(j, e);
  cvl_scratch_give(j->u);
  cvl_scratch_give(j->v);
  cvl_scratch_give(j->m);
  cvl_scratch_give(j->zeros);
  return rc;
}

int cvl_winograd_forward(const cvl_conv *p, const float *x, const float *w, const float *bias,
                         float *y, cvl_err *e) {
  job j = {.x = x,
           .w = w,
           .bias = bias,
           .y = y,
           .N = p->N,
           .H = p->in[1],
           .W = p->in[2],
           .C = p->C,
           .K = p->K,
           .top = p->before[1],
           .left = p->before[2],
           .grid = cvl_tiling_of(p->N, p->out[1], p->out[2]),
           .w_tap = p->C * p->K,
           .w_row = p->K,
           .w_column = 1};
  return run(&j, e);
}

int cvl_winograd_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                               cvl_err *e) {
  job j = {.x = gy,
           .w = w,
           .y = gx,
           .N = p->N,
           .H = p->out[1],
           .W = p->out[2],
           .C = p->K,
           .K = p->C,
           .top = 2 - p->before[1],
           .left = 2 - p->before[2],
           .grid = cvl_tiling_of(p->N, p->in[1], p->in[2]),
           .w_tap = p->C * p->K,
           .w_row = 1,
           .w_column = p->K,
           .backwards = true};
  return run(&j, e);
}

/*
** Forward and the gradient of the data, which is the same convolution of gy with the filter turned round and its channels
** exchanged. Two orders of work:
** - Many tiles: all filters are transformed, then each task takes a block of tiles through the three steps, its
**   intermediate results staying in its cache.
** - Few tiles, many filters: all tiles are transformed; then, for a group of filters at a time, the filters, the products
**   of each place, the results. The transformed filters, four times as large as the filters, stay in the last cache, and
**   each is read once.
*/
#include "kernels/winograd.h"

#include <string.h>

#include "base/pool.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  GAP = 16,         /* floats between planes, which would else share sets of the cache */
  BLOCK = 48,       /* tiles of a task when there are many; a multiple of every `mr` */
  LEAST_TASKS = 24, /* or half of BLOCK is taken, */
  NARROW = 128,     /* as with so few channels in all, whose tiles then fit a core's own cache */
  GROUP = 128,      /* target channels between the second and the third step */
  MOST_ROWS = 192,  /* in one product: their rows of V stay in a core's own cache */
  LINE = 16,        /* floats in a line of the cache */
  FEW_BLOCK = 4,    /* tiles of a task in the second order, */
  FEW_BYTES = 24 << 20, /* all of which must stay in the last cache, */
  MANY_BYTES = 8 << 20  /* where filters larger than this would not */
};

typedef struct {
  const float *x, *w;
  float *y;
  cvl_epilogue then;
  cvl_tiled source, target;
  int64_t tiles;
  int64_t w_tap, w_row, w_column;
  bool backwards, past; /* past: results are larger than the last cache */
  const cvl_tile *tile;
  const cvl_winograd *winograd;
  int planes, pack;
  int64_t depth;                /* source channels, in words of `pack` */
  int64_t panels, block, group; /* panels of K; tiles of a block; panels of a group */
  int64_t first_panel;          /* of the present group */
  int64_t v_chunk, v_plane, u_plane, m_plane;
  float *u, *v, *m, *zeros; /* in the first order v and m are {threads} */
} job;

/* The algorithm for a stride and a direction, of the kernels for one ISA. */
#define OF(isa)                                  \
  (stride == 1 ? &PASTE(cvl_winograd_unit, isa)  \
   : back      ? &PASTE(cvl_polyphase_back, isa) \
               : &PASTE(cvl_polyphase, isa))
#define PASTE(a, b) a##b

const cvl_winograd *cvl_winograd_used(int64_t stride, bool back, bool bf16) {
#if defined(__x86_64__)
  cvl_isa isa = cvl_isa_used();
  if (bf16 && cvl_isa_has_bf16()) return OF(_bf16_avx512_bf16);
  if (isa == CVL_ISA_AVX512) return bf16 ? OF(_bf16_avx512) : OF(_avx512);
  if (isa == CVL_ISA_AVX2) return bf16 ? OF(_bf16_avx2) : OF(_avx2);
#endif
  return bf16 ? OF(_bf16_baseline) : OF(_baseline);
}

int cvl_filter_plane(const cvl_winograd *a, int i) {
  int r = i / a->places, s = i % a->places;
  return (r < a->single ? r : 5) * 6 + (s < a->single ? s : 5);
}

bool cvl_winograd_possible(const cvl_conv *p) {
  if (p->groups != 1 || p->N * p->C * p->K == 0 || p->in[0] != 1 || p->filter[0] != 1 ||
      p->out[0] != 1 || p->before[0] != 0 || p->stride[1] != p->stride[2] || p->stride[1] > 2)
    return false;
  for (int d = 1; d < 3; d++)
    if (p->filter[d] != 3 || p->dilation[d] != 1 || p->in[d] == 0 || p->out[d] == 0) return false;
  return true;
}

void cvl_tile_pixels(const cvl_tiled *g, int64_t tile, float *map, float *outside, float **pixel) {
  int64_t w = tile % g->wide * g->step - g->left, h = tile / g->wide % g->high * g->step - g->top;
  float *image = map + tile / g->wide / g->high * g->H * g->W * g->C;
  for (int64_t r = h; r < h + g->size; r++)
    for (int64_t s = w; s < w + g->size; s++)
      *pixel++ = r >= 0 && r < g->H && s >= 0 && s < g->W ? image + (r * g->W + s) * g->C : outside;
}

void cvl_tile_pixels_read(const cvl_tiled *g, int64_t tile, const float *map, const float *outside,
                          const float **pixel) {
  cvl_tile_pixels(g, tile, (float *)(uintptr_t)map, (float *)(uintptr_t)outside,
                  (float **)(uintptr_t)pixel);
}

void cvl_tile_prefetch(const cvl_tiled *g, int64_t tile, const float *map) {
  int64_t w = tile % g->wide * g->step - g->left, h = tile / g->wide % g->high * g->step - g->top;
  int64_t right = min(w + g->size, g->W), bottom = min(h + g->size, g->H), left = max(w, 0);
  const float *image = map + tile / g->wide / g->high * g->H * g->W * g->C;
  for (int64_t r = max(h, 0); r < bottom; r++)
    for (int64_t i = (r * g->W + left) * g->C; i < (r * g->W + right) * g->C; i += LINE)
      __builtin_prefetch(image + i, 0, 2);
}

/* Tiles [first, last) to rows 0, 1, ... of v. */
static void transform_tiles(const job *j, int64_t first, int64_t last, float *v) {
  const float *pixel[CVL_MOST_READS * CVL_MOST_READS];
  for (int64_t t = first; t < last; t++, v += CVL_CHUNK / j->pack) {
    if (t + 1 < j->tiles) cvl_tile_prefetch(&j->source, t + 1, j->x);
    cvl_tile_pixels_read(&j->source, t, j->x, j->zeros, pixel);
    j->winograd->input(pixel, j->source.C, v, j->v_plane, j->v_chunk);
  }
}

/* Source channels [c, c + rows) of panel `panel` of the filter to u {36 planes, rows / pack, nr}. */
static void transform_filter(const job *j, int64_t panel, int64_t c, int64_t rows, float *u) {
  int64_t column = panel * j->tile->nr;
  j->winograd->filter(j->w + c * j->w_row + column * j->w_column, j->w_tap, j->w_row, j->w_column,
                      j->backwards, rows, j->target.C - column, j->tile->nr, u, j->u_plane);
}

/* One plane: m {rows, panels * nr} = v {rows, C} u {C, panels * nr}, a block of words of C at a time. */
static void multiply(const job *j, const float *v, const float *u, int64_t rows, int64_t panels,
                     float *m) {
  float *row[MOST_ROWS];
  int64_t nr = j->tile->nr, step = MOST_ROWS;
  int64_t chunk = CVL_CHUNK / j->pack;
  for (int64_t i = 0; i < rows; i += step)
    for (int64_t c = 0; c < j->depth; c += CVL_BLOCK_K) {
      cvl_stretch stretch[CVL_BLOCK_K / CVL_CHUNK * 2];
      int stretches = 0;
      for (int64_t k = c; k < min(j->depth, c + CVL_BLOCK_K); k += chunk)
        stretch[stretches++] = (cvl_stretch){v + k / chunk * j->v_chunk + i * chunk, u + k * nr,
                                             min(chunk, j->depth - k)};
      for (int64_t r = 0; r < min(step, rows - i); r++) row[r] = m + (i + r) * panels * nr;
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_ROWS,
                                          .rows = min(step, rows - i),
                                          .columns = panels * nr,
                                          .row = row,
                                          .panel_size = j->depth * nr,
                                          .stretch = stretch,
                                          .stretches = stretches,
                                          .add = c > 0});
    }
}

/* Tiles [first, first + rows) of y, channels from that of `panel` on, out of m {planes, rows, panels * nr}. */
static void finish(const job *j, int64_t first, int64_t rows, int64_t panel, int64_t panels,
                   const float *m) {
  int64_t k = panel * j->tile->nr, columns = min(j->target.C - k, panels * j->tile->nr);
  float *pixel[CVL_MOST_WRITES * CVL_MOST_WRITES];
  const float *residual[CVL_MOST_WRITES * CVL_MOST_WRITES];
  const cvl_epilogue then = cvl_epilogue_from(&j->then, k);
  for (int64_t t = 0; t < rows; t++) {
    cvl_tile_pixels(&j->target, first + t, j->y + k, NULL, pixel);
    if (then.residual != NULL)
      cvl_tile_pixels_read(&j->target, first + t, then.residual + k, NULL, residual);
    j->winograd->output(m + t * panels * j->tile->nr, j->m_plane, columns, &then,
                        then.residual != NULL ? residual : NULL, pixel, j->past);
  }
}

/* The first order. */
static void filter_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk % j->panels, c = chunk / j->panels * CVL_CHUNK;
  (void)worker;
  transform_filter(j, panel, c, min(CVL_CHUNK, j->source.C - c),
                   j->u + (panel * j->depth + c / j->pack) * j->tile->nr);
}

static void block_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t first = chunk * j->block, rows = min(j->block, j->tiles - first);
  float *v = j->v + worker * j->planes * j->v_plane, *m = j->m + worker * j->planes * j->m_plane;
  transform_tiles(j, first, first + rows, v);
  for (int64_t panel = 0; panel < j->panels; panel += j->group) {
    int64_t panels = min(j->group, j->panels - panel);
    for (int i = 0; i < j->planes; i++)
      multiply(j, v + i * j->v_plane,
               j->u + cvl_filter_plane(j->winograd, i) * j->u_plane +
                   panel * j->depth * j->tile->nr,
               rows, panels, m + i * j->m_plane);
    finish(j, first, rows, panel, panels, m);
  }
}

static int run_blocks(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->source.C, CVL_CHUNK), nr = j->tile->nr, threads = cvl_threads();
  j->block =
      j->tiles >= LEAST_TASKS * BLOCK && j->source.C + j->target.C > NARROW ? BLOCK : BLOCK / 2;
  j->group = min(j->panels, GROUP / nr);
  j->v_chunk = j->block * CVL_CHUNK / j->pack;
  j->v_plane = chunks * j->v_chunk + GAP;
  j->m_plane = j->block * j->group * nr + GAP;
  j->u_plane = j->panels * nr * j->depth + GAP;
  if ((j->u = cvl_scratch_take(CVL_FILTER_PLANES * j->u_plane, e)) == NULL) return -1;
  if ((j->v = cvl_scratch_take(threads * j->planes * j->v_plane, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(threads * j->planes * j->m_plane, e)) == NULL) return -1;
  cvl_parallel(j->panels * chunks, filter_task, j);
  cvl_parallel(ceil_div(j->tiles, j->block), block_task, j);
  return 0;
}

/* The second order: the present group is panels [first_panel, first_panel + group). */
static void tiles_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t first = chunk * j->block;
  (void)worker;
  transform_tiles(j, first, min(first + j->block, j->tiles), j->v + first * CVL_CHUNK / j->pack);
}

static void group_filter_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk % j->group, c = chunk / j->group * CVL_CHUNK;
  (void)worker;
  transform_filter(j, j->first_panel + panel, c, min(CVL_CHUNK, j->source.C - c),
                   j->u + (panel * j->depth + c / j->pack) * j->tile->nr);
}

static void plane_task(void *context, int64_t i, int worker) {
  const job *j = context;
  (void)worker;
  multiply(j, j->v + i * j->v_plane, j->u + cvl_filter_plane(j->winograd, (int)i) * j->u_plane,
           j->tiles, j->group, j->m + i * j->m_plane);
}

static void finish_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t first = chunk * j->block, rows = min(j->block, j->tiles - first);
  (void)worker;
  finish(j, first, rows, j->first_panel, j->group, j->m + first * j->group * j->tile->nr);
}

static int run_groups(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->source.C, CVL_CHUNK), nr = j->tile->nr,
          widest = min(j->panels, GROUP / nr);
  j->block = FEW_BLOCK;
  j->v_chunk = ceil_div(j->tiles, CVL_TILE_MAX_ROWS) * CVL_TILE_MAX_ROWS * CVL_CHUNK /
               j->pack; /* read in whole tiles */
  j->v_plane = chunks * j->v_chunk + GAP;
  j->m_plane = j->tiles * widest * nr + GAP;
  j->u_plane = widest * nr * j->depth + GAP;
  if ((j->v = cvl_scratch_take(j->planes * j->v_plane, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(CVL_FILTER_PLANES * j->u_plane, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(j->planes * j->m_plane, e)) == NULL) return -1;
  cvl_parallel(ceil_div(j->tiles, j->block), tiles_task, j);
  for (j->first_panel = 0; j->first_panel < j->panels; j->first_panel += j->group) {
    j->group = min(widest, j->panels - j->first_panel);
    cvl_parallel(j->group * chunks, group_filter_task, j);
    cvl_parallel(j->planes, plane_task, j);
    cvl_parallel(ceil_div(j->tiles, j->block), finish_task, j);
  }
  return 0;
}

static int run(job *j, int64_t images, cvl_err *e) {
  bool few;
  int rc;
  j->pack = j->winograd->pack;
  j->tile = j->pack == 1 ? cvl_tile_used(j->target.C) : cvl_bf16_tile(j->target.C);
  j->depth = ceil_div(j->source.C, j->pack);
  j->planes = j->winograd->places * j->winograd->places;
  j->panels = ceil_div(j->target.C, j->tile->nr);
  j->source.step = j->winograd->step;
  j->source.size = j->winograd->reads;
  j->target.step = j->target.size = j->winograd->writes;
  j->source.high = j->target.high = ceil_div(j->target.H + j->target.top, j->target.step);
  j->source.wide = j->target.wide = ceil_div(j->target.W + j->target.left, j->target.step);
  j->tiles = images * j->target.high * j->target.wide;
  j->past = cvl_is_past(j->y, images * j->target.H * j->target.W * j->target.C, j->target.C);
  few = j->planes * j->tiles * j->depth <= FEW_BYTES / 4 &&
        CVL_FILTER_PLANES * j->depth * j->target.C > MANY_BYTES / 4;
  if ((j->zeros = cvl_scratch_take(j->source.C, e)) == NULL) return -1;
  memset(j->zeros, 0, (size_t)j->source.C * sizeof *j->zeros);
  rc = few ? run_groups(j, e) : run_blocks(j, e);
  cvl_scratch_give(j->u);
  cvl_scratch_give(j->v);
  cvl_scratch_give(j->m);
  cvl_scratch_give(j->zeros);
  return rc;
}

int cvl_winograd_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e) {
  job j = {.x = x,
           .w = w,
           .then = *then,
           .y = y,
           .source =
               {.H = p->in[1], .W = p->in[2], .C = p->C, .top = p->before[1], .left = p->before[2]},
           .target = {.H = p->out[1], .W = p->out[2], .C = p->K},
           .w_tap = p->C * p->K,
           .w_row = p->K,
           .w_column = 1,
           .winograd = cvl_winograd_used(p->stride[1], false, p->bf16)};
  return run(&j, p->N, e);
}

/* With stride 1, gx[i] takes gy[i + before - 2] and the two after it. With stride 2 the tiles are counted in padded
** inputs, i + before: the first of a tile's eight takes gy[4 * tile - 1] and the four after it. */
int cvl_winograd_backward_data(const cvl_conv *p, const float *gy, const float *w, float *gx,
                               cvl_err *e) {
  job j = {.x = gy,
           .w = w,
           .y = gx,
           .source = {.H = p->out[1], .W = p->out[2], .C = p->K},
           .target = {.H = p->in[1], .W = p->in[2], .C = p->C},
           .w_tap = p->C * p->K,
           .w_row = 1,
           .w_column = p->K,
           .backwards = true,
           .winograd = cvl_winograd_used(p->stride[1], true, p->bf16)};
  if (p->stride[1] == 1) {
    j.source.top = 2 - p->before[1];
    j.source.left = 2 - p->before[2];
  } else {
    j.source.top = j.source.left = 1;
    j.target.top = p->before[1];
    j.target.left = p->before[2];
  }
  return run(&j, p->N, e);
}

/*
** Forward and the gradient of the data, which is the same convolution of gy with the filter turned round and its channels
** exchanged. Two orders of work:
** - Many tiles: all filters are transformed, then each task takes a block of tiles through the three steps, its
**   intermediate results staying in its cache.
** - Few tiles, many filters: all tiles are transformed, then each task makes the results of a panel of filters, whose
**   transforms, four times as large as the filters, are made a chunk of channels at a time and never leave its cache.
*/
#include "kernels/winograd.h"

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/cpu.h"
#include "kernels/isa.h"
#include "kernels/scratch.h"
#include "kernels/sizes.h"
#include "kernels/tile.h"

enum {
  GAP = 16, /* floats between planes, which would else share sets of the cache */
  /* Floats behind v's last tile that are read, in a low tile that sticks out, and go nowhere. */
  BEHIND = (CVL_TILE_LOW_ROWS - 1) * CVL_CHUNK,
  /* Tiles of a task, or half of it, both multiples of every `mr`, where there would be fewer tasks than that, or so many
  ** floats of v and m that a core's own cache would keep little of them. */
  MOST_BLOCK = 24,
  LINE_BLOCK = 6 * MOST_BLOCK, /* along one axis */
  LEAST_TASKS = 3,             /* for each thread, */
  SLOT_THREADS = 4,            /* as if there were so many where bits depend on the blocks */
  OWN = 5 << 18,
  OVERFLOW = 3 << 17,         /* floats of v that such a cache does not hold */
  FEW_TILES = 8 * MOST_BLOCK, /* fewer leave little to do for each reading of the filters, */
  FEWEST_TILES = 64,          /* and these less */
  FILTER_ROWS = 32,           /* source channels of a task that transforms the filter */
  GROUP = 128,                /* target channels between the second and the third step */
  MOST_ROWS = 192,            /* in one product: their rows of V stay in a core's own cache */
  MOST_STRETCHES = 16,        /* in one go */
  MANY_CHANNELS = 128,        /* with fewer, along one axis, writes past the caches wait */
  /* The second order: */
  FEW_BYTES = 12 << 20, /* all transformed tiles must stay in the last cache, */
  MANY_BYTES = 1 << 20, /* where filters larger than this, and than they, overflow a core's own; */
  MOST_SUMS = 3 << 17,  /* the results of a task, in floats, do; */
  FEW_BLOCK = 4,        /* tiles are transformed so many at a time, */
  WORTH = 1 << 19       /* on several threads when they become so many floats */
};

typedef struct {
  const float *x, *w;
  float *y;
  cvl_epilogue then;
  cvl_tiled source, target;
  int64_t tiles;
  int64_t w_tap[2], w_row, w_column; /* steps in w */
  bool past;                         /* results are larger than the last cache */
  bool shared;                       /* what a thread transforms for all goes past its caches */
  const cvl_tile *tile;
  const cvl_winograd *winograd;
  cvl_products products;
  int sources, filters, targets;                               /* planes of v, u and m */
  unsigned char needed[CVL_MOST_PRODUCTS * CVL_MOST_PRODUCTS]; /* tiles, by planes of m */
  cvl_order order;                                             /* of all, in the second order */
  int pack;
  bool second;                  /* order */
  int64_t chunk;                /* words of CVL_CHUNK channels */
  int64_t depth;                /* source channels, in words of `pack` */
  int64_t panels, block, group; /* panels of K; tiles of a block; panels of a group */
  int64_t v_chunk, v_plane, v_all, u_plane, m_plane; /* v_all: of all planes */
  float *u, *v, *m, *zeros; /* {threads}: in the first order v and m, in the second u and m */
} job;

/* Whether both axes of the map are two pixels between two of padding. */
static bool is_two(const cvl_conv *p) {
  for (int d = 1; d < 3; d++)
    if (p->stride[d] != 1 || p->in[d] != 2 || p->out[d] != 2 || p->before[d] != 1) return false;
  return true;
}

bool cvl_winograd_along(const cvl_conv *p, int d) { return p->filter[d] != 1; }

static bool is_line(const cvl_conv *p) {
  return !cvl_winograd_along(p, 1) || !cvl_winograd_along(p, 2);
}

/* The algorithm for a problem and a direction, of the kernels for one ISA. */
#define OF(isa)                                          \
  (is_line(p)          ? &PASTE(cvl_winograd_line, isa)  \
   : p->filter[1] == 4 ? &PASTE(cvl_winograd_four, isa)  \
   : is_two(p)         ? &PASTE(cvl_winograd_two, isa)   \
   : p->stride[1] == 1 ? &PASTE(cvl_winograd_unit, isa)  \
   : back              ? &PASTE(cvl_polyphase_back, isa) \
                       : &PASTE(cvl_polyphase, isa))
#define PASTE(a, b) a##b

const cvl_winograd *cvl_winograd_used(const cvl_conv *p, bool back) {
  const bool bf16 = p->bf16;
#if defined(__x86_64__)
  cvl_isa isa = cvl_isa_used();
  if (bf16 && cvl_isa_has_bf16()) return OF(_bf16_avx512_bf16);
  if (isa == CVL_ISA_AVX512) return bf16 ? OF(_bf16_avx512) : OF(_avx512);
  if (isa == CVL_ISA_AVX2) return bf16 ? OF(_bf16_avx2) : OF(_avx2);
#endif
  return bf16 ? OF(_bf16_baseline) : OF(_baseline);
}

int cvl_winograd_planes(const cvl_winograd *a, int places) {
  return a->axes == 2 ? places * places : places;
}

/* Those along all axes, in the order of planes of the filter or of the target. */
static void list_products(const cvl_winograd *a, bool by_filter, cvl_products *out) {
  static const cvl_product alone = {0, 0, 0};
  const cvl_product *row = a->axes == 2 ? a->product : &alone;
  int side = by_filter ? a->filters : a->targets, planes = cvl_winograd_planes(a, side), count = 0;
  for (int plane = 0; plane < planes; plane++) {
    out->first[plane] = (unsigned char)count;
    for (const cvl_product *r = row; r < row + (a->axes == 2 ? a->products : 1); r++) {
      if ((by_filter ? r->filter : r->target) != plane / side) continue;
      for (const cvl_product *s = a->product; s < a->product + a->products; s++)
        if ((by_filter ? s->filter : s->target) == plane % side)
          out->of[count++] = (cvl_product){(unsigned char)(r->source * a->sources + s->source),
                                           (unsigned char)(r->filter * a->filters + s->filter),
                                           (unsigned char)(r->target * a->targets + s->target)};
    }
  }
  out->first[planes] = (unsigned char)count;
}

void cvl_products_by_target(const cvl_winograd *a, cvl_products *out) {
  list_products(a, false, out);
}

void cvl_products_by_filter(const cvl_winograd *a, cvl_products *out) {
  list_products(a, true, out);
}

bool cvl_winograd_possible(const cvl_conv *p) {
  int64_t taps = max(p->filter[1], p->filter[2]);
  int axes = 0;
  if ((taps != 3 && taps != 4) || p->groups != 1 || p->N * p->C * p->K == 0 || p->in[0] != 1 ||
      p->filter[0] != 1 || p->out[0] != 1 || p->before[0] != 0 || p->stride[1] != p->stride[2] ||
      p->stride[1] > 2)
    return false;
  for (int d = 1; d < 3; d++) {
    bool along = p->filter[d] == taps && p->dilation[d] == 1,
         beside = p->filter[d] == 1 && p->before[d] == 0 && p->in[d] == p->out[d];
    if ((!along && !beside) || p->in[d] == 0 || p->out[d] == 0) return false;
    axes += along;
  }
  return axes == 2 ? taps == 3 || p->stride[1] == 1 : taps == 3 && p->stride[1] == 1;
}

/* Whether the second order suits: `of_tiles` floats of tiles, `of_filters` of filters, transformed, to `channels`. One panel
** would be one task. */
static bool is_second_order(int64_t tiles, int64_t of_tiles, int64_t of_filters, int64_t channels) {
  bool many = of_filters > MANY_BYTES / 4 && of_filters >= of_tiles;
  return of_tiles <= FEW_BYTES / 4 &&
         ((many && channels > CVL_TILE_MAX_COLUMNS) || tiles < MOST_BLOCK);
}

/*
** A place of a tile costs about as much to transform, for each channel, as 12 products, one of a filter as 4. For the
** gradient of the filter, which keeps the tiles' and sums up the filter's, it is 28, 12 along one axis, and 20; where it is
** summed up in parts, 14, and channels count in whole vectors, of which there are few.
** With stride 2 the products take longer than those of the definition on Intel's CPUs, whose last cache is slow, more so when
** tiles are few, and most of all in the first order when the source's places of half a block do not stay in a core's own
** cache: measured on Ice Lake, 4 to 512 tiles. On Zen 4 they do not.
** Not counted with bfloat16 operands, which only Winograd's products take.
*/
double cvl_winograd_work(const cvl_conv *p, cvl_pass pass) {
  bool filter = pass == CVL_FILTER, data = pass == CVL_DATA;
  const double strided = 1.1, overflow = 1.4, few = data ? 1.15 : 1.05, fewest = data ? 1.35 : 1.1;
  const cvl_winograd *a = cvl_winograd_used(p, data);
  const int64_t *made = data ? p->in : p->out;
  int64_t from = data ? p->K : p->C, to = data ? p->C : p->K, tiles = p->N, products = p->N,
          sources = cvl_winograd_planes(a, a->sources),
          filters = cvl_winograd_planes(a, a->filters),
          targets = cvl_winograd_planes(a, a->targets);
  for (int d = 1; d < 3; d++) {
    bool along = cvl_winograd_along(p, d);
    int64_t n = along ? ceil_div(made[d], a->writes) : made[d];
    bool is_short = along && a->last >= 0 && n * a->writes > made[d];
    tiles *= n;
    products *= along ? n * a->products - is_short : n;
  }
  bool in_parts = filter && cvl_winograd_in_parts(p, a, tiles);
  double of_tile = in_parts ? 14 : filter && a->axes == 2 ? 28 : 12, of_filter = filter ? 20 : 4;
  int64_t vector = in_parts ? CVL_LINE : 1, sourced = round_up(from, vector),
          targeted = round_up(to, vector);
  double work = (double)products * (double)(from * to) +
                of_tile * (double)(tiles * (sources * sourced + targets * targeted)) +
                of_filter * (double)(filters * from * to);
  if (filter || p->stride[1] == 1 || p->bf16 || !cvl_cpu_is_intel()) return work;
  if (tiles < FEW_TILES) work *= tiles < FEWEST_TILES ? fewest : few;
  if (sources * MOST_BLOCK / 2 * from > OVERFLOW &&
      !is_second_order(tiles, sources * tiles * from, filters * from * to, to))
    work *= overflow;
  return work * strided;
}

/* Channels [c, c + channels) of the tiles to rows 0, 1, ... of v, `past` the caches. Where these are all, the next tile is
** asked for. */
static void transform_tiles(const job *j, const int64_t *tile, int64_t tiles, int64_t c,
                            int64_t channels, float *v, bool past) {
  const float *pixel[CVL_MOST_READS * CVL_MOST_READS];
  for (int64_t t = 0; t < tiles; t++, v += j->chunk) {
    if (channels == j->source.C && t + 1 < tiles)
      cvl_tile_prefetch(&j->source, tile[t + 1], j->x, 0, channels);
    cvl_tile_pixels_read(&j->source, tile[t], j->x + c, j->zeros, pixel);
    j->winograd->input(pixel, channels, v, j->v_plane, j->v_chunk, past);
  }
  if (past) cvl_past_end();
}

/* Source channels [c, c + rows) of panel `panel` of the filter to u {planes, rows / pack, nr}, `past` the caches. */
static void transform_filter(const job *j, int64_t panel, int64_t c, int64_t rows, float *u,
                             bool past) {
  int64_t column = panel * j->tile->nr;
  j->winograd->filter(j->w + c * j->w_row + column * j->w_column, j->w_tap, j->w_row, j->w_column,
                      rows, j->target.C - column, j->tile->nr, u, j->u_plane, past);
  if (past) cvl_past_end();
}

/* What is left to be added up in a plane of m: products, `words` words of each, in chunks. */
typedef struct {
  const float *v, *u; /* the first plane of each, from the first tile and panel on */
  int64_t words, chunk;
  const cvl_product *product, *end;
} sum;

static sum sum_of(const job *j, const float *v, const float *u, int64_t words, int target) {
  const unsigned char *first = j->products.first + target;
  return (sum){v, u, words, 0, j->products.of + first[0], j->products.of + first[1]};
}

/* Takes the chunks that are added up in one go: so many stretches. */
static int take_stretches(const job *j, sum *s, cvl_stretch out[MOST_STRETCHES]) {
  int64_t chunk = j->chunk, all = 0;
  int n = 0;
  for (; n < MOST_STRETCHES && s->product < s->end; n++) {
    int64_t word = s->chunk * chunk, count = min(chunk, s->words - word);
    if ((all += count) > CVL_BLOCK_K) break;
    out[n] = (cvl_stretch){s->v + s->product->source * j->v_plane + s->chunk * j->v_chunk,
                           s->u + s->product->filter * j->u_plane + word * j->tile->nr, count};
    s->chunk++;
    if (word + count == s->words) {
      s->product++;
      s->chunk = 0;
    }
  }
  return n;
}

/* What stretches read of the filter. */
static void list_filter(const job *j, const cvl_stretch *s, int n, cvl_soon *out) {
  for (int i = 0; i < n; i++) out[i] = (cvl_soon){s[i].b, s[i].count * j->tile->nr};
}

/* Rows [begin, end) of m {rows, panels * nr} = or += the sum. `next` is what follows. */
static void multiply(const job *j, const sum *s, int64_t begin, int64_t end, int64_t panels,
                     bool add, float *m, const cvl_soon *next, int nexts) {
  float *row[MOST_ROWS];
  cvl_stretch stretch[2][MOST_STRETCHES];
  cvl_soon more[MOST_STRETCHES];
  int64_t nr = j->tile->nr;
  for (int64_t i = begin; i < end; i += MOST_ROWS) {
    int64_t count = min(MOST_ROWS, end - i);
    sum rest = *s;
    rest.v += i * j->chunk;
    for (int64_t r = 0; r < count; r++) row[r] = m + (i + r) * panels * nr;
    int stretches = take_stretches(j, &rest, stretch[0]), mores, turn = 0;
    for (bool adding = add; stretches > 0; stretches = mores, turn = 1 - turn, adding = true) {
      mores = take_stretches(j, &rest, stretch[1 - turn]);
      list_filter(j, stretch[1 - turn], mores, more);
      cvl_block_run(j->tile, &(cvl_block){.layout = CVL_CHUNK_BY_ROWS,
                                          .rows = count,
                                          .columns = panels * nr,
                                          .row = row,
                                          .panel_size = s->words * nr,
                                          .stretch = stretch[turn],
                                          .stretches = stretches,
                                          .add = adding,
                                          .soon = mores > 0 ? more : next,
                                          .soons = mores > 0 ? mores : nexts});
    }
  }
}

/* The results of a filter in a tile. */
static int64_t count_pixels(const job *j, float *const *pixel) {
  int64_t count = 0;
  for (int64_t i = 0; i < j->target.size[0] * j->target.size[1]; i++) count += pixel[i] != NULL;
  return count;
}

/* The tiles of y, channels from that of `panel` on, out of m {planes, tiles, panels * nr}; their moments to `slot`. */
static void finish(const job *j, const int64_t *tile, int64_t tiles, int64_t panel, int64_t panels,
                   int64_t slot, const float *m) {
  int64_t k = panel * j->tile->nr, columns = min(j->target.C - k, panels * j->tile->nr);
  float *pixel[CVL_MOST_WRITES * CVL_MOST_WRITES];
  const float *residual[CVL_MOST_WRITES * CVL_MOST_WRITES];
  const cvl_epilogue then = cvl_epilogue_from(&j->then, k);
  const cvl_slots *slots = then.slots;
  cvl_moments moments = {.K = j->target.C, .none = true};
  int64_t count = 0;
  if (slots != NULL) moments.at = slots->moments + slot * 3 * moments.K + k;
  for (int64_t t = 0; t < tiles; t++) {
    cvl_tile_pixels(&j->target, tile[t], j->y + k, NULL, pixel);
    if (then.residual != NULL) {
      cvl_tile_pixels_read(&j->target, tile[t], then.residual + k, NULL, residual);
      if (t + 1 < tiles) cvl_tile_prefetch(&j->target, tile[t + 1], then.residual, k, columns);
    }
    j->winograd->output(m + t * panels * j->tile->nr, j->m_plane, columns, &then,
                        then.residual != NULL ? residual : NULL, slots != NULL ? &moments : NULL,
                        pixel, j->past);
    moments.none = false;
    if (slots != NULL) count += count_pixels(j, pixel);
  }
  if (slots != NULL && panel == 0) slots->count[slot] = count;
  if (j->past) cvl_past_end();
}

/* The first order. */
static void filter_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t panel = chunk % j->panels, c = chunk / j->panels * FILTER_ROWS;
  (void)worker;
  transform_filter(j, panel, c, min(FILTER_ROWS, j->source.C - c),
                   j->u + (panel * j->depth + c / j->pack) * j->tile->nr, j->shared);
}

static void block_task(void *context, int64_t chunk, int worker) {
  const job *j = context;
  int64_t tile[LINE_BLOCK], first = chunk * j->block;
  cvl_order order = {.tile = tile};
  float *v = j->v + worker * j->v_all, *m = j->m + worker * j->targets * j->m_plane;
  cvl_order_set(&order, &j->target, first, min(j->block, j->tiles - first));
  transform_tiles(j, tile, order.count, 0, j->source.C, v, false);
  for (int64_t panel = 0; panel < j->panels; panel += j->group) {
    int64_t panels = min(j->group, j->panels - panel);
    const float *u = j->u + panel * j->depth * j->tile->nr;
    for (int i = 0; i < j->targets; i++) {
      sum now = sum_of(j, v, u, j->depth, i),
          next = sum_of(j, v, u, j->depth, (i + 1) % j->targets);
      cvl_stretch stretch[MOST_STRETCHES];
      cvl_soon soon[MOST_STRETCHES];
      int soons = take_stretches(j, &next, stretch);
      list_filter(j, stretch, soons, soon);
      multiply(j, &now, order.begin[j->needed[i]], order.end[j->needed[i]], panels, false,
               m + i * j->m_plane, soon, soons);
    }
    finish(j, tile, order.count, panel, panels, chunk, m);
  }
}

static void plan_blocks(job *j) {
  int64_t chunks = ceil_div(j->source.C, CVL_CHUNK), nr = j->tile->nr;
  int64_t threads = j->then.slots != NULL ? SLOT_THREADS : cvl_threads();
  j->group = min(j->panels, GROUP / nr);
  int64_t most = j->winograd->axes == 2 ? MOST_BLOCK : LINE_BLOCK;
  j->block = most;
  while (j->block > most / 2 &&
         (j->tiles < LEAST_TASKS * threads * j->block ||
          j->block * (j->sources * chunks * j->chunk + j->targets * j->group * nr) > OWN))
    j->block /= 2;
}

static int run_blocks(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->source.C, CVL_CHUNK), nr = j->tile->nr, threads = cvl_threads();
  j->v_chunk = j->block * j->chunk;
  j->v_plane = chunks * j->v_chunk + GAP;
  j->v_all = j->sources * j->v_plane + BEHIND;
  j->m_plane = j->block * j->group * nr + GAP;
  j->u_plane = j->panels * nr * j->depth + GAP;
  if ((j->u = cvl_scratch_take(j->filters * j->u_plane, e)) == NULL) return -1;
  if ((j->v = cvl_scratch_take(threads * j->v_all, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(threads * j->targets * j->m_plane, e)) == NULL) return -1;
  cvl_parallel(j->panels * ceil_div(j->source.C, FILTER_ROWS), filter_task, j);
  cvl_parallel(ceil_div(j->tiles, j->block), block_task, j);
  return 0;
}

/* The second order. */
static void tiles_task(void *context, int64_t task, int worker) {
  const job *j = context;
  int64_t blocks = ceil_div(j->tiles, FEW_BLOCK), chunk = task / blocks,
          first = task % blocks * FEW_BLOCK, c = chunk * CVL_CHUNK;
  (void)worker;
  transform_tiles(j, j->order.tile + first, min(FEW_BLOCK, j->tiles - first), c,
                  min(CVL_CHUNK, j->source.C - c), j->v + chunk * j->v_chunk + first * j->chunk,
                  j->shared);
}

/* Asks for part `i` of `parts` of what transform_filter() will read, where that lies row by row in pieces of a panel. */
static void prefetch_filter(const job *j, int64_t panel, int64_t c, int64_t channels, int i,
                            int parts) {
  int64_t side = j->winograd->taps, taps = cvl_winograd_planes(j->winograd, (int)side) * channels,
          column = panel * j->tile->nr, columns = min(j->tile->nr, j->target.C - column);
  if (j->w_column != 1) return;
  for (int64_t q = taps * i / parts; q < taps * (i + 1) / parts; q++) {
    int64_t t = q / channels;
    const float *row = j->w + t / side * j->w_tap[0] + t % side * j->w_tap[1] +
                       (c + q % channels) * j->w_row + column;
    for (int64_t k = 0; k < columns; k += CVL_LINE) __builtin_prefetch(row + k, 0, 2);
  }
}

static void panel_task(void *context, int64_t task, int worker) {
  const job *j = context;
  int64_t blocks = ceil_div(j->tiles, j->block), panel = task / blocks,
          first = task % blocks * j->block, rows = min(j->block, j->tiles - first);
  float *u = j->u + worker * j->filters * j->u_plane, *m = j->m + worker * j->targets * j->m_plane;
  prefetch_filter(j, panel, 0, min(CVL_CHUNK, j->source.C), 0, 1);
  for (int64_t c = 0; c < j->source.C; c += CVL_CHUNK) {
    int64_t channels = min(CVL_CHUNK, j->source.C - c), next = c + channels,
            words = ceil_div(channels, j->pack);
    const float *v = j->v + c / CVL_CHUNK * j->v_chunk + first * j->chunk;
    transform_filter(j, panel, c, channels, u, false);
    for (int i = 0; i < j->targets; i++) {
      prefetch_filter(j, panel, next, min(CVL_CHUNK, j->source.C - next), i, j->targets);
      int after = (i + 1) % j->targets, soons = 0;
      const sum now = sum_of(j, v, u, words, i), then = sum_of(j, v, u, words, after);
      cvl_soon soon[MOST_STRETCHES + 1];
      for (const cvl_product *of = then.product; of < then.end && soons < MOST_STRETCHES; of++)
        soon[soons++] = (cvl_soon){v + of->source * j->v_plane, rows * j->chunk};
      soon[soons++] = (cvl_soon){m + after * j->m_plane, rows * j->tile->nr};
      multiply(j, &now, max(j->order.begin[j->needed[i]] - first, 0),
               min(j->order.end[j->needed[i]] - first, rows), 1, c > 0, m + i * j->m_plane, soon,
               soons);
    }
  }
  finish(j, j->order.tile + first, rows, panel, 1, task % blocks, m);
}

static void plan_panels(job *j) {
  int64_t blocks = ceil_div(j->tiles * j->targets * j->tile->nr, MOST_SUMS);
  j->block = round_up(ceil_div(j->tiles, blocks), CVL_TILE_LOW_ROWS);
}

static int run_panels(job *j, cvl_err *e) {
  int64_t chunks = ceil_div(j->source.C, CVL_CHUNK), nr = j->tile->nr, threads = cvl_threads();
  bool worth = j->tiles * j->sources * j->source.C >= WORTH;
  j->v_chunk = j->tiles * j->chunk;
  j->v_plane = chunks * j->v_chunk + GAP;
  j->v_all = j->sources * j->v_plane + BEHIND;
  j->m_plane = j->block * nr + GAP;
  j->u_plane = j->chunk * nr + GAP;
  if ((j->v = cvl_scratch_take(j->v_all, e)) == NULL) return -1;
  if ((j->u = cvl_scratch_take(threads * j->filters * j->u_plane, e)) == NULL) return -1;
  if ((j->m = cvl_scratch_take(threads * j->targets * j->m_plane, e)) == NULL) return -1;
  if ((j->order.tile = cvl_alloc_array((size_t)j->tiles, sizeof *j->order.tile)) == NULL)
    return cvl_fail_memory(e, j->tiles * (int64_t)sizeof *j->order.tile);
  cvl_order_set(&j->order, &j->target, 0, j->tiles);
  cvl_parallel_if(worth, ceil_div(j->tiles, FEW_BLOCK) * chunks, tiles_task, j);
  cvl_parallel(j->panels * ceil_div(j->tiles, j->block), panel_task, j);
  return 0;
}

static void plan(job *j, const cvl_conv *p) {
  j->shared = cvl_cpu_shares_past();
  j->pack = j->winograd->pack;
  j->chunk = CVL_CHUNK / j->pack;
  j->depth = ceil_div(j->source.C, j->pack);
  cvl_products_by_target(j->winograd, &j->products);
  j->sources = cvl_winograd_planes(j->winograd, j->winograd->sources);
  j->filters = cvl_winograd_planes(j->winograd, j->winograd->filters);
  j->targets = cvl_winograd_planes(j->winograd, j->winograd->targets);
  cvl_tiled_set(&j->source, p, j->winograd->step, j->winograd->reads);
  cvl_tiled_set(&j->target, p, j->winograd->writes, j->winograd->writes);
  j->source.high = j->target.high = ceil_div(j->target.H + j->target.top, j->target.step[0]);
  j->source.wide = j->target.wide = ceil_div(j->target.W + j->target.left, j->target.step[1]);
  j->tiles = p->N * j->target.high * j->target.wide;
  for (int i = 0; i < j->targets; i++)
    j->needed[i] = (unsigned char)cvl_order_needed(j->winograd, &j->target, i);
  j->tile =
      j->pack == 1 ? cvl_tile_whole(j->tiles, j->target.C) : cvl_bf16_tile(j->tiles, j->target.C);
  j->panels = ceil_div(j->target.C, j->tile->nr);
  j->past = cvl_is_past(j->y, p->N * j->target.H * j->target.W * j->target.C, j->target.C) &&
            (j->winograd->axes == 2 || j->source.C >= MANY_CHANNELS);
  j->second = is_second_order(j->tiles, j->sources * j->tiles * j->depth,
                              j->filters * j->depth * j->target.C, j->target.C);
  (j->second ? plan_panels : plan_blocks)(j);
}

static int run(job *j, const cvl_conv *p, cvl_err *e) {
  int rc;
  plan(j, p);
  if ((j->zeros = cvl_scratch_take(j->source.C, e)) == NULL) return -1;
  memset(j->zeros, 0, (size_t)j->source.C * sizeof *j->zeros);
  rc = j->second ? run_panels(j, e) : run_blocks(j, e);
  cvl_scratch_give(j->u);
  cvl_scratch_give(j->v);
  cvl_scratch_give(j->m);
  cvl_scratch_give(j->zeros);
  cvl_free(j->order.tile);
  return rc;
}

static job forward_job(const cvl_conv *p, const float *x, const float *w, const cvl_epilogue *then,
                       float *y) {
  const cvl_winograd *a = cvl_winograd_used(p, false);
  return (job){.x = x,
               .w = w,
               .then = *then,
               .y = y,
               .source = {.H = p->in[1],
                          .W = p->in[2],
                          .C = p->C,
                          .top = p->before[1] - a->inset,
                          .left = p->before[2] - a->inset},
               .target = {.H = p->out[1], .W = p->out[2], .C = p->K},
               .w_tap = {p->filter[2] * p->C * p->K, p->C * p->K},
               .w_row = p->K,
               .w_column = 1,
               .winograd = a};
}

int cvl_winograd_forward(const cvl_conv *p, const float *x, const float *w,
                         const cvl_epilogue *then, float *y, cvl_err *e) {
  job j = forward_job(p, x, w, then, y);
  return run(&j, p, e);
}

int64_t cvl_winograd_slots(const cvl_conv *p) {
  const cvl_slots slots = {0};
  job j = forward_job(p, NULL, NULL, &(cvl_epilogue){.slots = &slots}, NULL);
  plan(&j, p);
  return ceil_div(j.tiles, j.block);
}

/* The zeros that outputs of an axis with stride 2 take after its last input, negative for inputs that none takes. Inputs,
** outputs and taps in reverse order make the same convolution, behind this padding. */
static int64_t padding_after(const cvl_conv *p, int d) {
  return 2 * p->out[d] + 1 - p->in[d] - p->before[d];
}

/* Inputs with stride 2, counted from the padding before them, are in tiles of eight from 1 on, as the first of a tile is met
** by one tap. Tiles before the first input are left out. */
static int64_t tiles_before(int64_t padding) { return padding == 0 ? -1 : (padding - 1) / 8; }
static int64_t place_in_tile(int64_t padding) { return padding - 1 - 8 * tiles_before(padding); }

/* Whether an axis with stride 2 has fewer tiles from its end. */
static bool is_better_mirrored(const cvl_conv *p, int d) {
  int64_t after = padding_after(p, d);
  return after >= 0 && ceil_div(p->in[d] + place_in_tile(after), 8) <
                           ceil_div(p->in[d] + place_in_tile(p->before[d]), 8);
}

/* With stride 1, gx[i] takes gy[i + before - 2] and the two after it. With stride 2 tile t takes gy[4 * t] and the four after
** it. The filter is turned round, where it does not have to be mirrored once more. */
int cvl_winograd_backward_data(const cvl_conv *p, const float *gy, const float *w, bool add,
                               float *gx, cvl_err *e) {
  job j = {.x = gy,
           .w = w,
           .y = gx,
           .then = {.residual = add ? gx : NULL},
           .source = {.H = p->out[1], .W = p->out[2], .C = p->K},
           .target = {.H = p->in[1], .W = p->in[2], .C = p->C},
           .w_row = 1,
           .w_column = p->K,
           .winograd = cvl_winograd_used(p, true)};
  bool mirrored[2] = {false, false};
  if (p->stride[1] == 1) {
    j.source.top = p->filter[1] - 1 - p->before[1] - j.winograd->inset;
    j.source.left = p->filter[2] - 1 - p->before[2] - j.winograd->inset;
  } else {
    int64_t padding[2];
    for (int d = 0; d < 2; d++) {
      mirrored[d] = is_better_mirrored(p, d + 1);
      padding[d] = mirrored[d] ? padding_after(p, d + 1) : p->before[d + 1];
    }
    j.source.top = -4 * tiles_before(padding[0]);
    j.source.left = -4 * tiles_before(padding[1]);
    j.target.top = place_in_tile(padding[0]);
    j.target.left = place_in_tile(padding[1]);
  }
  for (int d = 0; d < 2; d++) {
    int64_t step = (d == 0 ? p->filter[2] : 1) * p->C * p->K;
    j.source.mirrored[d] = j.target.mirrored[d] = mirrored[d];
    j.w_tap[d] = mirrored[d] ? step : -step;
    if (!mirrored[d]) j.w += (p->filter[d + 1] - 1) * step;
  }
  return run(&j, p, e);
}

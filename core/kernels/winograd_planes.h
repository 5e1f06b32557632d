/*
** The transforms of Winograd's algorithms between pixels and planes out of those along one axis: where AXES is 2 along the
** columns, then along the rows. Everything here is inlined, so that the sizes and the transform are constants. Included by
** winograd_passes.h only.
*/
#ifndef CVL_KERNELS_WINOGRAD_PLANES_H
#define CVL_KERNELS_WINOGRAD_PLANES_H

#include <stddef.h>

#include "kernels/epilogue_vector.h"
#include "kernels/tile.h"
#include "kernels/transpose.h"
#include "kernels/vector.h"
#include "kernels/winograd.h"

/*
** Between the two directions, AVX-512 keeps a few rows of vectors in its registers, if the loops over them are unrolled: for
** other rows what comes before is done again. With fewer registers all rows are put aside.
*/
enum {
  MOST = 9,                              /* length of a transform along one axis, either side */
  KEPT = LANES == 16 ? 18 : MOST * MOST, /* vectors, of planes */
  KEPT_PIXELS = LANES == 16 ? 24 : MOST * MOST, /* and of pixels */
  UNROLLED = LANES == 16 ? MOST : 1,
  SQUARES = AXES == 2 ? TAPS * TAPS : TAPS, /* of the filter, one for each tap */
  SQUARES_AHEAD = 2 /* between the one that is copied and the one that is asked for */
};

_Static_assert(KEPT >= MOST && KEPT_PIXELS >= MOST, "a row is kept at the least");

typedef void transform(vec *out, const vec *in);
typedef void put(float *to, vec v);

/* Pixels of a tile, or its planes, `side` along an axis. */
INLINE int all_of(const int side) { return AXES == 2 ? side * side : side; }

INLINE void line_to_planes(transform *f, put *write, const int size, const int places,
                           const float *const *pixel, int64_t c, float *v, int64_t plane) {
  vec in[MOST], out[MOST];
#pragma GCC unroll 9
  for (int s = 0; s < size; s++) in[s] = load(pixel[s] + c);
  f(out, in);
#pragma GCC unroll 9
  for (int s = 0; s < places; s++) write(v + s * plane, out[s]);
}

/* LANES channels from c on of `size` pixels along an axis to `places` planes along an axis. */
INLINE void to_planes(transform *f, put *write, const int size, const int places,
                      const float *const *pixel, int64_t c, float *v, int64_t plane) {
  const int rows = KEPT / size;
  if (AXES == 1) {
    line_to_planes(f, write, size, places, pixel, c, v, plane);
    return;
  }
#pragma GCC unroll UNROLLED
  for (int first = 0; first < places; first += rows) {
    const int end = first + rows < places ? first + rows : places;
    vec half[MOST][MOST], in[MOST], out[MOST];
#pragma GCC unroll UNROLLED
    for (int s = 0; s < size; s++) {
      FORGET(pixel);
#pragma GCC unroll 9
      for (int r = 0; r < size; r++) in[r] = load(pixel[r * size + s] + c);
      f(out, in);
#pragma GCC unroll 9
      for (int r = first; r < end; r++) half[r][s] = out[r];
    }
#pragma GCC unroll UNROLLED
    for (int r = first; r < end; r++) {
      FORGET(v);
      f(out, half[r]);
#pragma GCC unroll 9
      for (int s = 0; s < places; s++, v += plane) write(v, out[s]);
    }
  }
}

/* Pixels as they are read: where fewer than LANES channels are left, from copies with zeros behind these. */
typedef struct {
  float copy[MOST * MOST][LANES];
  const float *copies[MOST * MOST], *const *pixel;
  int64_t c;
} source;

INLINE void find_source(source *s, int pixels, const float *const *pixel, int64_t c, int64_t left) {
  s->pixel = pixel;
  s->c = c;
  if (left >= LANES) return;
  for (int t = 0; t < pixels; t++) {
    store(s->copy[t], left > 0 ? load_part(pixel[t] + c, left) : (vec){0});
    s->copies[t] = s->copy[t];
  }
  s->pixel = s->copies;
  s->c = 0;
}

/* Whether what is wanted past the caches goes there: floats do, of which a vector is a whole line. */
INLINE bool is_streamed(put *write, bool past) {
  return LANES == (int)CVL_LINE && write == store && past;
}

INLINE void put_input(transform *f, put *write, const int pack, const int size, const int places,
                      const float *const *pixel, int64_t C, float *v, int64_t plane,
                      int64_t chunk) {
  source s;
  for (int64_t c = 0; c < C; c += LANES) {
    find_source(&s, all_of(size), pixel, c, C - c);
    to_planes(f, write, size, places, s.pixel, s.c,
              v + c / CVL_CHUNK * chunk + c % CVL_CHUNK / pack, plane);
  }
}

/* Words are floats, or hold `pack` channels. */
INLINE void input_planes(transform *f, put *write, const int pack, const int size, const int places,
                         const float *const *pixel, int64_t C, float *v, int64_t plane,
                         int64_t chunk, bool past) {
  if (is_streamed(write, past))
    put_input(f, stream, pack, size, places, pixel, C, v, plane, chunk);
  else
    put_input(f, write, pack, size, places, pixel, C, v, plane, chunk);
}

INLINE void put_gradient(transform *f, put *write, const int size, const int places,
                         const float *const *pixel, int64_t K, float *z, int64_t plane,
                         int64_t panel, int nr) {
  int64_t whole = (K + nr - 1) / nr * nr;
  source s;
  for (int64_t k = 0; k < whole; k += LANES) {
    find_source(&s, all_of(size), pixel, k, K - k);
    to_planes(f, write, size, places, s.pixel, s.c, z + k / nr * panel + k % nr, plane);
  }
}

/* As input_planes, to panels; the last one is filled with zeros. */
INLINE void gradient_planes(transform *f, put *write, const int size, const int places,
                            const float *const *pixel, int64_t K, float *z, int64_t plane,
                            int64_t panel, int nr, bool past) {
  if (is_streamed(write, past))
    put_gradient(f, stream, size, places, pixel, K, z, plane, panel, nr);
  else
    put_gradient(f, write, size, places, pixel, K, z, plane, panel, nr);
}

/* What is done to results: a shift at most, the same with their moments, or a whole epilogue. */
typedef enum { SHIFT, SHIFT_AND_MOMENTS, WHOLE } finish;

/* n channels from k on of pixel i, unless it is NULL. */
INLINE void put_pixel(float *const *pixel, int i, vec y, epilogue_part *p, const finish then,
                      const float *const *residual, int64_t k, int64_t n, const bool past) {
  float *to = pixel[i];
  if (to == NULL) return;
  y = then == WHOLE ? epilogue_of(p, y, residual != NULL ? residual[i] + k : NULL, n)
                    : y + p->shift;
  if (then == SHIFT_AND_MOMENTS) moments_add(p, y, i == 0);
  if (past)
    stream(to + k, y);
  else
    store_n(to + k, y, n);
}

INLINE void line_to_pixels(transform *f, const int places, const int size, const float *m,
                           int64_t plane, epilogue_part *p, const finish then,
                           const float *const *residual, float *const *pixel, int64_t k, int64_t n,
                           const bool past) {
  vec in[MOST], out[MOST];
#pragma GCC unroll 9
  for (int s = 0; s < places; s++) in[s] = load(m + s * plane);
  f(out, in);
#pragma GCC unroll 9
  for (int s = 0; s < size; s++) put_pixel(pixel, s, out[s], p, then, residual, k, n, past);
}

/* n channels from k on: `places` planes along an axis to `size` pixels along an axis. */
INLINE void to_pixels(transform *f, const int places, const int size, const float *m, int64_t plane,
                      epilogue_part *p, const finish then, const float *const *residual,
                      float *const *pixel, int64_t k, int64_t n, const bool past) {
  const int rows = KEPT_PIXELS / places;
  if (AXES == 1) {
    line_to_pixels(f, places, size, m, plane, p, then, residual, pixel, k, n, past);
    return;
  }
#pragma GCC unroll UNROLLED
  for (int first = 0; first < size; first += rows) {
    const int end = first + rows < size ? first + rows : size;
    vec half[MOST][MOST], in[MOST], out[MOST];
    const float *from = m;
#pragma GCC unroll UNROLLED
    for (int s = 0; s < places; s++, from += plane) {
      FORGET(from);
#pragma GCC unroll 9
      for (int r = 0; r < places; r++) in[r] = load(from + r * places * plane);
      f(out, in);
#pragma GCC unroll 9
      for (int r = first; r < end; r++) half[r][s] = out[r];
    }
#pragma GCC unroll UNROLLED
    for (int r = first; r < end; r++) {
      f(out, half[r]);
#pragma GCC unroll 9
      for (int s = 0; s < size; s++)
        put_pixel(pixel, r * size + s, out[s], p, then, residual, k, n, past);
    }
  }
}

/* n channels from k on. */
INLINE void output_some(transform *f, const int places, const int size, const float *m,
                        int64_t plane, const cvl_epilogue *e, const finish then,
                        const float *const *residual, const cvl_moments *moments,
                        float *const *pixel, int64_t k, int64_t n, const bool past) {
  epilogue_part p = epilogue_at(e, k, n);
  if (then == SHIFT_AND_MOMENTS) moments_load(&p, moments, k, n);
  to_pixels(f, places, size, m + k, plane, &p, then, residual, pixel, k, n, past);
  if (then == SHIFT_AND_MOMENTS) moments_store(&p, moments, k, n);
}

INLINE void output_all(transform *f, const int places, const int size, const float *m,
                       int64_t plane, int64_t columns, const cvl_epilogue *e, const finish then,
                       const float *const *residual, const cvl_moments *moments,
                       float *const *pixel, bool past) {
  int64_t k = 0;
  for (; past && k < columns; k += LANES)
    output_some(f, places, size, m, plane, e, then, residual, moments, pixel, k, LANES, true);
  for (; k + LANES <= columns; k += LANES)
    output_some(f, places, size, m, plane, e, then, residual, moments, pixel, k, LANES, false);
  if (k < columns)
    output_some(f, places, size, m, plane, e, then, residual, moments, pixel, k, columns - k,
                false);
}

INLINE void output_pixels(transform *f, const int places, const int size, const float *m,
                          int64_t plane, int64_t columns, const cvl_epilogue *e,
                          const float *const *residual, const cvl_moments *moments,
                          float *const *pixel, bool past) {
  if (!cvl_epilogue_is_shift(e))
    output_all(f, places, size, m, plane, columns, e, WHOLE, residual, NULL, pixel, past);
  else if (moments == NULL)
    output_all(f, places, size, m, plane, columns, e, SHIFT, NULL, NULL, pixel, past);
  else
    output_all(f, places, size, m, plane, columns, e, SHIFT_AND_MOMENTS, NULL, moments, pixel,
               past);
}

/* Tap t of a square of the filter to square[a][t][b], row a and column b; zeros after the last of its columns. */
INLINE void copy_square(const float *w, int64_t row, int64_t column, int64_t rows, int64_t columns,
                        int t, float square[LANES][SQUARES][LANES]) {
  if (column == 1 && columns >= LANES) {
    for (int64_t a = 0; a < rows; a++) store(square[a][t], load(w + a * row));
    return;
  }
  if (row == 1 && rows == LANES && columns >= LANES) {
    for (int64_t b = 0; b < LANES; b += 4)
      for (int64_t a = 0; a < LANES; a += 4)
        cvl_transpose_4x4(w + a + b * column, column, &square[a][t][b], SQUARES * LANES);
    return;
  }
  for (int64_t b = 0; b < LANES; b++)
    for (int64_t a = 0; a < rows; a++) square[a][t][b] = b < columns ? w[a * row + b * column] : 0;
}

/* LANES columns of row i of the filter, with `second` for the second of two rows that share words. */
INLINE void filter_row(transform *f, put *first, put *second, const int places,
                       const float *const *pixel, int64_t i, int nr, float *u, int64_t plane) {
  if (second == NULL)
    to_planes(f, first, TAPS, places, pixel, 0, u + i * nr, plane);
  else if (i % 2 == 0)
    to_planes(f, first, TAPS, places, pixel, 0, u + i / 2 * nr, plane);
  else
    to_planes(f, second, TAPS, places, pixel, 0, u + i / 2 * nr, plane);
}

/* Tap t of row 0 and column 0. */
INLINE const float *tap_of(const float *w, const int64_t tap[2], int t) {
  return w + t / TAPS * tap[0] + t % TAPS * tap[1];
}

/* The squares of all taps of the filter from w on. A tap lies a power of two behind the one before, as a rule, in the same sets
** of a cache, and what is read of nine rows at a time, or asked for, would push itself out: so one square after the other is
** copied, and one soon to come is asked for, at last of those from `next` on. */
INLINE void copy_squares(const float *w, const float *next, const int64_t tap[2], int64_t row,
                         int64_t column, int64_t rows, int64_t columns,
                         float square[LANES][SQUARES][LANES]) {
  const int64_t line = column == 1 ? row : column; /* from a line of a square to the next */
  for (int t = 0; t < SQUARES; t++) {
    int later = t + SQUARES_AHEAD;
    const float *soon =
        later < SQUARES ? tap_of(w, tap, later) : tap_of(next, tap, later - SQUARES);
    for (int64_t k = 0; k < LANES; k++) __builtin_prefetch(soon + k * line, 0, 2);
    copy_square(tap_of(w, tap, t), row, column, rows, columns, t, square);
  }
}

INLINE void put_filter(transform *f, put *first, put *second, const int places, const float *w,
                       const int64_t tap[2], int64_t row, int64_t column, int64_t rows,
                       int64_t columns, int nr, float *u, int64_t plane) {
  float square[LANES][SQUARES][LANES];
  const float *pixel[SQUARES];
  for (int64_t j = 0; j < nr; j += LANES, w += LANES * column)
    for (int64_t i = 0; i < rows; i += LANES) {
      int64_t some = rows - i < LANES ? rows - i : LANES;
      const float *here = w + i * row,
                  *next = i + some < rows ? here + LANES * row : w + LANES * column;
      copy_squares(here, next, tap, row, column, some, columns - j, square);
      for (int64_t a = 0; a < some; a++) {
        for (int t = 0; t < SQUARES; t++) pixel[t] = square[a][t];
        filter_row(f, first, second, places, pixel, i + a, nr, u + j, plane);
      }
    }
}

/* The filter's taps to `places` planes along an axis. */
INLINE void filter_planes(transform *f, put *first, put *second, const int places, const float *w,
                          const int64_t tap[2], int64_t row, int64_t column, int64_t rows,
                          int64_t columns, int nr, float *u, int64_t plane, bool past) {
  if (is_streamed(first, past))
    put_filter(f, stream, second, places, w, tap, row, column, rows, columns, nr, u, plane);
  else
    put_filter(f, first, second, places, w, tap, row, column, rows, columns, nr, u, plane);
}

/* `places` planes along an axis to the taps of the filter's gradient. */
INLINE void filter_gradient_taps(transform *f, const int places, const float *u, int64_t plane,
                                 int64_t n, float *gw, int64_t tap) {
  epilogue_part nothing = {0};
  float *pixel[SQUARES], whole[MOST * MOST][LANES];
  int64_t i = 0;
  for (int t = 0; t < SQUARES; t++) pixel[t] = gw + t * tap;
  for (; i + LANES <= n; i += LANES)
    to_pixels(f, places, TAPS, u + i, plane, &nothing, SHIFT, NULL, pixel, i, LANES, false);
  if (i == n) return;
  for (int t = 0; t < all_of(places); t++) store(whole[t], load_part(u + t * plane + i, n - i));
  to_pixels(f, places, TAPS, whole[0], LANES, &nothing, SHIFT, NULL, pixel, i, n - i, false);
}

#endif

#include <stddef.h>

#include "kernels/tile.h"
#include "kernels/vector.h"
#include "kernels/winograd.h"

/* The points are 0, +-PA, +-PB and infinity. All constants of B and A are exact in single precision. */
#define PA 0.625f
#define PB 1.375f
#define A2 (PA * PA)
#define B2 (PB * PB)
#define NA (2 * A2 * (A2 - B2))
#define NB (2 * B2 * (B2 - A2))

/* One dimension of each transform: B^T d, A^T m, A y, G g, G^T u. */
INLINE void input_1d(vec o[6], vec d0, vec d1, vec d2, vec d3, vec d4, vec d5) {
  vec even_b = d4 - B2 * d2, odd_b = d3 - B2 * d1, even_a = d4 - A2 * d2, odd_a = d3 - A2 * d1;
  o[0] = (A2 * B2) * d0 - (A2 + B2) * d2 + d4;
  o[1] = even_b + PA * odd_b;
  o[2] = even_b - PA * odd_b;
  o[3] = even_a + PB * odd_a;
  o[4] = even_a - PB * odd_a;
  o[5] = (A2 * B2) * d1 - (A2 + B2) * d3 + d5;
}

INLINE void output_1d(vec o[4], vec m0, vec m1, vec m2, vec m3, vec m4, vec m5) {
  vec sum_a = m1 + m2, difference_a = m1 - m2, sum_b = m3 + m4, difference_b = m3 - m4;
  o[0] = m0 + sum_a + sum_b;
  o[1] = PA * difference_a + PB * difference_b;
  o[2] = A2 * sum_a + B2 * sum_b;
  o[3] = (PA * A2) * difference_a + (PB * B2) * difference_b + m5;
}

INLINE void gradient_1d(vec o[6], vec y0, vec y1, vec y2, vec y3) {
  vec even_a = y0 + A2 * y2, odd_a = y1 + A2 * y3, even_b = y0 + B2 * y2, odd_b = y1 + B2 * y3;
  o[0] = y0;
  o[1] = even_a + PA * odd_a;
  o[2] = even_a - PA * odd_a;
  o[3] = even_b + PB * odd_b;
  o[4] = even_b - PB * odd_b;
  o[5] = y3;
}

INLINE void filter_1d(vec o[6], vec g0, vec g1, vec g2) {
  vec even_a = g0 + A2 * g2, even_b = g0 + B2 * g2;
  o[0] = g0 * (1 / (A2 * B2));
  o[1] = (even_a + PA * g1) * (1 / NA);
  o[2] = (even_a - PA * g1) * (1 / NA);
  o[3] = (even_b + PB * g1) * (1 / NB);
  o[4] = (even_b - PB * g1) * (1 / NB);
  o[5] = g2;
}

INLINE void filter_gradient_1d(vec o[3], vec u0, vec u1, vec u2, vec u3, vec u4, vec u5) {
  vec sum_a = (u1 + u2) * (1 / NA), sum_b = (u3 + u4) * (1 / NB);
  o[0] = u0 * (1 / (A2 * B2)) + sum_a + sum_b;
  o[1] = (u1 - u2) * (PA / NA) + (u3 - u4) * (PB / NB);
  o[2] = A2 * sum_a + B2 * sum_b + u5;
}

/* n floats, n >= LANES meaning a whole vector: the last vector of channels may be a part. */
INLINE vec load_n(const float *p, int64_t n) { return n >= LANES ? load(p) : load_part(p, n); }

INLINE void input_vector(const float *const pixel[36], int64_t c, int64_t n, float *v,
                         int64_t plane) {
  vec half[6][6];
  for (int s = 0; s < 6; s++) {
    vec o[6];
    input_1d(o, load_n(pixel[s] + c, n), load_n(pixel[6 + s] + c, n), load_n(pixel[12 + s] + c, n),
             load_n(pixel[18 + s] + c, n), load_n(pixel[24 + s] + c, n),
             load_n(pixel[30 + s] + c, n));
    for (int r = 0; r < 6; r++) half[r][s] = o[r];
  }
  for (int r = 0; r < 6; r++) {
    vec o[6];
    input_1d(o, half[r][0], half[r][1], half[r][2], half[r][3], half[r][4], half[r][5]);
    for (int s = 0; s < 6; s++, v += plane) store(v, o[s]);
  }
}

static void input(const float *const pixel[36], int64_t C, float *v, int64_t plane, int64_t chunk) {
  int64_t c = 0;
  for (; c + LANES <= C; c += LANES)
    input_vector(pixel, c, LANES, v + c / CVL_CHUNK * chunk + c % CVL_CHUNK, plane);
  if (c < C) input_vector(pixel, c, C - c, v + c / CVL_CHUNK * chunk + c % CVL_CHUNK, plane);
}

INLINE void output_vector(const float *m, int64_t plane, vec bias, float *const pixel[16],
                          int64_t k, int64_t n) {
  vec half[4][6];
  for (int s = 0; s < 6; s++, m += plane) {
    vec o[4];
    output_1d(o, load(m), load(m + 6 * plane), load(m + 12 * plane), load(m + 18 * plane),
              load(m + 24 * plane), load(m + 30 * plane));
    for (int r = 0; r < 4; r++) half[r][s] = o[r];
  }
  for (int r = 0; r < 4; r++) {
    vec o[4];
    output_1d(o, half[r][0], half[r][1], half[r][2], half[r][3], half[r][4], half[r][5]);
    for (int s = 0; s < 4; s++) {
      if (pixel[r * 4 + s] == NULL) continue;
      if (n >= LANES)
        store(pixel[r * 4 + s] + k, o[s] + bias);
      else
        store_part(pixel[r * 4 + s] + k, o[s] + bias, n);
    }
  }
}

static void output(const float *m, int64_t plane, int64_t columns, const float *bias,
                   float *const pixel[16]) {
  int64_t k = 0;
  for (; k + LANES <= columns; k += LANES)
    output_vector(m + k, plane, bias != NULL ? load(bias + k) : (vec){0}, pixel, k, LANES);
  if (k < columns) {
    int64_t n = columns - k;
    output_vector(m + k, plane, bias != NULL ? load_part(bias + k, n) : (vec){0}, pixel, k, n);
  }
}

INLINE void gradient_vector(const float *const pixel[16], int64_t k, int64_t n, float *z,
                            int64_t plane) {
  vec half[6][4];
  for (int s = 0; s < 4; s++) {
    vec o[6];
    gradient_1d(o, load_n(pixel[s] + k, n), load_n(pixel[4 + s] + k, n),
                load_n(pixel[8 + s] + k, n), load_n(pixel[12 + s] + k, n));
    for (int r = 0; r < 6; r++) half[r][s] = o[r];
  }
  for (int r = 0; r < 6; r++) {
    vec o[6];
    gradient_1d(o, half[r][0], half[r][1], half[r][2], half[r][3]);
    for (int s = 0; s < 6; s++, z += plane) store(z, o[s]);
  }
}

static void gradient(const float *const pixel[16], int64_t K, float *z, int64_t plane,
                     int64_t panel, int nr) {
  int64_t whole = (K + nr - 1) / nr * nr; /* the last panel is filled with zeros */
  for (int64_t k = 0; k < whole; k += LANES) {
    float *to = z + k / nr * panel + k % nr;
    if (k + LANES <= K)
      gradient_vector(pixel, k, LANES, to, plane);
    else
      gradient_vector(pixel, k, k < K ? K - k : 0, to, plane);
  }
}

INLINE void filter_vector(const vec w[9], float *u, int64_t plane) {
  vec half[6][3];
  for (int s = 0; s < 3; s++) {
    vec o[6];
    filter_1d(o, w[s], w[3 + s], w[6 + s]);
    for (int r = 0; r < 6; r++) half[r][s] = o[r];
  }
  for (int r = 0; r < 6; r++) {
    vec o[6];
    filter_1d(o, half[r][0], half[r][1], half[r][2]);
    for (int s = 0; s < 6; s++, u += plane) store(u, o[s]);
  }
}

static void filter(const float *w, int64_t tap, int64_t row, int64_t column, bool backwards,
                   int64_t rows, int64_t columns, int nr, float *u, int64_t plane) {
  for (int64_t j = 0; j < nr; j += LANES) {
    int64_t n = columns - j < 0 ? 0 : columns - j;
    for (int64_t i = 0; i < rows; i += LANES) {
      /* A square of the filter at a time: when its columns are far apart, its rows are near, and every line of the cache
      ** that is fetched is used whole. */
      float square[9][LANES][LANES];
      int64_t some = rows - i < LANES ? rows - i : LANES;
      for (int t = 0; t < 9; t++) {
        const float *from = w + (backwards ? 8 - t : t) * tap + i * row + j * column;
        for (int64_t a = 0; a < some; a++)
          for (int64_t b = 0; b < LANES; b++)
            square[t][a][b] = b < n ? from[a * row + b * column] : 0;
      }
      for (int64_t a = 0; a < some; a++) {
        vec taps[9];
        for (int t = 0; t < 9; t++) taps[t] = load(square[t][a]);
        filter_vector(taps, u + (i + a) * nr + j, plane);
      }
    }
  }
}

INLINE void filter_gradient_vector(const float *u, int64_t plane, int64_t n, float *gw,
                                   int64_t tap) {
  vec half[3][6];
  for (int s = 0; s < 6; s++, u += plane) {
    vec o[3];
    filter_gradient_1d(o, load_n(u, n), load_n(u + 6 * plane, n), load_n(u + 12 * plane, n),
                       load_n(u + 18 * plane, n), load_n(u + 24 * plane, n),
                       load_n(u + 30 * plane, n));
    for (int r = 0; r < 3; r++) half[r][s] = o[r];
  }
  for (int r = 0; r < 3; r++) {
    vec o[3];
    filter_gradient_1d(o, half[r][0], half[r][1], half[r][2], half[r][3], half[r][4], half[r][5]);
    for (int s = 0; s < 3; s++, gw += tap)
      if (n >= LANES)
        store(gw, o[s]);
      else
        store_part(gw, o[s], n);
  }
}

static void filter_gradient(const float *u, int64_t plane, int64_t n, float *gw, int64_t tap) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) filter_gradient_vector(u + i, plane, LANES, gw + i, tap);
  if (i < n) filter_gradient_vector(u + i, plane, n - i, gw + i, tap);
}

const cvl_winograd CVL_ISA_NAME(cvl_winograd) = {input, output, gradient, filter, filter_gradient};

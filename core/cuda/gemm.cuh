/*
** c = a b in tiles: the loop that convolution and matrix products share. A block makes TILE x TILE results, a thread
** EACH x EACH of them, DEPTH products at a time through shared memory; the order of additions is k = 0, 1, 2, ...
**
** An operand says what its elements are. `line` is its index that stays (of a: the row, of b: the column), `step` the one
** that is summed over; both are prepared apart, because a thread meets the same few again and again.
**   struct operand {
**     static const bool steps_fast;       memory runs along k: neighbouring threads then take neighbouring k
**     line line_of(int i) const;          step step_of(int k) const;
**     T at(line, step) const; }
** Indices are 32 bits wide, which divide fast; addresses are the operand's matter.
*/
#ifndef CVL_CUDA_GEMM_CUH
#define CVL_CUDA_GEMM_CUH

#include <stdint.h>

namespace gemm {

enum { TILE = 64, DEPTH = 16, EACH = 4, SIDE = TILE / EACH, THREADS = SIDE * SIDE, PAD = 4 };

template <typename T> struct shared_tiles { T a[DEPTH][TILE + PAD], b[DEPTH][TILE + PAD]; };

/* Loads an operand's part of a tile; elements outside of it are 0. */
template <typename T, typename Operand> struct loader {
  enum { LINES = Operand::steps_fast ? TILE * DEPTH / THREADS : 1, PER = TILE * DEPTH / THREADS };
  const Operand &from;
  int lines, first;
  typename Operand::line line[LINES];

  __device__ int line_at(int i) const {
    return Operand::steps_fast ? (int)threadIdx.x / DEPTH + i * (THREADS / DEPTH)
                               : (int)threadIdx.x % TILE;
  }
  __device__ int step_at(int i) const {
    return Operand::steps_fast ? (int)threadIdx.x % DEPTH
                               : (int)threadIdx.x / TILE + i * (THREADS / TILE);
  }
  __device__ loader(const Operand &o, int count, int start) : from(o), lines(count), first(start) {
    for (int i = 0; i < LINES; i++)
      if (first + line_at(i) < lines) line[i] = from.line_of(first + line_at(i));
  }
  __device__ void load(T (*to)[TILE + PAD], int k, int end) const {
    typename Operand::step step;
    if (Operand::steps_fast && k + step_at(0) < end) step = from.step_of(k + step_at(0));
#pragma unroll
    for (int i = 0; i < PER; i++) {
      bool inside = first + line_at(i) < lines && k + step_at(i) < end;
      if (!Operand::steps_fast && inside) step = from.step_of(k + step_at(i));
      to[step_at(i)][line_at(i)] = inside ? from.at(line[Operand::steps_fast ? i : 0], step) : T(0);
    }
  }
};

/* Calls store(row, column, sum) for every result of the tile at `row`, `column` of M x N, summed over k in [from, to). */
template <typename T, typename A, typename B, typename Store>
__device__ void tile(shared_tiles<T> &s, const A &a, const B &b, const Store &store, int M, int N,
                     int row, int column, int from, int to) {
  const int my_row = (int)threadIdx.x / SIDE * EACH, my_column = (int)threadIdx.x % SIDE * EACH;
  loader<T, A> rows(a, M, row);
  loader<T, B> columns(b, N, column);
  T sum[EACH][EACH] = {};
  for (int k = from; k < to; k += DEPTH) {
    rows.load(s.a, k, to);
    columns.load(s.b, k, to);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
      T x[EACH], y[EACH];
#pragma unroll
      for (int i = 0; i < EACH; i++) x[i] = s.a[d][my_row + i];
#pragma unroll
      for (int i = 0; i < EACH; i++) y[i] = s.b[d][my_column + i];
#pragma unroll
      for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) sum[i][j] += x[i] * y[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (row + my_row + i < M && column + my_column + j < N)
        store(row + my_row + i, column + my_column + j, sum[i][j]);
}

} // namespace gemm

#endif

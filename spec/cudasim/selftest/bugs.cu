/*
** Kernels with one bug each, in the line that says which: a comment of the word BUG, a colon and the kind of
** violation that the engine must report there. Kernels are launched as "(grid, block, dynamic shared
** bytes)" in the comment above them says, with three buffers of 256 floats.
*/
#define KERNEL extern "C" __global__ void

/* (2, 128, 0) */
KERNEL store_past_the_end(float *x, float *y, float *) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i + 1] = x[i]; // BUG: bounds
}

/* (1, 32, 0) */
KERNEL load_before_the_start(float *x, float *y, float *) {
  y[threadIdx.x] = x[(int)threadIdx.x - 1]; // BUG: bounds
}

/* (1, 32, 0) */
KERNEL null_pointer(float *x, float *, float *) {
  float *none = (float *)((size_t)x & 1);
  *none = 1; // BUG: bounds
}

/* (1, 64, 0) */
KERNEL shared_array_too_short(float *x, float *y, float *) {
  __shared__ float s[63];
  __shared__ float other[64];
  int t = threadIdx.x;
  other[t] = x[t];
  s[t] = x[t]; // BUG: bounds
  __syncthreads();
  y[t] = s[t ^ 1] + other[t ^ 1];
}

/* (1, 64, 252) */
KERNEL dynamic_shared_too_short(float *x, float *y, float *) {
  extern __shared__ float s[];
  int t = threadIdx.x;
  s[t] = x[t]; // BUG: bounds
  __syncthreads();
  y[t] = s[63 - t];
}

/* (1, 32, 0) */
KERNEL local_array_too_short(float *x, float *y, float *) {
  float a[8];
  for (int i = 0; i < 8; i++) a[i] = x[i];
  int n = (int)x[0] + 8;
#pragma unroll 1
  for (int i = 0; i <= n; i++) a[(i * 3) & 15] += x[i]; // BUG: bounds
  y[threadIdx.x] = a[(int)x[1]];
}

/* (1, 32, 0) */
KERNEL misaligned_vector(float *x, float *y, float *) {
  float4 v = *(float4 *)(x + 4 * threadIdx.x % 64 + 1); // BUG: alignment
  y[threadIdx.x] = v.x + v.w;
}

/* (1, 64, 0) */
KERNEL missing_barrier_before_read(float *x, float *y, float *) {
  __shared__ float s[64];
  int t = threadIdx.x;
  s[t] = 0;
  __syncthreads();
  s[t] = x[t];             // BUG: race, if the reader came first
  y[t] = s[(t + 32) & 63]; // BUG: race
}

/* (1, 64, 0) */
KERNEL missing_barrier_before_write(float *x, float *y, float *) {
  __shared__ float s[64];
  int t = threadIdx.x;
  float sum = 0;
#pragma unroll 1
  for (int k = 0; k < 2; k++) {
    s[t] = x[t] * k; // BUG: race
    __syncthreads();
    sum += s[(t + 32) & 63]; // BUG: race, if the writer came first
  }
  y[t] = sum;
}

/* (1, 64, 0) */
KERNEL two_writers(float *x, float *y, float *) {
  __shared__ float s[32];
  int t = threadIdx.x;
  s[t & 31] = x[t]; // BUG: race
  __syncthreads();
  y[t] = s[t & 31];
}

/* (1, 32, 0) */
KERNEL missing_syncwarp(float *x, float *y, float *) {
  __shared__ float s[32];
  int t = threadIdx.x;
  s[t] = x[t];
  y[t] = s[t ^ 1]; // BUG: race
}

/* (1, 32, 0): the half that reads is not the half that waited */
KERNEL syncwarp_of_the_wrong_half(float *x, float *y, float *) {
  __shared__ float s[32];
  int t = threadIdx.x;
  s[t] = x[t];
  __syncwarp(t < 16 ? 0xffffu : 0xffff0000u);
  y[t] = s[(t + 16) & 31]; // BUG: race
}

/* (1, 64, 0): bytes of one word */
KERNEL race_on_bytes(float *x, float *y, float *) {
  __shared__ unsigned char s[64];
  int t = threadIdx.x;
  s[t] = (unsigned char)t;
  __syncthreads();
  s[t] = (unsigned char)x[t];  // BUG: race, if the reader came first
  if (t > 32) y[t] = s[t - 1]; // BUG: race
}

/* (2, 32, 0) */
KERNEL blocks_write_one_place(float *x, float *y, float *) {
  y[threadIdx.x] = x[threadIdx.x]; // BUG: race
}

/* (2, 32, 0) */
KERNEL blocks_add_without_atomics(float *x, float *y, float *) {
  if (threadIdx.x == 0) y[0] += x[blockIdx.x]; // BUG: race
}

/* (2, 32, 0) */
KERNEL reads_what_others_add_to(float *x, float *y, float *) {
  if (threadIdx.x == 0) atomicAdd(&y[0], x[0]);   // BUG: race, if the reader came first
  if (threadIdx.x == 1) y[1 + blockIdx.x] = y[0]; // BUG: race
}

/* (1, 64, 0) */
KERNEL barrier_for_one_warp(float *, float *y, float *) {
  if (threadIdx.x < 32) __syncthreads(); // BUG: barrier
  y[threadIdx.x] = 1;
}

/* (1, 32, 0) */
KERNEL barrier_for_half_a_warp(float *x, float *y, float *) {
  if (x[threadIdx.x] > 15) {
    y[threadIdx.x] = 1;
    __syncthreads(); // BUG: barrier
  }
}

/* (1, 64, 0) */
KERNEL different_barriers(float *x, float *y, float *z) {
  if (x[threadIdx.x] > 31) {
    y[threadIdx.x] = 1;
    __syncthreads(); // BUG: barrier
    z[threadIdx.x] = x[threadIdx.x];
  } else {
    __syncthreads(); // BUG: barrier
    z[threadIdx.x] = y[threadIdx.x + 32];
  }
}

/* (1, 32, 0) */
KERNEL shuffle_of_half_a_warp(float *x, float *y, float *) {
  float v = x[threadIdx.x];
  if (v > 15) v += __shfl_xor_sync(0xffffffff, v, 1); // BUG: warp
  y[threadIdx.x] = v;
}

/* (1, 48, 0): of the second warp only half exists */
KERNEL shuffle_from_nobody(float *x, float *y, float *) {
  float v = x[threadIdx.x];
  y[threadIdx.x] = v + __shfl_down_sync(0xffffffff, v, 16); // BUG: warp
}

/* (1, 32, 0) */
KERNEL not_in_its_own_mask(float *x, float *y, float *) {
  y[threadIdx.x] = __any_sync(0xffff, x[threadIdx.x] > 3); // BUG: warp
}

/* (1, 64, 0) */
KERNEL uninitialised_shared(float *x, float *y, float *) {
  __shared__ float s[64];
  int t = threadIdx.x;
  if (t != 5) s[t] = x[t];
  __syncthreads();
  y[t] = s[63 - t]; // BUG: uninitialised
}

/* (1, 32, 0) */
KERNEL endless_loop(float *x, float *y, float *) {
  volatile float *v = x;
  while (v[threadIdx.x] >= 0) y[threadIdx.x] += 1; // BUG: endless
}

/* (1, 32, 0) */
KERNEL trapped(float *x, float *, float *) {
  if (x[threadIdx.x] == 7) __trap(); // BUG: trap
}

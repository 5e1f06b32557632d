/* Allocations, copies and their extents, pinned memory. */
#include "test.h"

#include <cmath>
#include <cstring>

namespace {

void copies_arrive() {
  std::vector<float> v = {1, 2, 3, 4, 5};
  float *a = upload(v), *b = static_cast<float *>(device_block(20));
  CHECK(std::isnan(download(b, 5)[4])); /* new memory holds nothing of use */
  CUDA(cudaMemcpy(b, a, 20, cudaMemcpyDeviceToDevice));
  CHECK(download(b, 5) == v);
  CUDA(cudaMemset(b + 1, 0, 8));
  CHECK((download(b, 5) == std::vector<float>{1, 0, 0, 4, 5}));
  CUDA(cudaFree(a));
  CUDA(cudaFree(b));
  CHECK(cvsim_live("device") == 0);
}

void memory_ends() {
  void *a, *b;
  CUDA(cudaMalloc(&a, size_t(3) << 20));
  CUDA_IS(cudaErrorMemoryAllocation, cudaMalloc(&b, size_t(2) << 20));
  CUDA_IS(cudaErrorMemoryAllocation, cudaGetLastError());
  CUDA(cudaGetLastError()); /* not sticky */
  CUDA(cudaFree(a));
  CUDA(cudaMalloc(&b, size_t(2) << 20));
}

void freed_memory_is_reused_late() {
  void *a = device_block(4096);
  CUDA(cudaFree(a));
  CHECK(device_block(4096) != a);
}

void pinned_round_trip() {
  cudaStream_t s = new_stream();
  auto *h = static_cast<int *>(pinned_block(8192)), *d = static_cast<int *>(device_block(8192));
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 2048; i++) h[i] = i + round;
    CUDA(cudaMemcpyAsync(d, h, 8192, cudaMemcpyHostToDevice, s));
    CHECK(h[7] == 7 + round); /* reading what is only read is fine */
    CUDA(cudaStreamSynchronize(s));
    memset(h, 0, 8192);
    CUDA(cudaMemcpyAsync(h, d, 8192, cudaMemcpyDeviceToHost, s));
    CUDA(cudaStreamSynchronize(s));
    CHECK(h[2047] == 2047 + round);
  }
  CUDA(cudaFreeHost(h));
}

/* Two uses of one page: only the bytes in use are guarded. */
void pinned_neighbours() {
  cudaStream_t s = new_stream();
  auto *h = static_cast<char *>(pinned_block(4096)), *d = static_cast<char *>(device_block(4096));
  memset(h, 1, 4096);
  CUDA(cudaMemcpyAsync(d, h, 256, cudaMemcpyHostToDevice, s));
  h[256] = 2;
  CUDA(cudaMemcpyAsync(d + 256, h + 256, 256, cudaMemcpyHostToDevice, s));
  h[512] = 3;
  CUDA(cudaStreamSynchronize(s));
  h[0] = 4;
  CHECK(download(d + 256, 1)[0] == 2);
}

void pageable_source_may_change() {
  cudaStream_t s = new_stream();
  std::vector<int> v(100, 7);
  auto *d = static_cast<int *>(device_block(400));
  CUDA(cudaMemcpyAsync(d, v.data(), 400, cudaMemcpyHostToDevice, s));
  std::fill(v.begin(), v.end(), 8);
  CUDA(cudaStreamSynchronize(s));
  CHECK(download(d, 100)[99] == 7);
}

void use_after_free() {
  auto *d = static_cast<char *>(device_block(100));
  CUDA(cudaFree(d));
  CUDA(cudaMemset(d, 0, 100));
  CUDA(cudaDeviceSynchronize());
}

void free_twice() {
  void *d = device_block(100);
  CUDA(cudaFree(d));
  cudaFree(d);
}

void free_the_middle() { cudaFree(static_cast<char *>(device_block(100)) + 8); }

void host_reads_device() {
  auto *d = static_cast<volatile float *>(device_block(64));
  printf("%f\n", double(d[3]));
}

void host_writes_device() { static_cast<volatile float *>(device_block(64))[0] = 1; }

void copy_too_long() {
  std::vector<char> v(101);
  cudaMemcpy(device_block(100), v.data(), 101, cudaMemcpyHostToDevice);
}

void copy_starts_before() {
  std::vector<char> v(8);
  cudaMemcpy(v.data(), static_cast<char *>(device_block(100)) - 4, 8, cudaMemcpyDeviceToHost);
}

void fill_too_long() {
  CUDA(cudaMemsetAsync(device_block(100), 0, 101, new_stream()));
  cudaDeviceSynchronize();
}

void wrong_direction() {
  char v[8];
  cudaMemcpy(v, device_block(8), 8, cudaMemcpyHostToDevice);
}

void other_device() {
  cudaStream_t s;
  void *d = device_block(64);
  CUDA(cudaSetDevice(1));
  CUDA(cudaStreamCreate(&s));
  CUDA(cudaMemsetAsync(d, 0, 64, s));
  cudaStreamSynchronize(s);
}

void read_before_sync() {
  cudaStream_t s = new_stream();
  auto *h = static_cast<volatile int *>(pinned_block(400));
  auto *d = static_cast<int *>(device_block(400));
  CUDA(cudaMemsetAsync(d, 0, 400, s));
  CUDA(cudaMemcpyAsync(const_cast<int *>(h), d, 400, cudaMemcpyDeviceToHost, s));
  printf("%d\n", h[99]);
}

void write_before_sync() {
  cudaStream_t s = new_stream();
  auto *h = static_cast<volatile int *>(pinned_block(400));
  h[0] = 1;
  CUDA(cudaMemcpyAsync(device_block(400), const_cast<int *>(h), 400, cudaMemcpyHostToDevice, s));
  h[0] = 2;
}

/* Synchronising with another stream does not help. */
void wrong_sync() {
  cudaStream_t s = new_stream(), t = new_stream();
  auto *h = static_cast<volatile int *>(pinned_block(400));
  auto *d = static_cast<int *>(device_block(400));
  CUDA(cudaMemsetAsync(d, 0, 400, s));
  CUDA(cudaMemcpyAsync(const_cast<int *>(h), d, 400, cudaMemcpyDeviceToHost, s));
  CUDA(cudaStreamSynchronize(t));
  printf("%d\n", h[0]);
}

void pinned_after_free() {
  auto *h = static_cast<volatile int *>(pinned_block(64));
  CUDA(cudaFreeHost(const_cast<int *>(h)));
  h[0] = 1;
}

const Cases all({
    {"copies arrive", copies_arrive, nullptr, nullptr},
    {"memory ends", memory_ends, nullptr, "CVSIM_MEMORY=4"},
    {"freed memory is reused late", freed_memory_is_reused_late, nullptr, nullptr},
    {"pinned round trip", pinned_round_trip, nullptr, nullptr},
    {"pinned neighbours", pinned_neighbours, nullptr, nullptr},
    {"pageable source may change", pageable_source_may_change, nullptr, nullptr},
    {"use after free", use_after_free, "do not lie in one live allocation", nullptr},
    {"free twice", free_twice, "not the start of a live allocation", nullptr},
    {"free the middle", free_the_middle, "not the start of a live allocation", nullptr},
    {"host reads device memory", host_reads_device, "itself reads device memory", nullptr},
    {"host writes device memory", host_writes_device, "itself writes device memory", nullptr},
    {"copy too long", copy_too_long, "do not lie in one live allocation", nullptr},
    {"copy starts before", copy_starts_before, "do not lie in one live allocation", nullptr},
    {"fill too long", fill_too_long, "do not lie in one live allocation", nullptr},
    {"wrong direction", wrong_direction, "the direction is", nullptr},
    {"memory of another device", other_device, "belongs to device 0", nullptr},
    {"read before sync", read_before_sync, "reads pinned memory", nullptr},
    {"write before sync", write_before_sync, "writes pinned memory", nullptr},
    {"sync with another stream", wrong_sync, "reads pinned memory", nullptr},
    {"pinned memory after free", pinned_after_free, "that it has freed", nullptr},
});

} // namespace

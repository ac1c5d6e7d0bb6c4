// Runs one kernel or program that is wrong, or right, by name; race_test.cpp looks at how it ends.
// Each wrong one gives a right result more often than not: what finds it is a sanitizer.
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "kernels/device.h"
#include "nccl_fixture.h"

namespace lockstep::test {

__global__ void reverse_without_barrier(float* values) {
  auto* tile = device::shared<float>(0, blockDim.x);
  tile[threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// Lacks a barrier between the reads and the writes after the first.
__global__ void write_after_read(float* values) {
  auto* tile = device::shared<float>(0, blockDim.x);
  tile[threadIdx.x] = 1.0F;
  __syncthreads();
  values[threadIdx.x] = tile[(threadIdx.x + 1) % blockDim.x];
  tile[threadIdx.x] = 2.0F;
  __syncthreads();
  values[threadIdx.x] += tile[(threadIdx.x + 1) % blockDim.x];
}

__global__ void same_place_in_all_blocks(float* values) {
  values[threadIdx.x] = static_cast<float>(blockIdx.x);
}

__global__ void last_block_without_fence(float* partial, unsigned* ended, float* out) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = 1.0F;
  if (atomicAdd(ended, 1U) != gridDim.x - 1) return;
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += partial[block];
  *out = sum;
}

__global__ void lanes_without_syncwarp(float* out) {
  auto* tile = device::shared<float>(0, 32);
  tile[threadIdx.x] = 1.0F;
  __shfl_xor_sync(0xffffffffU, 0, 1);  // orders no memory
  out[threadIdx.x] = tile[threadIdx.x ^ 1U];
}

__global__ void copy_without_barrier(const float* from, float* to) {
  auto* tile = device::shared<float>(0, 4 * blockDim.x);
  device::copy_async_16(tile + 4 * threadIdx.x, from + 4 * threadIdx.x);
  device::commit_copies();
  device::wait_copies<0>();
  to[threadIdx.x] = tile[4 * ((threadIdx.x + 1) % blockDim.x)];
}

__global__ void write_beyond(float* values) {
  values[16 + threadIdx.x] = 1.0F;
}

__global__ void write_beyond_shared(float* out) {
  auto* tile = device::shared<float>(0, 32);
  tile[32 + threadIdx.x] = 1.0F;
  *out = tile[0];
}

namespace {

// Two streams, and between them what `connect` does.
void two_streams(const std::function<void(cudaStream_t, cudaStream_t)>& connect) {
  const cudaStream_t first = new_stream();
  const cudaStream_t second = new_stream();
  auto* values = on_device(std::vector<float>(64, 1.0F));
  auto* sums = on_device(std::vector<float>(64, 1.0F));
  launch({.grid = 2, .block = 32, .stream = first}, axpy, 64, 1.0F, values, sums);
  connect(first, second);
  launch({.grid = 2, .block = 32, .stream = second}, axpy, 64, 1.0F, values, sums);
}

void join(cudaStream_t first, cudaStream_t second) {
  const cudaEvent_t event = new_event();
  check(cudaEventRecord(event, first), "cudaEventRecord");
  check(cudaStreamWaitEvent(second, event), "cudaStreamWaitEvent");
}

void dependent_launch(bool waits) {
  const cudaStream_t stream = new_stream();
  auto* value = on_device(std::vector<float>{0});
  auto* seen = on_device<float>(1);
  launch({.grid = 1, .block = 32, .stream = stream}, write_late, value);
  launch({.grid = 1, .block = 32, .stream = stream, .programmatic = true}, read_early, value, seen,
         waits);
}

void read_pinned(bool waits) {
  const cudaStream_t stream = new_stream();
  int* pinned = nullptr;
  check(cudaMallocHost(&pinned, sizeof(int)), "cudaMallocHost");
  launch({.grid = 1, .block = 1, .stream = stream}, set_flag, pinned, 1);
  if (waits) check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  std::printf("%d\n", *pinned);
}

void read_device_memory_on_host() {
  emulator::set_one_at_a_time(true);
  auto* values = on_device(numbered(16));
  std::printf("%g\n", static_cast<double>(values[3]));
}

// Two ranks: compute streams that make a gradient, side streams that reduce it, compute streams
// that use the sum. With the event waits of a right step, or without one of them.
void reduce_gradients(bool waits_before, bool waits_after) {
  emulator::reset(2);
  ncclComm_t comms[2];
  check(ncclCommInitAll(comms, 2, nullptr), "ncclCommInitAll");
  check(ncclGroupStart(), "ncclGroupStart");
  cudaStream_t compute[2], side[2];
  float* gradients[2];
  for (int device = 0; device < 2; ++device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    compute[device] = new_stream();
    side[device] = new_stream();
    gradients[device] = on_device(std::vector<float>(64, 1.0F));
    launch({.grid = 2, .block = 32, .stream = compute[device]}, axpy, 64, 1.0F, gradients[device],
           gradients[device]);
    if (waits_before) join(compute[device], side[device]);
    check(ncclAllReduce(gradients[device], gradients[device], 64, ncclFloat32, ncclSum,
                        comms[device], side[device]),
          "ncclAllReduce");
  }
  check(ncclGroupEnd(), "ncclGroupEnd");
  for (int device = 0; device < 2; ++device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    if (waits_after) join(side[device], compute[device]);
    launch({.grid = 2, .block = 32, .stream = compute[device]}, axpy, 64, 1.0F, gradients[device],
           gradients[device]);
  }
  for (int device = 0; device < 2; ++device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
}

// Rank 1 writes, the ranks meet, and rank 0 reads what rank 1 has written. A broadcast from rank 0
// gives that no order, an all-reduce does.
void read_after_meeting(bool all_reduce) {
  emulator::reset(2);
  ncclComm_t comms[2];
  check(ncclCommInitAll(comms, 2, nullptr), "ncclCommInitAll");
  cudaStream_t streams[2];
  float *values[2], *met[2];
  for (int device = 0; device < 2; ++device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    streams[device] = new_stream();
    values[device] = on_device(std::vector<float>(64, 1.0F));
    met[device] = on_device(std::vector<float>(1, 1.0F));
  }
  launch({.grid = 2, .block = 32, .stream = streams[1]}, axpy, 64, 1.0F, values[1], values[1]);
  check(ncclGroupStart(), "ncclGroupStart");
  for (int rank = 0; rank < 2; ++rank) {
    check(all_reduce
              ? ncclAllReduce(met[rank], met[rank], 1, ncclFloat32, ncclSum, comms[rank],
                              streams[rank])
              : ncclBroadcast(met[rank], met[rank], 1, ncclFloat32, 0, comms[rank], streams[rank]),
          "a collective");
  }
  check(ncclGroupEnd(), "ncclGroupEnd");
  check(cudaSetDevice(0), "cudaSetDevice");
  launch({.grid = 2, .block = 32, .stream = streams[0]}, axpy, 64, 1.0F, values[1], values[0]);
}

template <class... Parameters, class... Arguments>
void run(unsigned grid, std::size_t shared_bytes, void (*kernel)(Parameters...),
         Arguments... arguments) {
  const cudaStream_t stream = new_stream();
  launch({.grid = grid, .block = 32, .stream = stream, .shared_bytes = shared_bytes}, kernel,
         arguments...);
}

// All others free at the end.
const std::string kNotFreed = "not_freed";

const std::map<std::string, std::function<void()>>& cases() {
  static const std::map<std::string, std::function<void()>> all = {
      {"barrier", [] { run(4, 128, reverse_in_block, on_device<float>(128)); }},
      {"no_barrier", [] { run(1, 128, reverse_without_barrier, on_device<float>(32)); }},
      {"write_after_read", [] { run(1, 128, write_after_read, on_device<float>(32)); }},
      {"blocks", [] { run(2, 0, same_place_in_all_blocks, on_device<float>(32)); }},
      {"no_fence",
       [] {
         run(4, 0, last_block_without_fence, on_device<float>(4),
             on_device(std::vector<unsigned>{0}), on_device<float>(1));
       }},
      {"no_syncwarp", [] { run(1, 128, lanes_without_syncwarp, on_device<float>(32)); }},
      {"no_barrier_after_copy",
       [] { run(1, 512, copy_without_barrier, on_device<float>(128), on_device<float>(32)); }},
      {"event_wait", [] { two_streams(join); }},
      {"no_event_wait", [] { two_streams([](cudaStream_t, cudaStream_t) {}); }},
      {"dropped_event_wait",
       [] {
         emulator::drop_event_wait(0);
         two_streams(join);
       }},
      {"dependent_launch", [] { dependent_launch(true); }},
      {"dependent_launch_without_wait", [] { dependent_launch(false); }},
      {"synchronize", [] { read_pinned(true); }},
      {"no_synchronize", [] { read_pinned(false); }},
      {"collective", [] { reduce_gradients(true, true); }},
      {"no_wait_before_collective", [] { reduce_gradients(false, true); }},
      {"no_wait_after_collective", [] { reduce_gradients(true, false); }},
      {"all_reduce_orders_ranks", [] { read_after_meeting(true); }},
      {"broadcast_orders_after_its_root_alone", [] { read_after_meeting(false); }},
      {"beyond_allocation", [] { run(1, 0, write_beyond, on_device<float>(32)); }},
      {"beyond_shared", [] { run(1, 128, write_beyond_shared, on_device<float>(1)); }},
      {"host_reads_device", read_device_memory_on_host},
      {kNotFreed, [] { (void)on_device<float>(3); }},
  };
  return all;
}

}  // namespace
}  // namespace lockstep::test

int main(int count, char** arguments) {
  if (count != 2 || !lockstep::test::cases().contains(arguments[1])) return 2;
  lockstep::emulator::reset();
  lockstep::test::cases().at(arguments[1])();
  lockstep::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  if (arguments[1] != lockstep::test::kNotFreed) lockstep::emulator::reset();
  return 0;
}

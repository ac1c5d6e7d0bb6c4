// What kernels call in the emulator's library. That library is compiled without ThreadSanitizer's
// instrumentation and orders device threads only where CUDA does; what touches memory of the kernel
// is inline in the headers beside this one, so that a sanitizer sees it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vector_types.h"

namespace lockstep::emulator {

// Where in a kernel's source something was called.
struct Site {
  const char* file = "";
  int line = 0;

  // As a default argument: where the function that has it was called.
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// Of the calling device thread. Outside a kernel they end the program with a message.
uint3 thread_index();
uint3 block_index();
dim3 block_dimensions();
dim3 grid_dimensions();
unsigned lane_index();

// Barriers. `block_barrier` returns for how many threads `predicate` was not zero.
int block_barrier(int predicate, int* threads, Site site);
void warp_barrier(unsigned mask, Site site);
void cluster_barrier_arrive(Site site);
void cluster_barrier_wait(Site site);

enum class Shuffle { index, up, down, exclusive_or };
std::uint64_t shuffle(Shuffle kind, unsigned mask, std::uint64_t value, unsigned operand, int width,
                      Site site);
// The lanes of `mask` that still run, in the high half; those with a predicate in the low half.
std::uint64_t vote(unsigned mask, bool predicate, Site site);

// The memory order of the atomic that follows: it releases where a fence came before it, and is
// none at all where a test leaves it out. May let other threads run.
enum class AtomicOrder { none, relaxed, release };
AtomicOrder before_atomic(const void* address, Site site);
void fence(Site site);
void yield();
// Counts steps in virtual time, for a thread that works long and meets no others.
void work(std::uint64_t steps);
[[noreturn]] void trap(const char* what, Site site);

// Dynamic shared memory.
void* shared_memory(std::size_t offset, std::size_t bytes, std::size_t alignment, Site site);
void* map_shared(const void* shared, unsigned rank, Site site);
unsigned cluster_rank();
unsigned cluster_size();

// Programmatic dependent launch.
void wait_for_dependency(Site site);
void launch_dependents();

// cp.async: a copy is queued with the value that its source had, committed in groups, and handed
// back when it is due. `early` says whether the value or the source as it then is counts.
struct AsyncCopy {
  void* shared;
  const void* global;
  uint4 value;
  bool early;
};
void async_copy_issue(const AsyncCopy& copy);
void async_copy_commit();
bool async_copy_due(unsigned keep_groups, AsyncCopy* copy);

// mbarrier, in a 64-bit word of shared memory.
void mbarrier_init(std::uint64_t* barrier, unsigned arrivals);
void mbarrier_arrive(std::uint64_t* barrier, Site site);
bool mbarrier_try_wait(std::uint64_t* barrier, unsigned parity, Site site);

// Tensor cores: D = A B + C, fragments as PTX lays them out.
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const float (&c)[4], Site site);
void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const float (&c)[4], Site site);
// `row` is the row that this lane's address names; `count` matrices, 1, 2 or 4.
void load_matrices(std::uint32_t* registers, int count, bool transposed, const uint4& row,
                   Site site);

}  // namespace lockstep::emulator

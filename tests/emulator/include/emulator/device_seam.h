// kernels/device.h on the emulator. Included by it alone. Memory of the kernel is touched here,
// inline, where sanitizers see it.
#pragma once

#include <cmath>
#include <cstring>

#include "emulator/device_runtime.h"

namespace lockstep::device {

template <class T>
T* shared(std::size_t offset, std::size_t count, Site site) {
  return static_cast<T*>(emulator::shared_memory(offset, count * sizeof(T), alignof(T), site));
}

// Whoever reads the target too early reads NaN, and races with this write and the real one.
inline void copy_async_16(void* to_shared, const void* from_global) {
  emulator::AsyncCopy copy{to_shared, from_global, {}, false};
  std::memcpy(&copy.value, from_global, sizeof copy.value);
  constexpr uint4 kNotYet = {~0U, ~0U, ~0U, ~0U};
  std::memcpy(to_shared, &kNotYet, sizeof kNotYet);
  emulator::async_copy_issue(copy);
}

inline void commit_copies() {
  emulator::async_copy_commit();
}

template <unsigned Pending>
void wait_copies() {
  emulator::AsyncCopy copy;
  while (emulator::async_copy_due(Pending, &copy)) {
    const void* source = copy.early ? &copy.value : copy.global;
    std::memcpy(copy.shared, source, sizeof copy.value);
  }
}

inline std::uint32_t to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (!std::isfinite(value)) return std::isnan(value) ? 0x7fffffffU & 0xffffe000U : bits;
  return (bits + 0x1000U) & 0xffffe000U;
}

inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     const float (&c)[4], Site site) {
  emulator::mma_tf32(d, a, b, c, site);
}

inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     const float (&c)[4], Site site) {
  emulator::mma_bf16(d, a, b, c, site);
}

// The thread that names a row reads it.
template <int Count>
void load_matrices(std::uint32_t (&r)[Count], const void* row, Site site) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
  uint4 values{};
  if (emulator::lane_index() < 8 * Count) std::memcpy(&values, row, sizeof values);
  emulator::load_matrices(r, Count, false, values, site);
}

template <int Count>
void load_matrices_transposed(std::uint32_t (&r)[Count], const void* row, Site site) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
  uint4 values{};
  if (emulator::lane_index() < 8 * Count) std::memcpy(&values, row, sizeof values);
  emulator::load_matrices(r, Count, true, values, site);
}

inline unsigned cluster_rank() {
  return emulator::cluster_rank();
}

inline unsigned cluster_size() {
  return emulator::cluster_size();
}

inline void cluster_arrive(Site site) {
  emulator::cluster_barrier_arrive(site);
}

inline void cluster_wait(Site site) {
  emulator::cluster_barrier_wait(site);
}

template <class T>
T* of_block(T* in_shared, unsigned rank, Site site) {
  return static_cast<T*>(emulator::map_shared(in_shared, rank, site));
}

// The write, and the reads below, show a sanitizer who uses an mbarrier before it is published.
inline void init_mbarrier(Mbarrier* barrier, unsigned arrivals) {
  *barrier = 0;
  emulator::mbarrier_init(barrier, arrivals);
}

inline void fence_mbarriers() {}

inline void arrive(Mbarrier* barrier, Site site) {
  (void)__atomic_load_n(barrier, __ATOMIC_RELAXED);
  emulator::mbarrier_arrive(barrier, site);
}

inline void arrive_at(Mbarrier* barrier, unsigned rank, Site site) {
  arrive(of_block(barrier, rank, site), site);
}

inline bool try_wait(Mbarrier* barrier, unsigned parity, Site site) {
  (void)__atomic_load_n(barrier, __ATOMIC_RELAXED);
  return emulator::mbarrier_try_wait(barrier, parity, site);
}

inline void wait_for_previous_kernel(Site site) {
  emulator::wait_for_dependency(site);
}

inline void launch_next_kernel() {
  emulator::launch_dependents();
}

inline unsigned load_acquire(const unsigned* flag, Site site) {
  if (emulator::before_atomic(flag, site) == emulator::AtomicOrder::none) return *flag;
  return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

inline void store_release(unsigned* flag, unsigned value, Site site) {
  if (emulator::before_atomic(flag, site) == emulator::AtomicOrder::none) {
    *flag = value;
  } else {
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
  }
}

}  // namespace lockstep::device

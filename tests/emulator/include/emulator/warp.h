// Warp shuffles, votes and __syncwarp. A lane of the mask that has left the kernel is not waited
// for; reading from a lane that takes no part gives all bits set.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

template <class T>
T shuffle_value(Shuffle kind, unsigned mask, T value, unsigned operand, int width, Site site) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(kind, mask, bits, operand, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace lockstep::emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return lockstep::emulator::shuffle_value(lockstep::emulator::Shuffle::index, mask, value,
                                           static_cast<unsigned>(lane), width, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return lockstep::emulator::shuffle_value(lockstep::emulator::Shuffle::up, mask, value, delta,
                                           width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return lockstep::emulator::shuffle_value(lockstep::emulator::Shuffle::down, mask, value, delta,
                                           width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return lockstep::emulator::shuffle_value(lockstep::emulator::Shuffle::exclusive_or, mask, value,
                                           static_cast<unsigned>(lane_mask), width, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  return static_cast<unsigned>(lockstep::emulator::vote(mask, predicate != 0, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  const std::uint64_t votes = lockstep::emulator::vote(mask, predicate != 0, {file, line});
  return static_cast<unsigned>(votes) == static_cast<unsigned>(votes >> 32);
}
inline void __syncwarp(unsigned mask = 0xffffffffU, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  lockstep::emulator::warp_barrier(mask, {file, line});
}

// CUDA promises no more than that the calling lane is among them, and neither does this.
inline unsigned __activemask() {
  return 1U << lockstep::emulator::lane_index();
}

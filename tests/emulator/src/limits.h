// The emulated device's limits: those of a Hopper GPU, but for the number of multiprocessors.
#pragma once

namespace lockstep::emulator {

inline constexpr int kBlockThreads = 1024;
inline constexpr int kBlockDepth = 64;
inline constexpr int kGridWidth = 2147483647;
inline constexpr int kGridHeight = 65535;
inline constexpr int kSharedBytes = 48 << 10;
inline constexpr int kSharedBytesOptIn = 227 << 10;
inline constexpr int kSharedBytesMultiprocessor = 228 << 10;
inline constexpr int kMultiprocessorThreads = 2048;
inline constexpr int kClusterBlocks = 8;
inline constexpr int kClusterBlocksNonPortable = 16;
inline constexpr int kClockKilohertz = 1'980'000;
inline constexpr int kMemoryClockKilohertz = 2'619'000;
inline constexpr int kMemoryBusBits = 5120;
// 10 major + minor: what kernels are compiled for begins here.
inline constexpr int kOldestCapability = 75;

}  // namespace lockstep::emulator

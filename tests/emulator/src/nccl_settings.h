// What environment variables and emulator/communication.h set.
#pragma once

#include <atomic>
#include <mutex>

#include "nccl.h"

namespace lockstep::emulator {

// What becomes of one occasion of one rank.
enum class Fate { normal, fails, never_arrives };

// One kind of fault. Any thread.
class RankFault {
 public:
  void choose(Fate fate, int rank, long k, ncclResult_t error);
  // Counts one more of that rank; sets `error` where it fails.
  Fate next(int rank, ncclResult_t& error);

 private:
  std::mutex mutex_;
  Fate fate_ = Fate::normal;
  int rank_ = -1;
  long remaining_ = -1;
  ncclResult_t error_ = ncclSuccess;
};

struct NcclSettings {
  NcclSettings();
  void restore();  // as at the start, but for faults: there are none

  std::atomic<double> latency;           // LOCKSTEP_EMULATOR_NCCL_LATENCY, microseconds
  std::atomic<double> bytes_per_second;  // LOCKSTEP_EMULATOR_NCCL_BANDWIDTH, MB/s
  std::atomic<int> late_enqueue;         // LOCKSTEP_EMULATOR_NCCL_LATE, microseconds
  RankFault collective, init;
  std::atomic<long> collectives_seen = 0;
};

NcclSettings& nccl_settings();

}  // namespace lockstep::emulator

// One GPU's end of NCCL: a non-blocking communicator and the stream that its collectives run in.
//
// NCCL's calls come from the owner's thread, but for ncclCommGetAsyncError and ncclCommAbort, which
// come from the watchdog's; a mutex keeps the two apart. A call on a non-blocking communicator can
// return before its kernel is in the stream, so that each is polled until it is: an event recorded
// after it then stands behind it.
#pragma once

#include <nccl.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "backend/cuda_collectives.h"
#include "comm/group_health.h"

namespace lockstep {

class NcclWatchdog;

class NcclCommunicator final : public DeviceCommunicator {
 public:
  using Clock = std::chrono::steady_clock;

  // On the owner's thread, with its GPU as the current one. Both must outlive it.
  NcclCommunicator(int rank, int size, GroupHealth& health, NcclWatchdog& watchdog);
  // Ends it together with its peers where all is well, else by an abort.
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  // Returns once all ranks have met. False at the deadline.
  bool connect(const ncclUniqueId& id, Clock::time_point deadline);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  cudaStream_t stream() const override { return stream_; }
  void all_reduce(std::span<const WireSpan> spans) override;
  void exchange(std::span<const Transfer> sends, std::span<const Transfer> receives) override;
  void check() const override { health_.check(); }
  void watch(const StepWatch& step) override;

  // The rest is for the watchdog's thread.

  // What has become of earlier calls, where something is amiss.
  std::optional<Error> async_error();
  // Ends what is queued, on this device. Later calls throw.
  void abort() noexcept;

  struct Progress {
    bool waiting = false;  // something is to come to an end
    unsigned queued = 0, done = 0;
    unsigned buckets_done = 0, buckets = 0;  // of step `done`
  };
  Progress progress();

 private:
  // Calls `queue`, which returns the first result that is an error, in a group and under the mutex;
  // then waits until NCCL has queued it all.
  template <class Queue>
  void call(const char* what, const Queue& queue);
  void checked(ncclResult_t result, const char* what) const;
  // Polls until the last call has done its part. False at the deadline.
  bool poll(Clock::time_point deadline);
  Error late_error(ncclResult_t result, const std::string& text) const;
  void finalize();

  int rank_;
  int size_;
  int device_;
  GroupHealth& health_;
  NcclWatchdog& watchdog_;
  cudaStream_t stream_ = nullptr;
  std::atomic<bool> calling_{false};
  bool connected_ = false;

  std::mutex mutex_;           // of the next two
  ncclComm_t comm_ = nullptr;  // null: not there yet, or ended
  bool ended_ = false;
  std::mutex watch_mutex_;
  StepWatch watched_;
};

}  // namespace lockstep

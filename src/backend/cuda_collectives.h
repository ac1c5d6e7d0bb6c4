// Collectives between GPUs, as steps on a GPU call them. src/comm/nccl_* implements them.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <span>

namespace lockstep {

enum class WireType { fp32, bf16 };

// Values of a type in device memory.
struct WireSpan {
  void* data = nullptr;
  std::size_t count = 0;
  WireType type = WireType::fp32;
};

// Float32 values to or from a peer. Those between two ranks match in their order.
struct Transfer {
  int peer = 0;
  float* data = nullptr;
  std::size_t count = 0;
};

// How far a step has come, for whoever watches over hangs. Any thread.
struct StepWatch {
  const std::atomic<unsigned>* queued = nullptr;  // steps queued by the host, as `steps` counts
  const std::atomic<bool>* waiting = nullptr;     // the host waits for the device
  const unsigned* steps = nullptr;                // done; in pinned mapped memory
  const unsigned* buckets = nullptr;              // reduced, of the step under way; likewise
  const std::atomic<unsigned>* all_buckets = nullptr;  // of a step
};

// One a worker, called by its thread alone, with its GPU as the current one.
class DeviceCommunicator {
 public:
  virtual ~DeviceCommunicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // What collectives are queued in: not the stream that computes. They are there when a call
  // returns, which is not to say that they have ended.
  virtual cudaStream_t stream() const = 0;

  // Sums in place over all ranks, of all spans at once.
  virtual void all_reduce(std::span<const WireSpan> spans) = 0;
  // All of them at once.
  virtual void exchange(std::span<const Transfer> sends, std::span<const Transfer> receives) = 0;

  // Throws PeerAborted where another worker stopped the run, Error (communication) where
  // communication has failed. What is queued then ends early, with any result.
  virtual void check() const = 0;

  // A step under way that makes no progress until the deadline is an error. Empty: none is.
  virtual void watch(const StepWatch& step) = 0;
};

}  // namespace lockstep

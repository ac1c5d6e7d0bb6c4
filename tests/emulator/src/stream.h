// A stream: a queue with a thread of its own, which delays operations at random and starts kernels
// on executors of its own.
#pragma once

#include <memory>
#include <vector>

#include "operation.h"
#include "random.h"
#include "worker.h"

namespace lockstep::emulator {

class Capture;

class Stream {
 public:
  // `blocking` streams keep order with the device's legacy default stream.
  Stream(Device& device, bool blocking, int priority, std::uint64_t id);

  // For the host, under Quiet and the runtime's lock. `mark` gives a signal that fires when all
  // that was put in before it has ended. In virtual time an operation does not start before it was
  // put in; a mark, which any host thread may ask for, delays nothing.
  void push(OperationPointer operation);
  std::shared_ptr<Signal> mark();

  Device& device() { return device_; }
  bool blocking() const { return blocking_; }
  int priority() const { return priority_; }

  // Guarded by the runtime's lock. What the stream waits for in the default stream is in order
  // where it has waited for as many operations as that has been given.
  std::shared_ptr<Capture> capture;
  std::uint64_t pushed = 0;
  std::uint64_t default_stream_seen = 0;

  // For operations, on the stream's thread.
  void start_grid(const KernelLaunch& launch);

 private:
  struct Executor {
    FiberPool fibers;
    Worker worker;  // after the fibers: ends first
  };

  void push(OperationPointer operation, VirtualTime earliest);
  void run(const Operation& operation);
  void delay();
  void finish_grids();

  std::shared_ptr<Signal> mark_;  // the last one given
  std::uint64_t marked_ = 0;      // `pushed` then

  Device& device_;
  const bool blocking_;
  const int priority_;
  Random random_;
  // A kernel may overlap the one before it; each executor runs every other one of those.
  std::unique_ptr<Executor> executors_[2];
  unsigned next_executor_ = 0;
  std::vector<std::shared_ptr<GridRun>> grids_;  // started, and not waited for yet
  Worker worker_;                                // last: ends first
};

// Puts an operation into a stream, or into the graph that it captures. REQUIRES Quiet and the
// runtime's lock, as what follows.
void submit(const std::shared_ptr<Stream>& stream, OperationPointer operation);

// Around what is pushed into a stream: before it, what the legacy default stream demands; after it,
// where operations run one at a time, its end.
void begin_work(const std::shared_ptr<Stream>& stream);
void end_work(const std::shared_ptr<Stream>& stream);

}  // namespace lockstep::emulator

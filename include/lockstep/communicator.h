// Collectives between workers. One Communicator per worker; its calls come from that worker's
// thread alone, except abort(), which any thread may call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lockstep/parameters.h"
#include "lockstep/trace.h"

namespace lockstep {

enum class AllReduceAlgorithm {
  ring,     // reduce-scatter and all-gather in W - 1 stages each (Patarasu, Yuan 2009)
  direct,   // the owner of a slice folds it in rank order, then all gather
  central,  // gather to rank 0, sum there, broadcast: the parameter server of the studies
  library,  // whatever MPI_Allreduce does: between processes alone
};

struct CommunicationCounters {
  int64_t calls = 0;             // collectives, of this worker
  int64_t bytes = 0;             // payload that this worker handed in
  int64_t wire_bytes = 0;        // bytes that this worker sent by the algorithm in use
  double communication = 0.0;    // seconds in which bytes were moved or added
  double hidden = 0.0;           // of them, those in which this worker computed
  double synchronization = 0.0;  // seconds spent waiting for other workers
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Starts the in-place sum of `data` over all workers; every worker calls it in the same order
  // with the same size. May return before it is complete; `data` must stay put until wait(). Sums
  // are float32; `direct` and `central` fold in rank order: ((x0 + x1) + x2) + ...
  virtual void all_reduce(std::span<float> data) = 0;
  // Moves what can be moved without waiting.
  virtual void progress() = 0;
  // Returns when every all_reduce started here is complete and its buffer may be overwritten.
  // Throws Error{communication} at the deadline, naming the ranks that did not come.
  virtual void wait() = 0;
  // all_reduce calls whose result is in place here, since the start; they complete in order.
  virtual int64_t completed() const = 0;
  virtual void broadcast(std::span<float> data, int root) = 0;
  virtual void barrier() = 0;
  // Makes every pending and later call of every worker throw. Idempotent.
  virtual void abort() noexcept = 0;

  virtual const CommunicationCounters& counters() const = 0;
  virtual void reset_counters() = 0;

  // From here on this worker's part in collectives goes into `trace` as well. Null: into none.
  virtual void record(TraceRecorder* trace) = 0;
};

}  // namespace lockstep

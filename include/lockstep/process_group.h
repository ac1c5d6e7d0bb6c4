// The processes of one job, its ranks, as a launcher started them (mpirun, srun). Each rank holds
// as many workers as --workers says, so that the world size is ranks x workers; worker w of rank r
// is worker r * workers + w of the job.
//
// What goes over a ProcessGroup is what ranks need to agree: configuration, epochs' sums, how the
// job ends. Gradients go through a Communicator.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lockstep/communicator.h"
#include "lockstep/error.h"

namespace lockstep {

// Memory that all ranks of one machine see: one segment a rank, zeroed, 128-byte aligned, touched
// first by its rank. Freed together: the destructor is collective, unless the group was aborted.
class SharedMemory {
 public:
  virtual ~SharedMemory() = default;
  // In this process's address space.
  virtual std::span<std::byte> segment(int rank) = 0;
};

// Where a rank runs.
struct Place {
  std::string host;
  int pid = 0;
  int machine = 0;    // equal for ranks that can share memory
  int neighbour = 0;  // this rank's number among those of its machine
};

// What a launcher's environment says, before any library is asked.
struct Launch {
  std::string launcher;  // "mpirun", "srun", "torchrun"; empty: started by hand
  int rank = 0;
  int size = 1;
  bool speaks_mpi = false;  // MPI_Init will find its peers
  // Among the processes that the launcher started on this machine, where torchrun tells.
  std::optional<int> local_rank = {}, local_size = {};
};
// Throws Error{usage} where the variables contradict each other (RANK without WORLD_SIZE).
Launch find_launch();

// One thread at a time calls it; every rank makes the same collective calls in the same order.
// Collectives throw Error{communication} at the deadline, naming the ranks that did not come.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const Place& place(int rank) const = 0;
  // Ranks of this rank's machine, in order.
  virtual const std::vector<int>& neighbours() const = 0;

  // Every rank's `own`, in rank order; all are of one size.
  virtual std::vector<std::byte> all_gather_bytes(std::span<const std::byte> own) = 0;
  virtual void broadcast_bytes(std::span<std::byte> data, int root) = 0;
  virtual void barrier() = 0;

  // A segment of `bytes` for every rank. Null where ranks are on several machines, or where the
  // machine has no room for it (`why` then says so). Collective, and the same answer on all.
  virtual std::unique_ptr<SharedMemory> share_memory(size_t bytes, std::string& why) = 0;
  // All-reduces between ranks by messages. At most one at a time.
  virtual std::unique_ptr<Communicator> communicator(AllReduceAlgorithm algorithm) = 0;

  // Deadline of the collectives from here on, seconds.
  virtual void set_timeout(double seconds) = 0;
  // A signal to stop that gives a rank which waits for others little time. May be null.
  virtual void watch(const std::atomic<int>* stop_signal) = 0;
  // Why a rank should wait no longer, if it should not: a process that is gone, a signal to stop.
  // Any thread.
  virtual std::optional<std::string> reason_to_give_up() const = 0;
  // The step, counted from 0, that this rank is at: for messages.
  virtual void begin_step(int64_t step) = 0;
  // "rank 2 (hostname, pid 77, stopped)".
  virtual std::string describe(int rank) const = 0;
  // The other ranks that this machine sees stopped or gone, by name, else words that say so. Any
  // thread.
  virtual std::string silent_ranks() const = 0;
  // Whether ranks can train on CPUs: communicator() works.
  virtual bool trains_on_cpus() const { return true; }

  // Ends all ranks of the job with this exit code; does not return.
  [[noreturn]] virtual void abort(int code) noexcept = 0;

  template <class T>
  std::vector<T> all_gather(const T& own) {
    static_assert(std::is_trivially_copyable_v<T>);
    return gather_as<T>(std::as_bytes(std::span(&own, 1)));
  }
  template <class T>
  std::vector<T> all_gather(std::span<const T> own) {
    static_assert(std::is_trivially_copyable_v<T>);
    return gather_as<T>(std::as_bytes(own));
  }
  template <class T>
  void broadcast(std::span<T> data, int root) {
    static_assert(std::is_trivially_copyable_v<T>);
    broadcast_bytes(std::as_writable_bytes(data), root);
  }
  // Texts of any lengths.
  std::vector<std::string> all_gather_text(std::string_view own);

 private:
  template <class T>
  std::vector<T> gather_as(std::span<const std::byte> own);
};

template <class T>
std::vector<T> ProcessGroup::gather_as(std::span<const std::byte> own) {
  const std::vector<std::byte> bytes = all_gather_bytes(own);
  std::vector<T> all(bytes.size() / sizeof(T));
  if (!all.empty()) std::memcpy(static_cast<void*>(all.data()), bytes.data(), bytes.size());
  return all;
}

// A process alone: rank 0 of 1.
ProcessGroup& single_process();

// What is known of a job before its ranks have met.
struct JoinOptions {
  double timeout = 120.0;       // seconds that ranks may take to arrive
  std::string device = "auto";  // --device and --workers: torchrun's processes meet on GPUs
  int workers = 1;
};

// Joins the job that `launch` names. Throws Error: communication where ranks did not arrive (it
// names them), usage where the launcher started several ranks and this build or this launcher's
// mode cannot connect them. A launch of one gives single_process()'s like.
std::unique_ptr<ProcessGroup> join_process_group(const Launch& launch, const JoinOptions& options);

// "Open MPI 4.1.4"; empty: this build has no MPI.
std::string mpi_version();

// A failure that every rank has seen: rank `speaker` tells of it, the others leave in silence with
// the same exit code.
struct AgreedFailure {
  Error error;
  int speaker = 0;
};

// Every rank brings the error that it met, or none. Returns at once on all; throws AgreedFailure on
// all where any brought one: the one of the lowest such rank.
void agree_on(ProcessGroup& group, const std::optional<Error>& error);

}  // namespace lockstep

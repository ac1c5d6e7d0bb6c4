// A communicator: one rank's part in it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nccl_error.h"
#include "nccl_link.h"
#include "random.h"
#include "signal.h"
#include "worker.h"

namespace lockstep::emulator {

class Capture;
class Stream;

// One call: what it is, and its buffers on this rank. Null where it has none, or none that counts.
struct Operand {
  Signature signature;
  const void* send;
  std::size_t send_bytes;
  void* receive;
  std::size_t receive_bytes;
};

// All REQUIRE Quiet and may be called from any thread, but that ranks' owners make one call at a
// time, as NCCL demands.
class Comm : public Member, public std::enable_shared_from_this<Comm> {
 public:
  Comm(int rank, int size, int device, bool blocking);

  const int rank, size, device;
  const bool blocking;

  // Waits until all ranks have come. Throws NcclFailure; ends where it is aborted meanwhile.
  void connect(const Address& address);
  // Runs it later in a thread of the communicator, which is in progress until then. What it throws
  // is the asynchronous error.
  void later(std::function<void()> task, int max_delay_microseconds);
  // Chosen at random: a call of a non-blocking communicator that does all of its work at once.
  bool at_once();

  // ncclInProgress while something is under way, else its error.
  ncclResult_t state() const;
  std::string message() const;
  void fail(ncclResult_t error, const std::string& message);
  // Throws NcclFailure where calls are refused now.
  void require_ready() const;

  // Puts calls into a stream as one operation. Throws Failure. Its end, where the emulator runs one
  // operation at a time.
  std::shared_ptr<Signal> enqueue(std::vector<Operand> operands, cudaStream_t stream);
  // On a stream's thread: does what the operation consists of.
  void exchange(const std::vector<Operand>& operands, Stream& stream);
  void expect();    // one more operation is in a stream
  void finished();  // one less

  void finalize();  // waits for the operations in streams
  bool idle() const;
  bool aborted() const;
  std::uint64_t key() const { return key_; }  // the same of all ranks; once it is connected
  // Ends what is under way and all threads of the communicator.
  void abort();

  // Of a buffer; the handle means nothing to others. Throws NcclFailure where there is no such one.
  void* add_registration();
  void remove_registration(void* registration);
  bool has_registrations() const;

  void joined(ncclResult_t result, const std::string& message) override;
  void answer(std::uint64_t id, Answer answer) override;
  void lost(const std::string& message) override;

 private:
  using Answers = std::vector<Answer>;

  std::optional<Answers> ask(const std::vector<Operand>& operands);
  void take(const Operand& operand, Answer answer);
  bool pause(double seconds);  // false where it is aborted meanwhile
  void wait_for_abort();

  std::atomic<std::uint64_t> key_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool aborted_ = false;
  bool finalized_ = false;
  bool joined_ = false;
  ncclResult_t error_ = ncclSuccess;
  std::string message_;
  int in_progress_ = 0;
  int running_ = 0;  // in exchange()
  int pending_ = 0;
  std::uint64_t next_id_ = 0;
  std::map<std::uint64_t, Answer> answers_;
  std::set<void*> registrations_;
  std::uintptr_t registrations_made_ = 0;
  Random random_;

  std::unique_ptr<Link> link_;
  std::unique_ptr<Worker> background_;

  // Guarded by the runtime's lock: the last operation, which the next comes after in any stream.
  std::shared_ptr<Signal> last_;
  std::weak_ptr<Capture> capture_;
  std::vector<std::size_t> captured_;
};

// By handle, which is never used again. Null where there is none.
std::shared_ptr<Comm> find_comm(ncclComm_t handle);
// Throws NcclFailure.
std::shared_ptr<Comm> get_comm(ncclComm_t handle);
ncclComm_t add_comm(std::shared_ptr<Comm> comm);
void remove_comm(ncclComm_t handle);
std::vector<std::shared_ptr<Comm>> all_comms();

// Aborts all communicators of the process, and forgets them.
void reset_communication();

}  // namespace lockstep::emulator

// Ranks that mpirun, mpiexec or srun started, over MPI. MPI is called by one thread at a time.
#pragma once

#include <mpi.h>

#include <chrono>
#include <string>
#include <vector>

#include "comm/launched_group.h"
#include "comm/wait.h"

namespace lockstep {

// MPI_Comm_dup of a communicator, freed with it; errors are returned, not fatal.
class MpiComm {
 public:
  explicit MpiComm(MPI_Comm of);
  MpiComm(const MpiComm&) = delete;
  MpiComm& operator=(const MpiComm&) = delete;
  ~MpiComm();
  MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

class MpiGroup final : public LaunchedGroup {
 public:
  // Starts MPI and calls the roll, all within `timeout` seconds.
  MpiGroup(const Launch& launch, double timeout);
  // Ends MPI where no error is on its way: all ranks come to it then.
  ~MpiGroup() override;

  std::vector<std::byte> all_gather_bytes(std::span<const std::byte> own) override;
  void broadcast_bytes(std::span<std::byte> data, int root) override;
  void barrier() override;
  std::unique_ptr<SharedMemory> share_memory(size_t bytes, std::string& why) override;
  std::unique_ptr<Communicator> communicator(AllReduceAlgorithm algorithm) override;

  void set_timeout(double seconds) override;
  void begin_step(int64_t step) override { step_ = step; }
  int64_t step() const { return step_; }
  // The ranks that do not answer within a second, by name: for a rank that has waited in vain.
  // Those that gave up waiting at about the same time do answer.
  std::string ranks_without_answer() const;
  [[noreturn]] void abort(int code) noexcept override;

  const WaitPolicy& policy() const { return policy_; }
  MPI_Comm world() const { return world_; }
  MPI_Comm machine() const { return machine_; }

 private:
  void find_neighbours();
  std::vector<std::byte> gather_at_root(std::span<const std::byte> own);

  MPI_Comm world_ = MPI_COMM_NULL;    // of the control plane
  MPI_Comm machine_ = MPI_COMM_NULL;  // ranks of this machine
  WaitPolicy policy_;
  double timeout_ = 0.0;
  int64_t step_ = -1;
};

}  // namespace lockstep

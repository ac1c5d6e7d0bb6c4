// A shared-memory window of MPI-3 (MPI_Win_allocate_shared): one segment a rank of this machine.
#pragma once

#include <mpi.h>

#include <vector>

#include "lockstep/process_group.h"

namespace lockstep {

class MpiMemory final : public SharedMemory {
 public:
  // Collective over `machine`, whose ranks all ask for the same size.
  MpiMemory(MPI_Comm machine, size_t bytes);
  ~MpiMemory() override;

  bool usable() const { return window_ != MPI_WIN_NULL; }
  std::span<std::byte> segment(int rank) override { return segments_[rank]; }

 private:
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<std::span<std::byte>> segments_;
};

}  // namespace lockstep

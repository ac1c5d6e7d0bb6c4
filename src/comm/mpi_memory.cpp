#include "comm/mpi_memory.h"

#include <cstring>
#include <exception>

#include "comm/mpi_check.h"
#include "lockstep/buffer.h"

namespace lockstep {

// Each rank's segment starts on a page of its own, near the processor that touches it first. Reads
// and writes are those of threads, with C++'s atomics between them (MPI-3.1, section 11.4: the
// unified memory model): the window is locked once, for all its life.
MpiMemory::MpiMemory(MPI_Comm machine, size_t bytes) {
  MPI_Info info = MPI_INFO_NULL;
  check_mpi(MPI_Info_create(&info), "MPI_Info_create");
  check_mpi(MPI_Info_set(info, "alloc_shared_noncontig", "true"), "MPI_Info_set");
  void* own = nullptr;
  const size_t room = bytes + kAlignment;  // where MPI aligns less
  const int code =
      MPI_Win_allocate_shared(static_cast<MPI_Aint>(room), 1, info, machine, &own, &window_);
  (void)MPI_Info_free(&info);
  if (code != MPI_SUCCESS) {
    window_ = MPI_WIN_NULL;
    return;
  }
  check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
  std::memset(own, 0, room);
  int size = 0;
  check_mpi(MPI_Comm_size(machine, &size), "MPI_Comm_size");
  for (int rank = 0; rank < size; ++rank) {
    MPI_Aint length = 0;
    int unit = 0;
    void* base = nullptr;
    check_mpi(MPI_Win_shared_query(window_, rank, &length, &unit, &base), "MPI_Win_shared_query");
    // The same distance in every process: they map whole pages.
    const auto address = reinterpret_cast<std::uintptr_t>(base);
    auto* aligned =
        static_cast<std::byte*>(base) + (kAlignment - address % kAlignment) % kAlignment;
    segments_.emplace_back(aligned, bytes);
  }
}

MpiMemory::~MpiMemory() {
  if (!usable() || std::uncaught_exceptions() > 0) return;
  (void)MPI_Win_unlock_all(window_);
  (void)MPI_Win_free(&window_);
}

}  // namespace lockstep

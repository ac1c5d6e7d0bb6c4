#include "comm/mpi_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "comm/mpi_check.h"
#include "comm/mpi_communicator.h"
#include "comm/mpi_memory.h"
#include "comm/mpi_wait.h"

namespace lockstep {

namespace {

// Rank 0 knows best who is missing: the others let it speak first.
constexpr double kAfterRoot = 1.0;
constexpr double kFinalizeTimeout = 10.0;
constexpr double kRollCall = 1.0;
constexpr int kTag = 1;
constexpr int kRollCallTag = 2;

// Ends the process where a call that cannot time out takes too long.
class Alarm {
 public:
  Alarm(double seconds, int exit_code, std::string message)
      : thread_([this, seconds, exit_code, message = std::move(message)] {
          std::unique_lock lock(mutex_);
          if (done_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return off_; }))
            return;
          std::fputs(message.c_str(), stderr);
          std::fflush(stderr);
          _exit(exit_code);
        }) {}
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm() {
    {
      const std::lock_guard lock(mutex_);
      off_ = true;
    }
    done_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool off_ = false;
  std::thread thread_;
};

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

// The calls by which ranks first connect cannot time out.
Alarm until_connected(int rank, int size, double timeout) {
  return {timeout, exit_code(ErrorKind::communication),
          fmt::format("error: [rank {} {}] MPI did not start within {:.0f} s: not all {} "
                      "ranks arrived\n  look at the interface that MPI took, at the "
                      "firewall, and at the machines of the ranks that say nothing\n",
                      rank, host_name(), timeout, size)};
}

void start_mpi() {
  int provided = 0;
  // A worker's thread calls MPI while the main one waits for it: never two at once.
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED) {
    throw Error(ErrorKind::communication, "this MPI lets the main thread alone call it",
                "use an MPI that is built with MPI_THREAD_SERIALIZED: Open MPI and MPICH are");
  }
}

}  // namespace

MpiComm::MpiComm(MPI_Comm of) {
  check_mpi(MPI_Comm_dup(of, &comm_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

// With an error on its way other ranks may not come to a collective call any more.
MpiComm::~MpiComm() {
  if (std::uncaught_exceptions() == 0) (void)MPI_Comm_free(&comm_);
}

MpiGroup::MpiGroup(const Launch& launch, double timeout) : LaunchedGroup(launch.launcher) {
  {
    const Alarm alarm = until_connected(launch.rank, launch.size, timeout);
    start_mpi();
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }
  int rank = 0, size = 0;
  check_mpi(MPI_Comm_rank(world_, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(world_, &size), "MPI_Comm_size");
  expect(rank, size);
  policy_.reason_to_give_up = [this] { return reason_to_give_up(); };
  set_timeout(timeout);
  if (size == 1 && launch.size > 1) {
    throw Error(ErrorKind::usage,
                fmt::format("{} started {} processes, and MPI connects none of them",
                            launch.launcher, launch.size),
                "start them with the mpirun of the MPI that this program was built with (lockstep "
                "--version), or with srun --mpi=pmix");
  }
  call_roll();
  find_neighbours();
}

MpiGroup::~MpiGroup() {
  if (std::uncaught_exceptions() > 0) return;
  const Alarm alarm(kFinalizeTimeout, exit_code(ErrorKind::communication),
                    fmt::format("error: {} waited {:.0f} s for the others to end MPI\n",
                                describe(rank()), kFinalizeTimeout));
  (void)MPI_Comm_free(&machine_);
  (void)MPI_Comm_free(&world_);
  (void)MPI_Finalize();
}

void MpiGroup::find_neighbours() {
  int first = rank();
  {
    const Alarm alarm = until_connected(rank(), size(), timeout_);
    check_mpi(MPI_Comm_split_type(world_, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &machine_),
              "MPI_Comm_split_type");
    check_mpi(MPI_Comm_set_errhandler(machine_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Bcast(&first, 1, MPI_INT, 0, machine_), "MPI_Bcast");
  }
  set_machines(all_gather(first));
}

void MpiGroup::set_timeout(double seconds) {
  timeout_ = seconds;
  policy_.timeout = std::chrono::duration<double>(seconds);
  policy_.spins = 1000;
}

std::string MpiGroup::ranks_without_answer() const {
  std::vector<MPI_Request> answers(size(), MPI_REQUEST_NULL), calls(size(), MPI_REQUEST_NULL);
  // Never freed where they are still under way: the process ends soon.
  auto* const bytes = new std::vector<char>(size());
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    check_mpi(
        MPI_Irecv(bytes->data() + peer, 1, MPI_CHAR, peer, kRollCallTag, world_, &answers[peer]),
        "MPI_Irecv");
    check_mpi(
        MPI_Isend(bytes->data() + rank(), 1, MPI_CHAR, peer, kRollCallTag, world_, &calls[peer]),
        "MPI_Isend");
  }
  const int64_t end = now_ns() + static_cast<int64_t>(1e9 * kRollCall);
  while (now_ns() < end && !(test_all(answers) && test_all(calls))) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::string silent;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank() || test_all({&answers[peer], 1})) continue;
    silent += (silent.empty() ? "" : ", ") + describe(peer);
  }
  return silent.empty() ? "ranks that all answer by now" : silent;
}

// Everybody's bytes at rank 0, by messages of its own for each: it then knows who is missing.
std::vector<std::byte> MpiGroup::gather_at_root(std::span<const std::byte> own) {
  const auto bytes = static_cast<int>(own.size());
  std::vector<std::byte> all;
  if (rank() != 0) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(own.data(), bytes, MPI_BYTE, 0, kTag, world_, &request), "MPI_Isend");
    wait_for_requests(policy_, {&request, 1}, describe(rank()), "to meet",
                      [this] { return ranks_without_answer(); });
    return all;
  }
  all.resize(own.size() * static_cast<size_t>(size()));
  std::copy(own.begin(), own.end(), all.begin());
  std::vector<MPI_Request> requests(size(), MPI_REQUEST_NULL);
  for (int rank = 1; rank < size(); ++rank) {
    check_mpi(MPI_Irecv(all.data() + own.size() * static_cast<size_t>(rank), bytes, MPI_BYTE, rank,
                        kTag, world_, &requests[rank]),
              "MPI_Irecv");
  }
  wait_for_requests(policy_, requests, describe(0), "to meet", [&] {
    std::string missing;
    for (int rank = 1; rank < size(); ++rank) {
      if (requests[rank] == MPI_REQUEST_NULL || test_all({&requests[rank], 1})) continue;
      missing += (missing.empty() ? "" : ", ") + describe(rank);
    }
    return missing.empty() ? "ranks that all answer by now" : missing;
  });
  return all;
}

std::vector<std::byte> MpiGroup::all_gather_bytes(std::span<const std::byte> own) {
  std::vector<std::byte> all = gather_at_root(own);
  all.resize(own.size() * static_cast<size_t>(size()));
  broadcast_bytes(all, 0);
  return all;
}

void MpiGroup::broadcast_bytes(std::span<std::byte> data, int root) {
  // A count of MPI is an int.
  constexpr size_t kMost = size_t{1} << 30;
  if (data.size() > kMost) {
    broadcast_bytes(data.first(kMost), root);
    return broadcast_bytes(data.subspan(kMost), root);
  }
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(
      MPI_Ibcast(data.data(), static_cast<int>(data.size()), MPI_BYTE, root, world_, &request),
      "MPI_Ibcast");
  policy_.timeout = std::chrono::duration<double>(timeout_ + kAfterRoot);
  wait_for_requests(policy_, {&request, 1}, describe(rank()), "to meet",
                    [&] { return ranks_without_answer(); });
  policy_.timeout = std::chrono::duration<double>(timeout_);
}

void MpiGroup::barrier() {
  (void)all_gather(std::byte{0});
}

std::unique_ptr<SharedMemory> MpiGroup::share_memory(size_t bytes, std::string& why) {
  if (neighbours().size() != static_cast<size_t>(size())) {
    why = "the ranks are on several machines";
    return nullptr;
  }
  auto memory = std::make_unique<MpiMemory>(machine_, bytes);
  const std::vector<int> fine = all_gather(static_cast<int>(memory->usable()));
  if (std::ranges::find(fine, 0) == fine.end()) return memory;
  // Freeing a window is collective, and some ranks have none: it stays.
  (void)memory.release();
  why = "MPI gave no shared memory: is /dev/shm too small?";
  return nullptr;
}

std::unique_ptr<Communicator> MpiGroup::communicator(AllReduceAlgorithm algorithm) {
  return std::make_unique<MpiCommunicator>(*this, algorithm);
}

void MpiGroup::abort(int code) noexcept {
  std::fflush(nullptr);
  // MPI_Abort may wait for a launcher that is gone: SIGALRM ends this process then.
  constexpr unsigned kLongest = 2;
  (void)std::signal(SIGALRM, SIG_DFL);
  (void)::alarm(kLongest);
  (void)MPI_Abort(MPI_COMM_WORLD, code);
  _exit(code);
}

std::unique_ptr<ProcessGroup> join_mpi(const Launch& launch, double timeout) {
  return std::make_unique<MpiGroup>(launch, timeout);
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  if (MPI_Get_library_version(text.data(), &length) != MPI_SUCCESS) return "MPI";
  std::string version(text.data(), length);
  return version.substr(0, version.find_first_of(",\n"));
}

}  // namespace lockstep

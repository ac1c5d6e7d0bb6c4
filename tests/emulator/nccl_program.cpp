// A process with some of a communicator's ranks, each in a thread; nccl_process_test.cpp starts
// several. Arguments: case, first rank, ranks here, ranks in all. The unique id is NCCL_COMM_ID's,
// or in TEST_UNIQUE_ID. Exit code 0 where the case went as it should.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

constexpr std::size_t kCount = 10'000;

ncclUniqueId unique_id() {
  ncclUniqueId id{};
  const char* text = std::getenv("TEST_UNIQUE_ID");
  if (!text) {
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    return id;
  }
  for (std::size_t i = 0; i < sizeof id.internal; ++i) {
    unsigned byte = 0;
    std::sscanf(text + 2 * i, "%2x", &byte);
    id.internal[i] = static_cast<char>(byte);
  }
  return id;
}

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

void reduce_and_send(const Rank& r) {
  std::vector<float> mine(kCount);
  for (std::size_t i = 0; i < kCount; ++i) mine[i] = static_cast<float>(i % 100) + 1;
  auto* values = on_device(mine);
  auto* received = on_device<float>(kCount);
  for (int i = 0; i < 3; ++i) r.all_reduce(values, values, kCount);
  const auto sums = from_device(values, kCount);
  const auto factor = static_cast<float>(r.size * r.size * r.size);
  for (std::size_t i = 0; i < kCount; ++i) require(sums[i] == mine[i] * factor, "a wrong sum");
  auto* rank = on_device(std::vector<float>{static_cast<float>(r.rank)});
  check(ncclGroupStart(), "ncclGroupStart");
  check(ncclSend(rank, 1, ncclFloat32, (r.rank + 1) % r.size, r.comm, r.stream), "ncclSend");
  check(ncclRecv(received, 1, ncclFloat32, (r.rank + r.size - 1) % r.size, r.comm, r.stream),
        "ncclRecv");
  const ncclResult_t ended = ncclGroupEnd();
  check(ended == ncclInProgress ? settle(r.comm) : ended, "ncclGroupEnd");
  require(static_cast<int>(from_device(received, 1)[0]) == (r.rank + r.size - 1) % r.size,
          "not from its neighbour");
  // None ends while another still needs it: the hub is in one of the processes.
  r.all_reduce(values, values, 1);
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
  check(ncclCommDestroy(r.comm), "ncclCommDestroy");
}

// The last rank ends without a word, the others hear of it.
void lose_the_last_rank(const Rank& r, bool first) {
  auto* values = on_device(std::vector<float>(kCount, 1.0F));
  r.all_reduce(values, values, kCount);
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
  if (r.rank == (first ? 0 : r.size - 1)) {
    // The others have their sums by then, and most times wait.
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    _exit(0);
  }
  const ncclResult_t called =
      ncclAllReduce(values, values, kCount, ncclFloat32, ncclSum, r.comm, r.stream);
  ncclResult_t state = called;
  while (state == ncclSuccess || state == ncclInProgress) {
    check(ncclCommGetAsyncError(r.comm, &state), "ncclCommGetAsyncError");
  }
  require(state == ncclRemoteError, "not a remote error");
  if (called == ncclSuccess) {
    require(cudaStreamQuery(r.stream) == cudaErrorNotReady, "nothing is pending");
  }
  check(ncclCommAbort(r.comm), "ncclCommAbort");
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
}

// The last rank aborts, which is no error of the others: they wait for it.
void abort_the_last_rank(const Rank& r) {
  auto* values = on_device(std::vector<float>(kCount, 1.0F));
  r.all_reduce(values, values, kCount);
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
  if (r.rank < r.size - 1) {
    r.all_reduce(values, values, kCount);
    for (int i = 0; i < 300; ++i) {
      check(settle(r.comm), "asynchronous error");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    require(cudaStreamQuery(r.stream) == cudaErrorNotReady, "nothing is pending");
  }
  check(ncclCommAbort(r.comm), "ncclCommAbort");
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
}

// The last rank stops, with an answer on the way to it that is more than a socket takes; the others
// abort all the same.
void stop_the_last_rank(const Rank& r) {
  constexpr std::size_t kMany = 8 << 20;
  auto* values = on_device<float>(kMany);
  r.all_reduce(values, values, 1);
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
  if (r.rank == r.size - 1) {
    check(ncclAllReduce(values, values, kMany, ncclFloat32, ncclSum, r.comm, r.stream), "reduce");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until it is sent
    raise(SIGSTOP);
    return;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  r.all_reduce(values, values, kMany);
  r.all_reduce(values, values, kMany);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  check(ncclCommAbort(r.comm), "ncclCommAbort");
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
}

// In virtual time: the last rank comes late to the second sum, and all take as long.
void meet_in_virtual_time(const Rank& r) {
  constexpr std::size_t kBytes = 4 << 20;
  auto* values = on_device(std::vector<float>(kCount, 1.0F));
  auto* filled = on_device<char>(kBytes);
  const auto fill = [&] { check(cudaMemsetAsync(filled, 0, kBytes, r.stream), "cudaMemsetAsync"); };
  const auto nanoseconds_of = [&](const std::function<void()>& work) {
    const double before = emulator::virtual_seconds();
    work();
    check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
    return std::lround(1e9 * (emulator::virtual_seconds() - before));
  };
  const long late = nanoseconds_of(fill);
  r.all_reduce(values, values, kCount);
  check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
  const long taken = nanoseconds_of([&] {
    if (r.rank == r.size - 1) fill();
    r.all_reduce(values, values, kCount);
  });
  const long latency = 1000 * std::atol(std::getenv("LOCKSTEP_EMULATOR_NCCL_LATENCY"));
  require(late > 0 && taken == late + latency,
          "took " + std::to_string(taken) + " and not " + std::to_string(late + latency));
  check(ncclCommDestroy(r.comm), "ncclCommDestroy");
}

void work(const std::string& name, const Rank& r) {
  if (name == "reduce") reduce_and_send(r);
  if (name == "lose_last") lose_the_last_rank(r, false);
  if (name == "lose_first") lose_the_last_rank(r, true);
  if (name == "abort_last") abort_the_last_rank(r);
  if (name == "stop_last") stop_the_last_rank(r);
  if (name == "virtual_time") meet_in_virtual_time(r);
}

int run(const std::string& name, int first, int here, int size) {
  std::vector<std::thread> threads;
  std::atomic<int> code = 0;
  const ncclUniqueId id = unique_id();
  for (int rank = first; rank < first + here; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        check(cudaSetDevice(std::getenv("TEST_SAME_DEVICE") ? 0 : rank), "cudaSetDevice");
        const ncclComm_t comm = NcclTest::make_comm(size, id, rank, rank % 2 == 0);
        work(name, {rank, size, comm, new_stream()});
      } catch (const std::exception& error) {
        std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
        code = 1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (emulator::communication_threads() != 0) {
    std::fprintf(stderr, "threads are left\n");
    code = 1;
  }
  emulator::reset();  // streams and memory of the ranks: what is not freed at exit is an error
  return code;
}

}  // namespace
}  // namespace lockstep::test

int main(int count, char** arguments) {
  if (count != 5) return 2;
  return lockstep::test::run(arguments[1], std::atoi(arguments[2]), std::atoi(arguments[3]),
                             std::atoi(arguments[4]));
}

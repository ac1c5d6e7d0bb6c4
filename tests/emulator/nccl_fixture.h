// What the tests of the emulated NCCL share: ranks as threads, each with its device.
#pragma once

#include <nccl.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "emulator/communication.h"
#include "fixture.h"

namespace lockstep::test {

using lockstep::check;

inline void check(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + ncclGetErrorString(result) + ": " +
                           ncclGetLastError(nullptr));
}

// Polls until nothing is in progress.
inline ncclResult_t settle(ncclComm_t comm) {
  ncclResult_t state = ncclInProgress;
  for (;;) {
    const ncclResult_t asked = ncclCommGetAsyncError(comm, &state);
    if (asked != ncclSuccess) return asked;
    if (state != ncclInProgress) return state;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

struct Rank {
  int rank;
  int size;
  ncclComm_t comm;
  cudaStream_t stream;

  // An all-reduce of float32 sums, in the stream once it returns.
  void all_reduce(const float* send, float* receive, std::size_t count) const {
    const ncclResult_t called =
        ncclAllReduce(send, receive, count, ncclFloat32, ncclSum, comm, stream);
    check(called == ncclInProgress ? settle(comm) : called, "ncclAllReduce");
  }
};

class NcclTest : public EmulatorTest {
 public:
  // Runs `work` in a thread for each rank, each on its device with a communicator and a stream.
  // What a rank throws is thrown.
  static void run(int size, bool blocking, const std::function<void(const Rank&)>& work) {
    ncclUniqueId id;
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    std::vector<std::thread> threads;
    std::vector<std::string> errors(static_cast<std::size_t>(size));
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          check(cudaSetDevice(rank), "cudaSetDevice");
          const Rank mine{rank, size, make_comm(size, id, rank, blocking), new_stream()};
          work(mine);
          check(cudaStreamSynchronize(mine.stream), "cudaStreamSynchronize");
          check(settle(mine.comm), "asynchronous error");
          check(ncclCommDestroy(mine.comm), "ncclCommDestroy");
        } catch (const std::exception& error) {
          errors[static_cast<std::size_t>(rank)] = error.what();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors) {
      if (!error.empty()) throw std::runtime_error(error);
    }
  }

  static ncclComm_t make_comm(int size, const ncclUniqueId& id, int rank, bool blocking) {
    ncclComm_t comm = nullptr;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking ? 1 : 0;
    const ncclResult_t made = ncclCommInitRankConfig(&comm, size, id, rank, &config);
    check(made == ncclInProgress ? settle(comm) : made, "ncclCommInitRankConfig");
    return comm;
  }
};

}  // namespace lockstep::test

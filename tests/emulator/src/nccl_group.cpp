#include "nccl_group.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "nccl_settings.h"

namespace lockstep::emulator {

namespace {

struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<Initialisation> initialisations;
  std::vector<Call> calls;
};

Group& group() {
  thread_local Group instance;
  return instance;
}

// Each in a thread of its own, as they wait for one another.
ncclResult_t initialise(std::vector<Initialisation> all) {
  std::vector<ncclResult_t> results(all.size(), ncclSuccess);
  std::vector<std::string> messages(all.size());
  const auto connect = [&](std::size_t i) {
    try {
      all[i].comm->connect(all[i].address);
      *all[i].handle = add_comm(all[i].comm);
    } catch (const NcclFailure& failure) {
      results[i] = failure.result;
      messages[i] = failure.message;
      all[i].comm->abort();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < all.size(); ++i) {
    threads.emplace_back([&connect, i] {
      const Quiet quiet;
      connect(i);
    });
  }
  connect(0);
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (results[i] != ncclSuccess) throw NcclFailure{results[i], messages[i]};
  }
  return ncclSuccess;
}

ncclResult_t initialise_later(std::vector<Initialisation> all) {
  for (Initialisation& one : all) {
    *one.handle = add_comm(one.comm);
    one.comm->later([comm = one.comm.get(), address = one.address] { comm->connect(address); }, 0);
  }
  return ncclInProgress;
}

struct Batch {
  std::shared_ptr<Comm> comm;
  cudaStream_t stream;
  std::vector<Operand> operands;
};

std::vector<Batch> batches_of(std::vector<Call> calls) {
  std::vector<Batch> batches;
  for (Call& call : calls) {
    auto it = std::find_if(batches.begin(), batches.end(),
                           [&](const Batch& batch) { return batch.comm == call.comm; });
    if (it == batches.end()) {
      batches.push_back({call.comm, call.stream, {}});
      it = batches.end() - 1;
    }
    require_nccl(it->stream == call.stream, ncclInvalidUsage,
                 "the emulator has no groups in which one communicator uses several streams");
    it->operands.push_back(call.operand);
  }
  return batches;
}

ncclResult_t enqueue(std::vector<Batch> batches) {
  std::vector<std::shared_ptr<Signal>> ends;
  bool in_progress = false;
  for (Batch& batch : batches) {
    if (batch.comm->blocking || batch.comm->at_once()) {
      ends.push_back(batch.comm->enqueue(std::move(batch.operands), batch.stream));
      continue;
    }
    in_progress = true;
    Comm* comm = batch.comm.get();
    comm->later(
        [comm, batch = std::move(batch)] {
          const auto end = comm->enqueue(batch.operands, batch.stream);
          if (end) end->wait_without_order();
        },
        nccl_settings().late_enqueue);
  }
  for (const auto& end : ends) {
    if (end) end->wait_without_order();
  }
  return in_progress ? ncclInProgress : ncclSuccess;
}

ncclResult_t run(Group done) {
  require_nccl(done.error == ncclSuccess, done.error, "a call of the group has failed");
  bool blocking = false;
  bool late = false;
  for (const auto& one : done.initialisations) (one.comm->blocking ? blocking : late) = true;
  for (const auto& call : done.calls) (call.comm->blocking ? blocking : late) = true;
  require_nccl(!blocking || !late, ncclInvalidArgument,
               "blocking and non-blocking communicators are in one group");
  auto result = ncclSuccess;
  if (!done.initialisations.empty()) {
    result = late ? initialise_later(std::move(done.initialisations))
                  : initialise(std::move(done.initialisations));
  }
  if (done.calls.empty()) return result;
  return enqueue(batches_of(std::move(done.calls)));
}

// Blocking calls may wait for the other ranks' calls, which a thread that has several ranks then
// never makes. The emulator's never wait, so they are refused.
void require_one_rank_of_each_thread(const std::shared_ptr<Comm>& comm) {
  thread_local std::map<std::uint64_t, std::weak_ptr<Comm>> mine;
  if (!comm->blocking) return;
  auto& before = mine[comm->key()];
  const auto other = before.lock();
  require_nccl(!other || other == comm || other->aborted(), ncclInvalidUsage,
               "a thread with several ranks calls without ncclGroupStart and ncclGroupEnd");
  before = comm;
}

}  // namespace

void note_group_error(ncclResult_t error) {
  if (group().depth > 0 && group().error == ncclSuccess) group().error = error;
}

ncclResult_t add_to_group(std::vector<Initialisation> initialisations) {
  if (group().depth > 0) {
    for (auto& one : initialisations) group().initialisations.push_back(std::move(one));
    return ncclSuccess;
  }
  Group alone;
  alone.initialisations = std::move(initialisations);
  return run(std::move(alone));
}

ncclResult_t add_to_group(Call call) {
  if (group().depth > 0) {
    group().calls.push_back(std::move(call));
    return ncclSuccess;
  }
  require_one_rank_of_each_thread(call.comm);
  Group alone;
  alone.calls.push_back(std::move(call));
  return run(std::move(alone));
}

}  // namespace lockstep::emulator

using namespace lockstep::emulator;

ncclResult_t ncclGroupStart() {
  ++group().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  return nccl_api([] {
    require_nccl(group().depth > 0, ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    if (--group().depth > 0) return ncclSuccess;
    return run(std::exchange(group(), {}));
  });
}

#include "lockstep/process_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "comm/launched.h"

namespace lockstep {

namespace {

class SingleProcess final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const Place& place(int) const override { return place_; }
  const std::vector<int>& neighbours() const override { return neighbours_; }
  std::vector<std::byte> all_gather_bytes(std::span<const std::byte> own) override {
    return {own.begin(), own.end()};
  }
  void broadcast_bytes(std::span<std::byte>, int) override {}
  void barrier() override {}
  std::unique_ptr<SharedMemory> share_memory(size_t, std::string& why) override {
    why = "there is one process";
    return nullptr;
  }
  std::unique_ptr<Communicator> communicator(AllReduceAlgorithm) override { return nullptr; }
  void set_timeout(double) override {}
  void watch(const std::atomic<int>*) override {}
  std::optional<std::string> reason_to_give_up() const override { return std::nullopt; }
  void begin_step(int64_t) override {}
  std::string describe(int rank) const override { return fmt::format("rank {}", rank); }
  std::string silent_ranks() const override { return "nobody: there is one process"; }
  [[noreturn]] void abort(int code) noexcept override { _exit(code); }

 private:
  Place place_;
  std::vector<int> neighbours_ = {0};
};

}  // namespace

std::vector<std::string> ProcessGroup::all_gather_text(std::string_view own) {
  const std::vector<int64_t> sizes = all_gather(static_cast<int64_t>(own.size()));
  const auto longest = static_cast<size_t>(*std::ranges::max_element(sizes));
  std::string padded(own);
  padded.resize(longest);
  const std::vector<char> all = all_gather(std::span<const char>(padded));
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < sizes.size(); ++rank) {
    texts.emplace_back(all.data() + rank * longest, static_cast<size_t>(sizes[rank]));
  }
  return texts;
}

ProcessGroup& single_process() {
  static SingleProcess single;
  return single;
}

std::unique_ptr<ProcessGroup> join_process_group(const Launch& launch, const JoinOptions& options) {
  if (launch.size == 1) return std::make_unique<SingleProcess>();
  if (launch.speaks_mpi) return join_mpi(launch, options.timeout);
  if (launch.launcher == "torchrun") return join_by_nccl(launch, options);
  throw Error(ErrorKind::usage,
              fmt::format("{} started {} processes without a way to find each other: each would "
                          "train alone",
                          launch.launcher, launch.size),
              fmt::format("use srun --mpi=pmix, or mpirun -n {} lockstep ...", launch.size));
}

void agree_on(ProcessGroup& group, const std::optional<Error>& error) {
  const std::vector<int> kinds = group.all_gather(error ? static_cast<int>(error->kind()) : -1);
  const auto first = std::ranges::find_if(kinds, [](int kind) { return kind >= 0; });
  if (first == kinds.end()) return;
  const int speaker = static_cast<int>(first - kinds.begin());
  if (group.rank() == speaker) throw AgreedFailure{*error, speaker};
  throw AgreedFailure{Error(static_cast<ErrorKind>(*first), fmt::format("rank {} failed", speaker)),
                      speaker};
}

}  // namespace lockstep

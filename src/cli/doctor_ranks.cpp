// What the ranks that a launcher started are to each other: where they are, what they share,
// whether their sums are right and how fast bytes go.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <vector>

#include "cli/doctor.h"
#include "lockstep/buffer.h"
#include "report/format.h"

namespace lockstep::cli {

namespace {

constexpr size_t kFloats = size_t{1} << 18;  // 1 MiB
constexpr int kTrials = 11;
constexpr size_t kSharedBytes = size_t{16} << 20;

// Integers below 2^10 that differ from rank to rank: their sums are exact in any order.
float value_of(int rank, size_t i) {
  return static_cast<float>((static_cast<size_t>(rank) * 37 + i * 11) % 1024);
}

struct AllReduceTrial {
  double wrong = 0.0;    // values of a sum that are not what they should be, over all ranks
  double seconds = 0.0;  // median of the slowest rank's
};

AllReduceTrial try_all_reduce(ProcessGroup& ranks) {
  const std::unique_ptr<Communicator> communicator =
      ranks.communicator(AllReduceAlgorithm::library);
  Buffer<float> data(kFloats);
  std::vector<double> seconds;
  int64_t wrong = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    for (size_t i = 0; i < kFloats; ++i) data[i] = value_of(ranks.rank(), i);
    ranks.barrier();
    const auto start = std::chrono::steady_clock::now();
    communicator->all_reduce(data.span());
    communicator->wait();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    seconds.push_back(std::ranges::max(ranks.all_gather(passed.count())));
    for (size_t i = 0; i < kFloats; ++i) {
      float expected = 0.0F;
      for (int rank = 0; rank < ranks.size(); ++rank) expected += value_of(rank, i);
      if (data[i] != expected) ++wrong;
    }
  }
  std::ranges::nth_element(seconds, seconds.begin() + kTrials / 2);
  AllReduceTrial result{0.0, seconds[kTrials / 2]};
  for (const int64_t of_rank : ranks.all_gather(wrong)) {
    result.wrong += static_cast<double>(of_rank);
  }
  return result;
}

Finding describe_places(const ProcessGroup& ranks) {
  std::set<int> machines;
  std::set<std::string> hosts;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    machines.insert(ranks.place(rank).machine);
    hosts.insert(ranks.place(rank).host);
  }
  std::string names;
  for (const std::string& host : hosts) names += (names.empty() ? "" : ", ") + host;
  return {"ranks",
          Verdict::pass,
          fmt::format("{} on {} machine{} ({}), by {}", ranks.size(), machines.size(),
                      machines.size() == 1 ? "" : "s", names, mpi_version()),
          {},
          {},
          {}};
}

Finding judge_shared_memory(ProcessGroup& ranks) {
  Finding finding{"memory shared by ranks", Verdict::pass, {}, {}, {}, {}};
  std::string why;
  const std::unique_ptr<SharedMemory> memory = ranks.share_memory(kSharedBytes, why);
  if (memory) {
    finding.detail = "ranks exchange gradients as threads do";
    return finding;
  }
  finding.detail = fmt::format("none: {}; ranks exchange messages", why);
  if (ranks.neighbours().size() < static_cast<size_t>(ranks.size())) return finding;
  finding.verdict = Verdict::warn;
  finding.remedy = "make room in /dev/shm (docker run --shm-size=1g)";
  return finding;
}

Finding judge_all_reduce(ProcessGroup& ranks) {
  const AllReduceTrial trial = try_all_reduce(ranks);
  const auto world = static_cast<double>(ranks.size());
  const double bytes = static_cast<double>(kFloats * sizeof(float));
  const double bus =
      2.0 * (world - 1.0) / world * bytes / trial.seconds;  // as nccl-tests define it
  Finding finding{"all-reduce",
                  Verdict::pass,
                  fmt::format("1 MiB by messages in {}, bus bandwidth {}/s, sums exact",
                              format_seconds(trial.seconds), format_bytes(bus)),
                  {},
                  trial.wrong,
                  0.0};
  if (trial.wrong > 0.0) {
    finding.verdict = Verdict::fail;
    finding.detail = fmt::format("{:.0f} values of sums are wrong", trial.wrong);
    finding.remedy = "do not train on these machines: look for faulty memory or a faulty network";
  }
  return finding;
}

}  // namespace

std::vector<Finding> examine_ranks(ProcessGroup& ranks) {
  return {describe_places(ranks), judge_shared_memory(ranks), judge_all_reduce(ranks)};
}

}  // namespace lockstep::cli

// What ranks divide among themselves, with a group of ranks that is made up: processors, and the
// segments of the memory that they share.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "lockstep/buffer.h"
#include "train/job_memory.h"
#include "train/processors.h"
#include "train/stop_gate.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;

class Segments final : public SharedMemory {
 public:
  Segments(int ranks, size_t bytes) {
    for (int rank = 0; rank < ranks; ++rank) segments_.emplace_back(bytes);
  }
  std::span<std::byte> segment(int rank) override { return segments_[rank].span(); }

 private:
  std::vector<Buffer<std::byte>> segments_;
};

// Seen by one rank: what the others say is set beforehand.
class MadeUpGroup final : public ProcessGroup {
 public:
  MadeUpGroup(int size, int rank) : rank_(rank), places_(size) {
    for (int other = 0; other < size; ++other) {
      places_[other].neighbour = other;
      neighbours_.push_back(other);
    }
  }
  // Odd ranks are on another machine than even ones.
  void spread() {
    neighbours_.clear();
    for (int other = 0; other < size(); ++other) {
      places_[other].machine = other % 2;
      places_[other].neighbour = other / 2;
      if (other % 2 == rank_ % 2) neighbours_.push_back(other);
    }
  }
  void set_mask(int rank, const std::set<int>& processors) {
    CPU_ZERO(&masks_[rank]);
    for (const int processor : processors) CPU_SET(processor, &masks_[rank]);
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(places_.size()); }
  const Place& place(int rank) const override { return places_[rank]; }
  const std::vector<int>& neighbours() const override { return neighbours_; }
  // Masks; those that are not set are as ours.
  std::vector<std::byte> all_gather_bytes(std::span<const std::byte> own) override {
    std::vector<std::byte> all;
    for (int rank = 0; rank < size(); ++rank) {
      const auto found = masks_.find(rank);
      const auto bytes = found == masks_.end() ? own : std::as_bytes(std::span(&found->second, 1));
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }
  void broadcast_bytes(std::span<std::byte>, int) override {}
  void barrier() override {}
  std::unique_ptr<SharedMemory> share_memory(size_t bytes, std::string&) override {
    return std::make_unique<Segments>(size(), bytes);
  }
  std::unique_ptr<Communicator> communicator(AllReduceAlgorithm) override { return nullptr; }
  void set_timeout(double) override {}
  void watch(const std::atomic<int>*) override {}
  std::optional<std::string> reason_to_give_up() const override { return std::nullopt; }
  void begin_step(int64_t) override {}
  std::string describe(int rank) const override { return fmt::format("rank {}", rank); }
  std::string silent_ranks() const override { return {}; }
  [[noreturn]] void abort(int code) noexcept override { _exit(code); }

 private:
  int rank_;
  std::vector<Place> places_;
  std::vector<int> neighbours_;
  std::map<int, cpu_set_t> masks_;
};

class Processors : public ::testing::Test {
 protected:
  void SetUp() override {
    usable_ = usable_processors();
    if (usable_.size() < 2) GTEST_SKIP() << "there is one processor";
  }
  std::vector<int> usable_;
};

TEST_F(Processors, RanksOfOneMachineTakeProcessorsOfTheirOwn) {
  for (int rank = 0; rank < 2; ++rank) {
    MadeUpGroup group(2, rank);
    const RankProcessors own = divide_processors(group, 1);
    EXPECT_THAT(own.usable, ElementsAre(usable_[rank]));
    EXPECT_EQ(own.shared, static_cast<int>(usable_.size()));
  }
}

TEST_F(Processors, RanksAreCountedOnEachMachine) {
  for (int rank = 0; rank < 4; ++rank) {
    MadeUpGroup group(4, rank);
    group.spread();
    EXPECT_THAT(divide_processors(group, 1).usable, ElementsAre(usable_[rank / 2]));
  }
}

TEST_F(Processors, RanksThatTheLauncherBoundKeepWhatTheyHave) {
  const int elsewhere = usable_.back() + 1;
  MadeUpGroup group(2, 1);
  group.set_mask(0, {elsewhere});
  const RankProcessors own = divide_processors(group, 1);
  EXPECT_EQ(own.usable, usable_);
  EXPECT_EQ(own.shared, static_cast<int>(usable_.size()) + 1);
}

TEST_F(Processors, AnotherMachinesProcessorsAreNotOurs) {
  MadeUpGroup group(4, 3);
  group.spread();
  for (const int rank : {0, 2}) group.set_mask(rank, {usable_.back() + 1});
  const RankProcessors own = divide_processors(group, 1);
  EXPECT_THAT(own.usable, ElementsAre(usable_[1]));
  EXPECT_EQ(own.shared, static_cast<int>(usable_.size()));
}

TEST_F(Processors, RanksThatNeedMoreThanThereAreShareThem) {
  const auto all = static_cast<int>(usable_.size());
  MadeUpGroup group(2, 1);
  EXPECT_EQ(divide_processors(group, all / 2).usable.size(), static_cast<size_t>(all / 2));
  EXPECT_EQ(divide_processors(group, all / 2 + 1).usable, usable_);
  EXPECT_EQ(divide_processors(group, all / 2 + 1).shared, all);
}

// What lies in a segment, by its first and last byte.
using Extent = std::pair<const std::byte*, const std::byte*>;

template <class T>
Extent extent_of(std::span<T> part) {
  const auto bytes = std::as_bytes(part);
  return {bytes.data(), bytes.data() + bytes.size()};
}

class RankMemory : public ::testing::Test {
 protected:
  static constexpr int kRanks = 3, kWorkersEach = 2, kArrays = 4;
  static constexpr size_t kFloats = 37;  // no whole number of lines
  static constexpr size_t kShared = 2 * kFloats;

  JobMemory memory_of(MadeUpGroup& group) {
    Resolved resolved;
    resolved.processes = &group;
    resolved.ranks = kRanks;
    resolved.workers = kRanks * kWorkersEach;
    resolved.config.workers = kWorkersEach;
    return {resolved, kArrays * kFloats, kShared};
  }
};

TEST_F(RankMemory, NothingOverlapsAndAllIsInside) {
  for (const int rank : {0, 1}) {
    MadeUpGroup group(kRanks, rank);
    JobMemory memory = memory_of(group);
    ASSERT_EQ(memory.reach(), Reach::machine);
    const ThreadGroup::Shared shared = memory.group_memory();
    EXPECT_GE(shared.counters.size(), ThreadGroup::bytes_of(kRanks * kWorkersEach));
    EXPECT_GE(memory.gate_memory().size(), StopGate::bytes_of(kRanks * kWorkersEach));

    const std::span<std::byte> first = shared.bases[0];
    const std::span<std::byte> own = shared.bases[rank * kWorkersEach];
    std::vector<Extent> in_first = {extent_of(shared.counters), extent_of(memory.gate_memory())};
    for (int i = 0; i < 2; ++i) {
      in_first.push_back(extent_of(memory.allocate_shared(kFloats).span()));
    }
    std::vector<Extent> in_own;
    for (int i = 0; i < kWorkersEach * kArrays; ++i) {
      in_own.push_back(extent_of(memory.allocate(kFloats).span()));
    }
    // A rank's own arrays end before the part that rank 0's segment alone has in use.
    const std::ptrdiff_t end_of_own = in_first.front().first - first.data();
    for (const auto& [begin, end] : in_own) EXPECT_LE(end - own.data(), end_of_own);
    if (rank == 0) in_first.insert(in_first.end(), in_own.begin(), in_own.end());

    for (auto* extents : {&in_first, &in_own}) {
      std::ranges::sort(*extents);
      const std::span<std::byte> segment = extents == &in_first ? first : own;
      const std::byte* free = segment.data();
      for (const auto& [begin, end] : *extents) {
        EXPECT_GE(begin, free) << "rank " << rank;
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(begin) % kAlignment, 0u);
        free = end;
      }
      EXPECT_LE(free, segment.data() + segment.size()) << "rank " << rank;
    }
  }
}

TEST_F(RankMemory, WorkersAreThoseOfTheirRank) {
  MadeUpGroup group(kRanks, 1);
  JobMemory memory = memory_of(group);
  const ThreadGroup::Shared shared = memory.group_memory();
  ASSERT_EQ(shared.bases.size(), static_cast<size_t>(kRanks * kWorkersEach));
  std::set<const std::byte*> segments;
  for (int worker = 0; worker < kRanks * kWorkersEach; ++worker) {
    EXPECT_EQ(shared.bases[worker].data(),
              shared.bases[worker / kWorkersEach * kWorkersEach].data());
    EXPECT_EQ(shared.name(worker), fmt::format("worker {} of rank {}", worker, worker / 2));
    segments.insert(shared.bases[worker].data());
  }
  EXPECT_EQ(segments.size(), static_cast<size_t>(kRanks));
}

}  // namespace
}  // namespace lockstep

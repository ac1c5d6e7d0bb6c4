// The threads of one worker.
#include "backend/thread_team.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>

namespace lockstep {
namespace {

TEST(ThreadTeam, EveryThreadRunsEveryJobOnceAndItsWritesAreSeen) {
  for (const int spins : {0, 1000}) {
    for (const int size : {1, 2, 3, 7}) {
      ThreadTeam team(size, spins, {});
      EXPECT_EQ(team.size(), size);
      std::vector<int> counts(size);  // plain memory: the meetings alone order it
      for (int job = 0; job < 500; ++job) {
        team.run([&](int thread) { ++counts[(thread + job) % size]; });
      }
      EXPECT_EQ(counts, std::vector<int>(size, 500));
    }
  }
}

TEST(ThreadTeam, ThreadZeroIsTheCallerAndTheOthersStayTheSame) {
  ThreadTeam team(3, 10, {});
  std::vector<std::thread::id> first(3), second(3);
  team.run([&](int thread) { first[thread] = std::this_thread::get_id(); });
  team.run([&](int thread) { second[thread] = std::this_thread::get_id(); });
  EXPECT_EQ(first, second);
  EXPECT_EQ(first[0], std::this_thread::get_id());
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 3u);
}

TEST(ThreadTeam, StartIsCalledOnEachOtherThreadBeforeItsFirstJob) {
  thread_local int started_as = -1;
  ThreadTeam team(3, 10, [](int thread) { started_as = thread; });
  std::vector<int> seen(3, -2);
  team.run([&](int thread) { seen[thread] = started_as; });
  EXPECT_EQ(seen, (std::vector<int>{-1, 1, 2}));
}

TEST(ThreadTeam, SleepingThreadsWakeForTheNextJob) {
  ThreadTeam team(3, 0, {});
  std::atomic<int> done{0};
  for (int job = 0; job < 3; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    team.run([&](int thread) {
      if (thread == 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ++done;
    });
    EXPECT_EQ(done, 3 * (job + 1));
  }
}

TEST(ThreadTeam, TheLowestThreadsErrorReachesTheCallerAfterAllHaveComeBack) {
  ThreadTeam team(4, 10, {});
  std::atomic<int> came{0};
  try {
    team.run([&](int thread) {
      ++came;
      if (thread == 1 || thread == 3) throw std::runtime_error(std::to_string(thread));
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "1");
  }
  EXPECT_EQ(came, 4);
  EXPECT_THROW(team.run([](int thread) {
    if (thread == 0) throw std::logic_error("the caller's own");
  }),
               std::logic_error);
  team.run([&](int) { ++came; });  // and the team goes on
  EXPECT_EQ(came, 8);
}

}  // namespace
}  // namespace lockstep

// The order of several devices' streams: right in every order that the emulator tries, and wrong
// without any one of the waits that make it so.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "emulator/communication.h"
#include "lockstep/error.h"
#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::make_dataset;

class ManyGpusOrder : public testing::ManyGpusTest {
 protected:
  void TearDown() override {
    emulator::set_delays(100);
    ManyGpusTest::TearDown();
  }

  // The result, or the error that it ends with.
  std::string sha_of(int workers, int seed, const Change& job, long dropped = -1) const {
    emulator::set_seed(static_cast<std::uint64_t>(seed));
    emulator::drop_event_wait(dropped);
    std::string result;
    try {
      result = train_gpus(dataset_, workers, [&](Config& c) {
                 c.model.hidden = {9};
                 c.epochs = 1;
                 c.optimizer.momentum = 0.9;
                 c.deterministic = true;
                 job(c);
               }).result.parameters_sha256;
    } catch (const Error& error) {
      result = error.what();
    }
    waits_ = emulator::event_waits_seen();
    emulator::drop_event_wait(-1);
    return result;
  }

  mutable long waits_ = 0;  // for events, of the last training
  const Dataset dataset_ = make_dataset(97);
};

// LOCKSTEP_TEST_SEEDS asks for more.
int seeds_of(int workers) {
  if (const char* asked = std::getenv("LOCKSTEP_TEST_SEEDS")) return std::stoi(asked);
  return testing::under_thread_sanitizer() ? 2 : 20 / workers;
}

const std::map<std::string, Change> kJobs = {
    {"folded in rank order", [](Config& c) { c.bucket_mb = 0.0005; }},
    {"after backward",
     [](Config& c) {
       c.bucket_mb = 0.0005;
       c.overlap = Toggle::off;
     }},
    {"data from the host", [](Config& c) { c.data_placement = DataPlacement::host; }}};

TEST_F(ManyGpusOrder, EveryOrderGivesTheSameBits) {
  for (const auto& [name, job] : kJobs) {
    for (const int workers : {2, 4, 8}) {
      const std::string expected = sha_of(workers, 1, job);
      for (int seed = 2; seed < 2 + seeds_of(workers); ++seed) {
        emulator::set_delays(seed % 2 == 0 ? 100 : 400, 2);
        EXPECT_EQ(sha_of(workers, seed, job), expected)
            << name << ", " << workers << " workers, seed " << seed;
      }
    }
  }
}

// Of one step: a bucket's sum waits for its gradients, its update for the sum, of each bucket and
// worker. Without it some order of the streams gives another result.
TEST_F(ManyGpusOrder, EveryWaitOfAStepIsNeeded) {
  if (testing::under_thread_sanitizer()) GTEST_SKIP() << "races on purpose";
  constexpr int kWorkers = 2;
  const Change job = [](Config& c) { c.bucket_mb = 0.0005; };
  const std::string expected = sha_of(kWorkers, 1, job);
  ASSERT_EQ(expected.find(' '), std::string::npos) << expected;
  const long waits = waits_;
  ASSERT_GT(waits, 0);
  const long steps = 5, buckets = waits / (2 * kWorkers * steps);
  ASSERT_GE(buckets, 2);
  EXPECT_EQ(waits, 2 * kWorkers * steps * buckets);
  // Of the steps in the middle; workers' waits are counted as they come.
  const long first = 2 * kWorkers * buckets;
  for (long dropped = first; dropped < 2 * first; ++dropped) {
    bool wrong = false;
    // One in ten shows some of them on a busy machine.
    for (int seed = 1; seed <= 400 && !wrong; ++seed) {
      emulator::set_delays(2000, 2);
      wrong = sha_of(kWorkers, seed, job, dropped) != expected;
    }
    EXPECT_TRUE(wrong) << "without event wait " << dropped << " of " << waits;
  }
}

}  // namespace
}  // namespace lockstep

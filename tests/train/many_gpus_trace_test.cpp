// Traces of trainings on GPUs: every stream has a track, and overlap can be seen in them, in
// virtual time, which is the same in every run.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "emulator/communication.h"
#include "many_gpus.h"
#include "report/trace_json.h"
#include "train/trace_checks.h"

namespace lockstep {
namespace {

using testing::Change;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::make_dataset;
using testing::ReadTrace;
using testing::TracedEvent;
using ::testing::UnorderedElementsAre;

class GpuTrace : public testing::ManyGpusTest {
 protected:
  void SetUp() override {
    if (testing::under_thread_sanitizer())
      GTEST_SKIP() << "others race the same code, in less time";
    ManyGpusTest::SetUp();
    testing::use_virtual_time();
    emulator::set_communication_cost(0.0, 2e9);
  }

  // Six equal layers, a bucket each, 4 steps an epoch.
  static void six_layers(Config& config) {
    config.model.hidden = {64, 64, 64, 64, 64};
    config.batch_size = 128;
    config.epochs = 2;
    config.bucket_mb = 0.0166;
    config.trace = "file";
    config.trace_steps = {0, 8};
  }
  static ReadTrace read(const TrainedModel& trained) {
    EXPECT_TRUE(trained.trace.has_value());
    return ReadTrace(trace_json(*trained.trace, trained.result.name));
  }
  static ReadTrace trace_of(int workers, const Change& change) {
    return read(train_gpus(dataset(), workers, [&](Config& config) {
      six_layers(config);
      change(config);
    }));
  }
  static Dataset dataset() { return make_dataset(512, 64, 64); }
  static std::string gpu(int number, const char* stream) {
    return fmt::format("lockstep/GPU {}: {}", number, stream);
  }
  static const auto& all_steps() {
    static const auto kSteps = ElementsAre(0, 1, 2, 3, 4, 5, 6, 7);
    return kSteps;
  }
};

TEST_F(GpuTrace, has_a_track_for_each_worker_and_stream) {
  const ReadTrace trace = trace_of(2, [](Config& c) { c.trace_steps = {2, 5}; });
  EXPECT_THAT(trace.tracks(), UnorderedElementsAre("lockstep/worker 0", gpu(0, "compute"),
                                                   gpu(0, "communication"), "lockstep/worker 1",
                                                   gpu(1, "compute"), gpu(1, "communication")));
  for (const std::string& track : trace.tracks()) {
    EXPECT_THAT(trace.steps(track), ElementsAre(2, 3, 4)) << track;
  }
  EXPECT_EQ(trace.other()["emulated"], true);
}

TEST_F(GpuTrace, shows_each_bucket_once_a_step_with_its_bytes_and_parameters) {
  const ReadTrace trace = trace_of(2, [](Config&) {});
  for (int rank = 0; rank < 2; ++rank) {
    std::map<int64_t, std::vector<TracedEvent>> steps;
    for (const TracedEvent& event : trace.of(gpu(rank, "communication"), "communication")) {
      steps[event.step].push_back(event);
    }
    ASSERT_EQ(steps.size(), 8);
    for (const auto& [step, buckets] : steps) {
      int64_t end = std::numeric_limits<int64_t>::max(), bytes = 0;
      for (size_t b = 0; b < buckets.size(); ++b) {
        EXPECT_EQ(buckets[b].name, fmt::format("bucket {}", b));
        const nlohmann::json& arguments = buckets[b].arguments;
        EXPECT_EQ(arguments["bucket"], b);
        bytes += arguments["bytes"].get<int64_t>();
        EXPECT_LT(arguments["parameters"][0], arguments["parameters"][1]);
        EXPECT_LE(arguments["parameters"][0], end) << "buckets descend";
        end = arguments["parameters"][0];
      }
      EXPECT_EQ(end, 0);
      EXPECT_GT(bytes, 6 * 64 * 64 * 4);
      EXPECT_EQ(trace.of(gpu(rank, "compute"), "update").size(), 8 * buckets.size());
    }
  }
}

TEST_F(GpuTrace, shows_communication_beside_backward_where_they_overlap) {
  for (const int workers : {2, 4}) {
    const auto together = [&](Toggle overlap) {
      const ReadTrace trace = trace_of(workers, [&](Config& c) { c.overlap = overlap; });
      double sum = 0.0;
      for (int rank = 0; rank < workers; ++rank) {
        const auto communication = trace.of(gpu(rank, "communication"), "communication");
        const auto backward = trace.of(gpu(rank, "compute"), "compute", "backward");
        EXPECT_FALSE(backward.empty());
        const double both = testing::seconds_together(communication, backward);
        if (overlap == Toggle::on) {
          EXPECT_GT(both, 0.3 * testing::seconds_of(communication)) << "rank " << rank;
        }
        sum += both;
      }
      return sum;
    };
    EXPECT_GT(together(Toggle::on), 0.0);
    constexpr double kRounding = 1e-8;
    EXPECT_LT(together(Toggle::off), kRounding) << "every bucket leaves behind backward";
  }
}

// A layer whose gradient leaves in buckets is computed in slabs.
TEST_F(GpuTrace, shows_backward_slab_by_slab) {
  const ReadTrace trace = read(train_gpus(make_dataset(192, 784, 10), 2, [](Config& c) {
    c.model.hidden = {256, 128};
    c.batch_size = 48;
    c.epochs = 1;
    c.bucket_mb = 0.1;
    c.trace = "file";
    c.trace_steps = {1, 2};
  }));
  int64_t covered = 0, below = std::numeric_limits<int64_t>::max();
  int slabs = 0;
  for (const TracedEvent& event : trace.of(gpu(0, "compute"), "compute", "backward")) {
    const int64_t begin = event.arguments["parameters"][0], end = event.arguments["parameters"][1];
    EXPECT_LE(end, below) << "slabs descend";
    below = begin;
    covered += end - begin;
    slabs += end <= 256 * 784 ? 1 : 0;
  }
  EXPECT_EQ(covered, 256 * 784 + 128 * 256 + 10 * 128) << "every weight once";
  EXPECT_GT(slabs, 4) << "of the first layer";
}

TEST_F(GpuTrace, accounts_for_the_time_that_the_result_tells) {
  const TrainedModel trained = train_gpus(dataset(), 2, six_layers);
  const ReadTrace trace = read(trained);
  const PhaseSeconds& time = trained.result.time;
  const auto mean = [&](const char* stream, const char* category) {
    return (testing::seconds_of(trace.of(gpu(0, stream), category)) +
            testing::seconds_of(trace.of(gpu(1, stream), category))) /
           2;
  };
  const double rounding = 1e-6;
  EXPECT_NEAR(mean("compute", "compute"), *time.compute, rounding);
  EXPECT_NEAR(mean("compute", "data"), *time.data, rounding);
  EXPECT_NEAR(mean("compute", "update"), *time.update, rounding);
  EXPECT_NEAR(mean("compute", "exposed_communication"), *time.exposed_communication, rounding);
  EXPECT_NEAR(mean("communication", "communication"), *time.communication, rounding);
  EXPECT_GT(*time.exposed_communication, 0.0);
}

TEST_F(GpuTrace, changes_no_result) {
  const auto hash = [&](const Change& change) {
    return train_gpus(dataset(), 2,
                      [&](Config& c) {
                        six_layers(c);
                        change(c);
                      })
        .result.parameters_sha256;
  };
  const std::string untraced = hash([](Config& c) { c.trace.clear(); });
  EXPECT_EQ(hash([](Config&) {}), untraced);
  EXPECT_EQ(hash([](Config& c) { c.trace_steps = {3, 5}; }), untraced);
}

// 500 samples: the last of an epoch's steps is a short one, which has twins of its own.
TEST_F(GpuTrace, has_short_batches_too) {
  const ReadTrace trace = read(train_gpus(make_dataset(500, 64, 64), 2, six_layers));
  EXPECT_THAT(trace.steps(gpu(1, "compute")), all_steps());
  EXPECT_THAT(trace.steps(gpu(1, "communication")), all_steps());
}

TEST_F(GpuTrace, has_a_track_of_copies_where_data_are_streamed) {
  const auto streamed = [](Config& c) { c.data_placement = DataPlacement::host; };
  const ReadTrace trace = trace_of(2, streamed);
  for (int rank = 0; rank < 2; ++rank) {
    const auto copies = trace.of(gpu(rank, "copies"), "copy");
    ASSERT_EQ(copies.size(), 8);
    for (const TracedEvent& copy : copies) EXPECT_EQ(copy.arguments["bytes"], 64 * 64 * 4);
    EXPECT_THAT(trace.steps(gpu(rank, "copies")), all_steps());
  }
}

TEST_F(GpuTrace, of_local_sgd_has_its_averages) {
  const ReadTrace trace = trace_of(2, [](Config& c) {
    c.strategy = Strategy::local_sgd;
    c.sync_every.steps = 2;
    c.bucket_mb.reset();
  });
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_THAT(trace.steps(gpu(rank, "communication")), ElementsAre(1, 3, 5, 7));
    EXPECT_THAT(trace.steps(gpu(rank, "compute")), all_steps());
    EXPECT_EQ(trace.of(gpu(rank, "compute"), "exposed_communication").size(), 4);
  }
}

TEST_F(GpuTrace, of_one_gpu_has_its_stream) {
  const auto serial = [](Config& c) {
    c.strategy = Strategy::serial;
    c.bucket_mb.reset();
  };
  const ReadTrace trace = trace_of(1, serial);
  EXPECT_THAT(trace.tracks(), UnorderedElementsAre("lockstep/worker 0", gpu(0, "compute")));
  EXPECT_THAT(trace.steps(gpu(0, "compute")), all_steps());
  const ReadTrace parts = trace_of(1, [&](Config& c) {
    serial(c);
    c.accumulate = 3;
  });
  EXPECT_EQ(parts.of(gpu(0, "compute"), "compute").size(), 3 * 8);
  EXPECT_EQ(parts.of(gpu(0, "compute"), "update").size(), 8);
}

TEST_F(GpuTrace, of_a_step_in_one_kernel_says_so) {
  const ReadTrace trace = read(train_gpus(make_dataset(512, 20, 2), 1, [](Config& c) {
    six_layers(c);
    c.strategy = Strategy::serial;
    c.bucket_mb.reset();
    c.model.model = "logistic";
  }));
  const auto steps = trace.of(gpu(0, "compute"), "compute", "forward, backward and update");
  EXPECT_EQ(steps.size(), 8);
}

}  // namespace
}  // namespace lockstep

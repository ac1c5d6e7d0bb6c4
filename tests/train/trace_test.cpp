// Traces of trainings on the CPU, and how the clocks of several machines are brought together.
#include "lockstep/trace.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "report/trace_json.h"
#include "small_job.h"
#include "train/run_trace.h"
#include "train/trace_checks.h"

namespace lockstep {
namespace {

using testing::Change;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_dataset;
using testing::ReadTrace;
using testing::train_small;
using ::testing::UnorderedElementsAre;

TrainedModel traced(const Change& change, const Dataset& dataset = make_dataset()) {
  return train_small(dataset, [&](Config& config) {
    config.trace = "a file, which train() does not write";
    change(config);
  });
}

ReadTrace read(const TrainedModel& trained) {
  EXPECT_TRUE(trained.trace.has_value());
  return ReadTrace(trace_json(*trained.trace, trained.result.name));
}

std::string worker(int number) {
  return fmt::format("lockstep/worker {}", number);
}

struct Mode {
  const char* name;
  Change change;
  std::set<std::string> categories;
};

void PrintTo(const Mode& mode, std::ostream* out) {
  *out << mode.name;
}

class TraceOfMode : public ::testing::TestWithParam<Mode> {};

TEST_P(TraceOfMode, has_the_phases_of_each_worker_in_the_steps_asked_for) {
  // Large enough for each phase to last longer than a few time stamps.
  const ReadTrace trace = read(traced(
      [](Config& c) {
        c.model.hidden = {64, 64};
        c.batch_size = 48;
        c.workers = 2;
        c.trace_steps = {5, 12};
        GetParam().change(c);
      },
      make_dataset(400, 64)));
  const int workers = std::string(GetParam().name) == "serial" ? 1 : 2;
  ASSERT_EQ(trace.tracks().size(), workers);
  for (int rank = 0; rank < workers; ++rank) {
    EXPECT_THAT(trace.steps(worker(rank)), ElementsAre(5, 6, 7, 8, 9, 10, 11));
    EXPECT_EQ(trace.of(worker(rank), "step").size(), 7);
    std::set<std::string> categories;
    for (const auto& event : trace.track(worker(rank))) categories.insert(event.category);
    categories.erase("synchronization");  // a worker that comes last waits for nobody
    EXPECT_EQ(categories, GetParam().categories);
  }
}

const Mode kModes[] = {
    {"serial",
     [](Config& c) {
       c.strategy = Strategy::serial;
       c.workers = 1;
     },
     {"step", "data", "compute", "update"}},
    {"sliced",
     [](Config& c) { c.update = UpdateKind::sliced; },
     {"step", "data", "compute", "communication", "update"}},
    {"factors",
     [](Config& c) { c.update = UpdateKind::factors; },
     {"step", "data", "compute", "update"}},
    {"replicas",
     [](Config& c) { c.update = UpdateKind::replicas; },
     {"step", "data", "compute", "communication", "update"}},
    {"ring",
     [](Config& c) { c.allreduce = AllReduceChoice::ring; },
     {"step", "data", "compute", "communication", "update"}},
    {"central",
     [](Config& c) { c.allreduce = AllReduceChoice::central; },
     {"step", "data", "compute", "communication", "update"}},
    {"hogwild",
     [](Config& c) { c.strategy = Strategy::hogwild; },
     {"step", "data", "compute", "communication", "update"}},
    {"local_sgd",
     [](Config& c) {
       c.strategy = Strategy::local_sgd;
       c.sync_every.steps = 3;
     },
     {"step", "data", "compute", "communication", "update"}},
    {"accumulate",
     [](Config& c) { c.accumulate = 3; },
     {"step", "data", "compute", "communication", "update"}},
    {"threads",
     [](Config& c) { c.threads = 2; },
     {"step", "data", "compute", "communication", "update"}},
};

INSTANTIATE_TEST_SUITE_P(modes, TraceOfMode, ::testing::ValuesIn(kModes),
                         [](const auto& mode) { return std::string(mode.param.name); });

TEST(Trace, is_made_where_it_is_asked_for_and_changes_no_result) {
  const TrainedModel plain = train_small(make_dataset(), [](Config&) {});
  EXPECT_FALSE(plain.trace.has_value());
  EXPECT_EQ(traced([](Config&) {}).result.parameters_sha256, plain.result.parameters_sha256);
}

TEST(Trace, accounts_for_the_time_of_its_steps) {
  const TrainedModel trained = traced([](Config& c) { c.trace_steps = {0, 1000}; });
  const ReadTrace trace = read(trained);
  const PhaseSeconds& time = trained.result.time;
  // What is shorter than a few time stamps is left out of the trace.
  const auto about = [](double seconds) { return 0.1 * seconds + 1e-4; };
  for (const auto& [category, seconds] :
       {std::pair("compute", *time.compute), std::pair("data", *time.data),
        std::pair("update", *time.update)}) {
    EXPECT_NEAR(testing::seconds_of(trace.of(worker(0), category)), seconds, about(seconds))
        << category;
  }
}

TEST(Trace, of_slices_shows_that_buckets_are_added_while_backward_goes_on) {
  const auto early = [](Toggle overlap) {
    const ReadTrace trace = read(traced(
        [&](Config& c) {
          c.model.hidden = {64, 64, 64};
          c.workers = 2;
          c.update = UpdateKind::sliced;
          c.bucket_mb = 0.01;
          c.overlap = overlap;
          c.trace_steps = {0, 1000};
        },
        make_dataset(1000, 64)));
    int begun = 0;
    for (int rank = 0; rank < 2; ++rank) {
      begun += testing::begun_before_the_end(trace.of(worker(rank), "communication"),
                                             trace.of(worker(rank), "compute"));
    }
    return begun;
  };
  EXPECT_GT(early(Toggle::on), 0);
  EXPECT_EQ(early(Toggle::off), 0);
}

TEST(Trace, of_a_bucket_says_its_bytes_and_parameters) {
  const ReadTrace trace = read(traced([](Config& c) {
    c.workers = 2;
    c.update = UpdateKind::replicas;
    c.bucket_mb = 1.0;
  }));
  const auto events = trace.of(worker(0), "communication");
  ASSERT_FALSE(events.empty());
  for (const auto& event : events) {
    EXPECT_EQ(event.name, "bucket 0");
    EXPECT_GT(event.arguments["bytes"], 0);
    EXPECT_EQ(event.arguments["parameters"][0], 0);
  }
}

TEST(Trace, of_an_interrupted_run_has_what_there_is) {
  std::atomic<int> stop{0};
  TrainObserver observer;
  observer.on_epoch = [&](const EpochRecord&) { stop = 1; };
  const TrainedModel trained = train_small(
      make_dataset(),
      [](Config& c) {
        c.trace = "file";
        c.trace_steps = {2, 100};
        c.epochs = 20;
      },
      nullptr, observer, &stop);
  ASSERT_EQ(trained.result.status, RunStatus::interrupted);
  EXPECT_THAT(read(trained).steps(worker(0)), Contains(2));
}

TEST(Trace, warns_of_a_run_that_ends_before_its_steps) {
  std::vector<std::string> warnings;
  std::atomic<int> stop{0};
  TrainObserver observer;
  observer.on_warning = [&](const std::string& warning) { warnings.push_back(warning); };
  observer.on_epoch = [&](const EpochRecord&) { stop = 1; };
  (void)train_small(
      make_dataset(),
      [](Config& c) {
        c.trace = "file";
        c.trace_steps = {50, 60};
        c.epochs = 20;
      },
      nullptr, observer, &stop);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("the trace is empty: the run ended before step 50")));
}

TEST(StepsToTrace, are_ten_after_a_warm_up_or_the_last_of_a_short_run) {
  const Config config;
  const auto chosen = [&](int64_t first, int64_t last) {
    return steps_to_trace(config, {first, last}, {});
  };
  EXPECT_EQ(chosen(0, 1000), (StepRange{10, 20}));
  EXPECT_EQ(chosen(0, 20), (StepRange{10, 20}));
  EXPECT_EQ(chosen(0, 15), (StepRange{5, 15}));
  EXPECT_EQ(chosen(0, 3), (StepRange{0, 3}));
  EXPECT_EQ(chosen(100, 1000), (StepRange{110, 120})) << "a resumed run warms up too";
  EXPECT_EQ(chosen(100, 105), (StepRange{100, 105}));
}

TEST(StepsToTrace, beyond_the_run_are_left_out_with_a_warning) {
  Config config;
  config.trace_steps = {40, 60};
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  EXPECT_EQ(steps_to_trace(config, {0, 100}, warn), (StepRange{40, 60}));
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(steps_to_trace(config, {0, 50}, warn), (StepRange{40, 50}));
  EXPECT_EQ(steps_to_trace(config, {45, 100}, warn), (StepRange{45, 60}));
  EXPECT_TRUE(steps_to_trace(config, {0, 30}, warn).empty());
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("this run has the steps 0:50"),
                                    HasSubstr("this run has the steps 45:100"),
                                    HasSubstr("the trace will be empty")));
}

TEST(TraceRecorder, stops_where_there_are_too_many_events) {
  TraceRecorder recorder({0, 1'000'000});
  for (int64_t step = 0; step < 1'000; ++step) {
    recorder.begin_step(step);
    for (int i = 0; i < 1000 && recorder.recording(); ++i) recorder.keep({.step = step});
    recorder.end_step();
  }
  EXPECT_TRUE(recorder.cut());
  const std::vector<TraceEvent> events = recorder.take();
  EXPECT_GE(events.size(), TraceRecorder::kMostEvents);
  EXPECT_LT(events.size(), TraceRecorder::kMostEvents + 2000) << "a step is whole";
}

// Rank 0's view of three ranks, of which one is on another machine with a clock of its own; time
// passes in messages.
class TwoClocks final : public ProcessGroup {
 public:
  TwoClocks(int64_t ahead, int64_t most_latency) : ahead_(ahead), latency_(1, most_latency) {
    places_[2].machine = 1;
  }
  int64_t now() const { return now_; }

  int rank() const override { return 0; }
  int size() const override { return 3; }
  const Place& place(int rank) const override { return places_[rank]; }
  void broadcast_bytes(std::span<std::byte> data, int root) override {
    EXPECT_TRUE(root == 0 || root == 2) << "rank 1 has rank 0's clock";
    if (root == 2) {
      const int64_t read[] = {at_other_, now_ + ahead_};
      std::memcpy(data.data(), read, sizeof read);
    }
    now_ += latency_(random_);
    if (root == 0) at_other_ = now_ + ahead_;
  }

  const std::vector<int>& neighbours() const override { return neighbours_; }
  std::vector<std::byte> all_gather_bytes(std::span<const std::byte>) override { return {}; }
  void barrier() override {}
  std::unique_ptr<SharedMemory> share_memory(size_t, std::string&) override { return nullptr; }
  std::unique_ptr<Communicator> communicator(AllReduceAlgorithm) override { return nullptr; }
  void set_timeout(double) override {}
  void watch(const std::atomic<int>*) override {}
  std::optional<std::string> reason_to_give_up() const override { return std::nullopt; }
  void begin_step(int64_t) override {}
  std::string describe(int) const override { return {}; }
  std::string silent_ranks() const override { return {}; }
  [[noreturn]] void abort(int) noexcept override { std::terminate(); }

 private:
  int64_t ahead_;
  std::uniform_int_distribution<int64_t> latency_;
  std::mt19937_64 random_{1};
  int64_t now_ = 1'000'000'000, at_other_ = 0;
  Place places_[3];
  std::vector<int> neighbours_ = {0, 1};
};

TEST(MeasuredClocks, are_known_within_the_error_that_they_name) {
  constexpr int64_t kLatency = 40'000;
  for (const int64_t ahead : {int64_t{0}, int64_t{7'000'000'000'000}, int64_t{-123'456'789}}) {
    TwoClocks group(ahead, kLatency);
    const auto clocks = measure_clocks(group, [&] { return group.now(); });
    EXPECT_EQ(clocks[1].ahead, 0);
    EXPECT_EQ(clocks[1].error, 0);
    EXPECT_LE(std::abs(clocks[2].ahead - ahead), clocks[2].error);
    EXPECT_GT(clocks[2].error, 0);
    EXPECT_LE(clocks[2].error, kLatency);
  }
}

TEST(TraceJson, says_how_clocks_were_brought_together) {
  Trace trace;
  trace.processes = {{.host = "a"}, {.host = "b\"", .clock_error = 1500, .own_clock = true}};
  trace.workers.resize(2);
  trace.workers[1].process = 1;
  for (Trace::Worker& worker : trace.workers) worker.events.push_back({.begin = 1, .end = 5});
  const ReadTrace read(trace_json(trace, "sync:2@mpi"));
  EXPECT_THAT(read.other()["clock"], HasSubstr("within 1.5 us"));
  EXPECT_THAT(read.tracks(),
              UnorderedElementsAre("rank 0 (a, pid 0)/worker 0", "rank 1 (b\", pid 0)/worker 1"));
}

}  // namespace
}  // namespace lockstep

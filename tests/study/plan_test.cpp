// Which runs a comparison consists of.
#include "study/plan.h"

#include <gtest/gtest.h>

#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int64_t kSamples = 10000;
constexpr int kCpus = 4;

std::vector<ModeRequest> requests(const Config& base, const std::vector<std::string>& modes) {
  std::vector<ModeRequest> list;
  for (const std::string& mode : modes) {
    list.push_back({mode, config_for_mode(base, parse_mode(mode))});
  }
  return list;
}

ComparePlan plan_of(const Config& base, const std::vector<std::string>& modes,
                    const std::string& baseline = "") {
  return plan_comparison(requests(base, modes), baseline, kSamples, kCpus);
}

std::vector<std::string> names_of(const ComparePlan& plan) {
  std::vector<std::string> names;
  for (const PlannedRun& run : plan.runs) names.push_back(run.name);
  return names;
}

TEST(Plan, default_modes_are_those_of_two_and_of_all_cpus) {
  EXPECT_EQ(default_modes(1),
            (std::vector<std::string>{"serial", "sync:2", "hogwild:2", "local-sgd:2:8"}));
  EXPECT_EQ(default_modes(2), default_modes(1));
  EXPECT_EQ(default_modes(16),
            (std::vector<std::string>{"serial", "sync:2", "sync:16", "hogwild:2", "hogwild:16",
                                      "local-sgd:2:8", "local-sgd:16:8"}));
}

TEST(Plan, a_workers_list_multiplies_modes_without_a_number) {
  EXPECT_EQ(with_workers({"serial", "sync", "hogwild:3", "sync@cuda"}, {1, 2}),
            (std::vector<std::string>{"serial", "sync:1", "sync:2", "hogwild:3", "sync:1@cuda",
                                      "sync:2@cuda"}));
  EXPECT_EQ(with_workers({"sync"}, {}), std::vector<std::string>{"sync"});
}

TEST(Plan, a_mode_drops_options_that_mean_nothing_to_it) {
  Config base;
  base.sync_every.steps = 8;
  base.overlap = Toggle::off;
  base.bucket_mb = 1.0;
  base.allreduce = AllReduceChoice::ring;
  const ComparePlan plan = plan_of(base, {"serial", "sync:2", "hogwild:2", "local-sgd:2"});
  for (const PlannedRun& run : plan.runs) EXPECT_TRUE(run.resolved) << run.name << run.reason;
  EXPECT_EQ(plan.runs[1].resolved->config.overlap, Toggle::off);
  EXPECT_EQ(plan.runs[3].resolved->config.sync_every.steps, 8);
}

TEST(Plan, a_mode_that_cannot_run_keeps_its_reason) {
  Config base;
  base.optimizer.kind = OptimizerKind::adam;
  const ComparePlan plan = plan_of(base, {"serial", "hogwild:2", "sync:200@cuda", "hogwild:2@mpi"});
  EXPECT_TRUE(plan.runs[0].resolved);
  EXPECT_FALSE(plan.runs[1].resolved);
  EXPECT_NE(plan.runs[1].reason.find("hogwild with --optimizer adam"), std::string::npos);
  // No build has so many, nor the emulator, which has one.
  EXPECT_FALSE(plan.runs[2].resolved);
  EXPECT_NE(plan.runs[2].reason.find("--device cuda"), std::string::npos);
  EXPECT_NE(plan.runs[3].reason.find("hogwild with 2 ranks"), std::string::npos);
}

TEST(Plan, where_nothing_can_run_is_an_error) {
  Config base;
  base.model.dropout = 1.5;
  EXPECT_THROW(plan_of(base, {"serial", "sync:2"}), Error);
}

TEST(Plan, serial_is_the_baseline_unless_another_is_named) {
  const ComparePlan by_default = plan_of({}, {"sync:2", "serial"});
  EXPECT_EQ(by_default.runs[0].baseline, 1);
  EXPECT_EQ(by_default.runs[1].baseline, 1);
  EXPECT_EQ(plan_of({}, {"sync:2", "serial"}, "sync:2").runs[1].baseline, 0);
  EXPECT_EQ(plan_of({}, {"sync:2", "hogwild:2"}).runs[0].baseline, -1);
  EXPECT_THROW(plan_of({}, {"serial"}, "sync:2"), Error);
}

TEST(Plan, a_mode_given_twice_is_an_error) {
  EXPECT_THROW(plan_of({}, {"sync:2", "sync:2"}), Error);
}

TEST(Plan, weak_scaling_adds_a_serial_run_of_each_global_batch) {
  Config base;
  base.per_worker_batch = 100;
  base.scale_lr = ScaleLearningRate::linear;
  const ComparePlan plan = plan_of(base, {"serial", "sync:2", "hogwild:2", "sync:4"});
  EXPECT_EQ(names_of(plan),
            (std::vector<std::string>{"serial", "serial batch-size=200", "sync:2", "hogwild:2",
                                      "serial batch-size=400", "sync:4"}));
  EXPECT_EQ(plan.runs[0].baseline, 0);
  EXPECT_EQ(plan.runs[2].baseline, 1);
  EXPECT_EQ(plan.runs[3].baseline, 1);
  EXPECT_EQ(plan.runs[5].baseline, 4);
  const Resolved& twin = *plan.runs[4].resolved;
  EXPECT_EQ(twin.strategy, Strategy::serial);
  EXPECT_EQ(twin.global_batch, 400);
  EXPECT_EQ(twin.learning_rate_scale, 4.0);  // the same job, its learning rate too
}

TEST(Plan, more_threads_than_cpus_are_named) {
  EXPECT_TRUE(plan_of({}, {"serial", "sync:4"}).warnings.empty());
  const ComparePlan plan = plan_of({}, {"serial", "sync:8"});
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_NE(plan.warnings[0].find("8 threads share 4 CPUs"), std::string::npos);
}

}  // namespace
}  // namespace lockstep

// What compare computes from its runs: speedup and the like, the median repetition, deviations.
#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/result.h"
#include "study/compare.h"

namespace lockstep {
namespace {

RunResult run_of(const std::string& name, int workers, double seconds) {
  RunResult run;
  run.name = name;
  run.workers = workers;
  run.train_seconds = seconds;
  run.repeats = {seconds};
  return run;
}

TEST(Baseline, gives_speedup_efficiency_and_the_serial_fraction) {
  const RunResult serial = run_of("serial", 1, 8.0);
  RunResult run = run_of("sync:4", 4, 4.0);
  compare_with_baseline(run, serial);
  EXPECT_EQ(*run.baseline, "serial");
  EXPECT_DOUBLE_EQ(*run.speedup, 2.0);
  EXPECT_DOUBLE_EQ(*run.efficiency, 0.5);
  // (1/2 - 1/4) / (1 - 1/4)
  EXPECT_DOUBLE_EQ(*run.karp_flatt, 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(*run.amdahl_limit, 3.0);
}

TEST(Baseline, against_itself_has_no_serial_fraction) {
  RunResult serial = run_of("serial", 1, 8.0);
  const RunResult copy = serial;
  compare_with_baseline(serial, copy);
  EXPECT_DOUBLE_EQ(*serial.speedup, 1.0);
  EXPECT_DOUBLE_EQ(*serial.efficiency, 1.0);
  EXPECT_FALSE(serial.karp_flatt.has_value());
  EXPECT_FALSE(serial.amdahl_limit.has_value());
}

TEST(Baseline, superlinear_speedup_has_no_amdahl_limit) {
  RunResult run = run_of("sync:2", 2, 1.0);
  compare_with_baseline(run, run_of("serial", 1, 2.5));
  EXPECT_LT(*run.karp_flatt, 0.0);
  EXPECT_FALSE(run.amdahl_limit.has_value());
}

TEST(Baseline, of_several_workers_divides_by_the_ratio_of_workers) {
  RunResult run = run_of("sync:4", 4, 1.0);
  compare_with_baseline(run, run_of("sync:2", 2, 1.5));
  EXPECT_DOUBLE_EQ(*run.speedup, 1.5);
  EXPECT_DOUBLE_EQ(*run.efficiency, 0.75);
}

TEST(Baseline, says_nothing_of_runs_that_failed) {
  RunResult run = run_of("sync:2", 2, 1.0);
  RunResult serial = run_of("serial", 1, 2.0);
  serial.status = RunStatus::diverged;
  compare_with_baseline(run, serial);
  EXPECT_FALSE(run.speedup.has_value());
  EXPECT_FALSE(run.baseline.has_value());
}

RunResult gpu_run_of(const std::string& name, double seconds) {
  RunResult run = run_of(name, 1, seconds);
  run.device = "cuda";
  run.strategy = "serial";
  return run;
}

RunResult serial_run_of(double seconds) {
  RunResult run = run_of("serial", 1, seconds);
  run.strategy = "serial";
  return run;
}

TEST(Baselines, are_one_thread_the_fastest_on_cpus_and_the_fastest_on_one_gpu) {
  std::vector<RunResult> runs = {serial_run_of(8.0), run_of("sync:2", 2, 5.0),
                                 run_of("hogwild:2", 2, 4.0), gpu_run_of("serial@cuda", 1.0),
                                 gpu_run_of("slower@cuda", 2.0)};
  compare_with_baselines(runs);
  EXPECT_DOUBLE_EQ(*runs[0].speedups.serial, 1.0);
  EXPECT_DOUBLE_EQ(*runs[0].speedups.best_cpu, 0.5);
  EXPECT_DOUBLE_EQ(*runs[0].speedups.gpu, 0.125);
  EXPECT_DOUBLE_EQ(*runs[3].speedups.serial, 8.0);
  EXPECT_DOUBLE_EQ(*runs[3].speedups.best_cpu, 4.0);
  EXPECT_DOUBLE_EQ(*runs[4].speedups.gpu, 0.5);
  EXPECT_EQ(find_baselines(runs, 0).best_cpu->name, "hogwild:2");
}

TEST(Baselines, one_thread_is_one_and_one_gpu_is_one) {
  std::vector<RunResult> runs = {serial_run_of(1.0), gpu_run_of("sync:2@cuda", 1.0)};
  runs[0].threads = 2;
  runs[1].workers = 2;
  compare_with_baselines(runs);
  EXPECT_FALSE(runs[1].speedups.serial.has_value());
  EXPECT_TRUE(runs[1].speedups.best_cpu.has_value());
  EXPECT_FALSE(runs[1].speedups.gpu.has_value());
}

TEST(Baselines, are_not_of_another_batch_nor_of_runs_that_failed) {
  std::vector<RunResult> runs = {serial_run_of(8.0), gpu_run_of("serial@cuda", 1.0),
                                 run_of("sync:2", 2, 5.0)};
  runs[0].global_batch = 64;
  runs[1].global_batch = runs[2].global_batch = 128;
  runs[2].status = RunStatus::diverged;
  compare_with_baselines(runs);
  EXPECT_FALSE(runs[1].speedups.serial.has_value());
  EXPECT_FALSE(runs[1].speedups.best_cpu.has_value());
  EXPECT_FALSE(runs[2].speedups.gpu.has_value()) << "it ended with nothing to compare";
}

TEST(Repetitions, are_represented_by_the_median) {
  const RunResult summary =
      summarize({run_of("a", 1, 3.0), run_of("a", 1, 1.0), run_of("a", 1, 2.0)});
  EXPECT_EQ(summary.train_seconds, 2.0);
  EXPECT_EQ(summary.repeats, (std::vector<double>{3.0, 1.0, 2.0}));
  EXPECT_EQ(summarize({run_of("a", 1, 3.0), run_of("a", 1, 1.0)}).train_seconds, 1.0);
}

TEST(Repetitions, keep_the_highest_memory_and_the_first_failure) {
  RunResult heavy = run_of("a", 1, 9.0);
  heavy.peak_memory_bytes = 500;
  EXPECT_EQ(summarize({run_of("a", 1, 1.0), heavy, run_of("a", 1, 2.0)}).peak_memory_bytes, 500);
  RunResult failed = run_of("a", 1, 0.0);
  failed.status = RunStatus::diverged;
  EXPECT_EQ(summarize({run_of("a", 1, 1.0), failed}).status, RunStatus::diverged);
}

TEST(Repetitions, give_the_speedup_a_deviation) {
  RunResult serial = run_of("serial", 1, 2.0);
  serial.repeats = {1.9, 2.0, 2.1};  // mean 2, standard deviation 0.1: 5 %
  RunResult run = run_of("sync:2", 2, 1.0);
  run.repeats = {0.9, 1.0, 1.1};  // 10 %
  compare_with_baseline(run, serial);
  EXPECT_NEAR(speedup_deviation(run, serial), 2.0 * std::hypot(0.05, 0.1), 1e-9);
  run.repeats = {1.0};
  EXPECT_EQ(speedup_deviation(run, serial), 0.0);
}

TEST(Repetitions, of_a_deterministic_run_must_agree_in_every_bit) {
  RunResult one = run_of("sync:2", 2, 1.0);
  one.deterministic = true;
  one.parameters_sha256 = "aa";
  RunResult other = one;
  EXPECT_TRUE(repeat_check({one, other})->passed);
  other.parameters_sha256 = "bb";
  EXPECT_FALSE(repeat_check({one, other})->passed);
  EXPECT_EQ(repeat_check({one, other})->measured, 2.0);
  EXPECT_FALSE(repeat_check({one}).has_value());
  one.deterministic = false;
  EXPECT_FALSE(repeat_check({one, other}).has_value());
}

TEST(Relate, measures_each_run_against_its_own_baseline) {
  ComparePlan plan;
  plan.runs.resize(3);
  plan.runs[0].baseline = 0;
  plan.runs[1].baseline = -1;
  plan.runs[2].baseline = 0;
  std::vector<RunResult> runs = {run_of("serial", 1, 4.0), run_of("x", 1, 3.0),
                                 run_of("sync:2", 2, 2.0)};
  relate(plan, runs);
  EXPECT_DOUBLE_EQ(*runs[0].speedup, 1.0);
  EXPECT_FALSE(runs[1].speedup.has_value());
  EXPECT_DOUBLE_EQ(*runs[2].speedup, 2.0);
}

}  // namespace
}  // namespace lockstep

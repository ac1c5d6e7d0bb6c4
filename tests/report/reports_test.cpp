// What people read on stdout.
#include "report/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

RunResult run_of(const std::string& name, int workers, std::vector<double> repeats) {
  RunResult run;
  run.name = name;
  run.workers = workers;
  run.steps = 10;
  run.train_seconds = repeats[repeats.size() / 2];
  run.repeats = std::move(repeats);
  run.samples_per_second = 1e5;
  run.global_batch = 64;
  run.final_test = Evaluation{0.1, 0.9712};
  run.time.compute = 0.5;
  run.time.data = 0.1;
  return run;
}

std::vector<RunResult> three_runs() {
  std::vector<RunResult> runs = {run_of("serial", 1, {1.9, 2.0, 2.1}),
                                 run_of("sync:2", 2, {1.0, 1.0, 1.0}),
                                 run_of("hogwild:2", 2, {4.0, 4.0, 4.0})};
  for (RunResult& run : runs) compare_with_baseline(run, runs[0]);
  return runs;
}

TEST(CompareReport, ends_with_a_sentence_for_each_mode_the_fastest_first) {
  EXPECT_THAT(compare_report(three_runs(), Json()),
              HasSubstr("\nsync:2 ran 2.00 +- 0.10 times faster than serial\n"
                        "hogwild:2 ran 2.00 +- 0.10 times slower than serial\n"));
}

TEST(CompareReport, a_mode_that_did_not_run_is_a_row_with_its_reason) {
  std::vector<RunResult> runs = three_runs();
  runs[2].status = RunStatus::not_run;
  runs[2].reason = "no such device";
  runs[2].speedup.reset();
  const std::string report = compare_report(runs, Json());
  EXPECT_THAT(report, HasSubstr("hogwild:2  not run: no such device\n"));
  EXPECT_THAT(report, Not(HasSubstr("hogwild:2 ran")));
}

TEST(CompareReport, fits_80_columns) {
  const std::string report = compare_report(three_runs(), Json());
  size_t begin = 0;
  for (size_t end; (end = report.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 80u) << report.substr(begin, end - begin);
  }
}

TEST(CompareReport, says_weak_scaling_where_the_batch_differs) {
  std::vector<RunResult> runs = three_runs();
  EXPECT_THAT(compare_report(runs, Json()), Not(HasSubstr("Weak scaling")));
  runs[1].global_batch = 128;
  EXPECT_THAT(compare_report(runs, Json()), HasSubstr("Weak scaling"));
}

TEST(CompareReport, a_fused_phase_is_named_not_zero) {
  std::vector<RunResult> runs = three_runs();
  runs[0].time.data.reset();
  runs[0].fused = {"data"};
  EXPECT_THAT(compare_report(runs, Json()), HasSubstr("fused"));
}

TEST(CompareReport, shows_published_figures_beside_ours) {
  const Json published = {{"accuracy", 0.98},
                          {"runs", {{{"mode", "sync:2"}, {"seconds", 39.7}, {"speedup", 1.8}}}}};
  const std::string report = compare_report(three_runs(), published);
  EXPECT_THAT(report, HasSubstr("accuracy: 0.98"));
  EXPECT_THAT(report, HasSubstr("39.7 s"));
  EXPECT_THAT(report, HasSubstr("1.80"));
}

GpuSurvey one_gpu() {
  GpuSurvey survey;
  survey.driver = survey.runtime = "13.0";
  Gpu gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.major = 9;
  gpu.memory_bytes = 80'000'000'000;
  survey.gpus = {gpu};
  return survey;
}

std::vector<RunResult> cpu_and_gpu() {
  std::vector<RunResult> runs = {run_of("serial", 1, {2.0}), run_of("sync:2", 2, {1.0}),
                                 run_of("serial@cuda", 1, {0.25})};
  runs[0].strategy = runs[2].strategy = "serial";
  runs[2].device = "cuda";
  runs[2].startup_seconds = 0.5;
  compare_with_baselines(runs);
  return runs;
}

Machine small_machine() {
  Machine machine;
  machine.cpu = "A CPU";
  machine.cpus_usable = 2;
  machine.simd = "AVX2";
  machine.nvidia_driver = "580.65.06";
  return machine;
}

TEST(PlatformReport, shows_each_run_against_the_baselines_of_cpu_and_gpu) {
  const std::string report = platform_report(cpu_and_gpu(), small_machine(), one_gpu());
  EXPECT_THAT(report, HasSubstr("serial@cuda              8.00      4.00     1.00    500 ms\n"));
  EXPECT_THAT(report, HasSubstr("one thread is serial, best CPU sync:2, one GPU serial@cuda."));
}

TEST(PlatformReport, describes_cpu_gpu_driver_and_cuda) {
  GpuSurvey survey = one_gpu();
  const std::string report = platform_report(cpu_and_gpu(), small_machine(), survey);
  EXPECT_THAT(report, HasSubstr("CPU: A CPU, 2 usable, AVX2\n"));
  EXPECT_THAT(report, HasSubstr("GPU 0: NVIDIA H100 80GB HBM3, 80.0 GB, compute capability 9.0"));
  EXPECT_THAT(report, HasSubstr("driver 580.65.06 (CUDA 13.0), built with CUDA 13.0"));
  EXPECT_THAT(report, Not(HasSubstr("emulated")));
  survey.emulated = true;
  EXPECT_THAT(platform_report(cpu_and_gpu(), small_machine(), survey), HasSubstr("emulated"));
}

TEST(PlatformReport, has_columns_for_capture_and_transfer_where_they_were_measured) {
  std::vector<RunResult> runs = cpu_and_gpu();
  const std::string without = platform_report(runs, small_machine(), one_gpu());
  EXPECT_THAT(without, Not(HasSubstr("capture")));
  EXPECT_THAT(without, Not(HasSubstr("transfer")));
  runs[2].capture_seconds = 0.003;
  runs[2].transfer_seconds = 0.02;
  const std::string with = platform_report(runs, small_machine(), one_gpu());
  EXPECT_THAT(with, HasSubstr("capture  transfer"));
  EXPECT_THAT(with, HasSubstr("3.00 ms   20.0 ms\n"));
}

TEST(PlatformReport, is_empty_where_no_gpu_ran) {
  std::vector<RunResult> runs = cpu_and_gpu();
  runs[2].status = RunStatus::not_run;
  EXPECT_EQ(platform_report(runs, small_machine(), one_gpu()), "");
}

TEST(PlatformReport, fits_80_columns_and_stands_before_the_closing_lines) {
  std::vector<RunResult> runs = cpu_and_gpu();
  runs[2].capture_seconds = runs[2].transfer_seconds = 0.003;
  for (RunResult& run : runs) compare_with_baseline(run, runs[0]);
  const std::string platforms = platform_report(runs, small_machine(), one_gpu());
  const std::string report = compare_report(runs, Json(), platforms);
  EXPECT_LT(report.find(platforms), report.find("serial@cuda ran 8.00"));
  size_t begin = 0;
  for (size_t end; (end = report.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 80u) << report.substr(begin, end - begin);
  }
}

TEST(TrainReport, shows_accuracy_time_and_where_it_went) {
  RunResult run = run_of("serial", 1, {2.0});
  const std::string report = train_report(run);
  EXPECT_THAT(report, HasSubstr("accuracy 0.9712"));
  EXPECT_THAT(report, HasSubstr("100 k samples/s"));
  EXPECT_THAT(report, HasSubstr("compute 500 ms (25 %), data 100 ms (5 %)"));
}

TEST(TrainReport, an_interrupted_run_says_so) {
  RunResult run = run_of("serial", 1, {2.0});
  run.status = RunStatus::interrupted;
  run.final_test.reset();
  const std::string report = train_report(run);
  EXPECT_THAT(report, HasSubstr("serial: interrupted"));
  EXPECT_THAT(report, Not(HasSubstr("accuracy")));
}

TEST(EvaluationReport, lists_classes_the_matrix_and_auc) {
  EvaluationReport report;
  report.evaluation = {0.25, 0.75};
  report.class_names = {"cat", "dog"};
  report.confusion = {2, {2, 1, 0, 1}};
  report.scores = scores_of(report.confusion);
  report.auc = 0.875;
  const std::string text = evaluation_report(report);
  EXPECT_THAT(text, HasSubstr("accuracy 0.7500, loss 0.2500 over 4 samples"));
  EXPECT_THAT(text, HasSubstr("AUC 0.8750"));
  EXPECT_THAT(text, HasSubstr("cat       1.0000  0.6667        3"));
  const Json json = json_of(report);
  EXPECT_EQ(json["confusion"], Json({{2, 1}, {0, 1}}));
  EXPECT_EQ(json["classes"][1]["precision"], 0.5);
}

}  // namespace
}  // namespace lockstep

// Whole trainings on a GPU: the CPU's job, samples, masks and results.
#include <gtest/gtest.h>

#include "checkpoint_fixture.h"
#include "device/device.h"
#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

class CudaTraining : public testing::DeviceTest {
 protected:
  static TrainedModel train_on(const char* device, const Dataset& dataset, const Change& job,
                               const Checkpoint* resume = nullptr) {
    return train_small(
        dataset,
        [&](Config& c) {
          job(c);
          c.device = device;
        },
        resume);
  }

  // Two devices add in other orders: equal but for rounding, from the same samples and masks.
  static void expect_as_on_the_cpu(const Dataset& dataset, const Change& job, const char* what,
                                   double tolerance = 1e-5) {
    SCOPED_TRACE(what);
    const TrainedModel cpu = train_on("cpu", dataset, job), gpu = train_on("cuda", dataset, job);
    EXPECT_EQ(gpu.result.emulated, testing::kEmulated);
    EXPECT_EQ(gpu.result.steps, cpu.result.steps);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), tolerance);
    expect_close(gpu.checkpoint.state.span(), cpu.checkpoint.state.span(), tolerance);
    ASSERT_EQ(gpu.result.epochs.size(), cpu.result.epochs.size());
    for (size_t i = 0; i < cpu.result.epochs.size(); ++i) {
      const EpochRecord& expected = cpu.result.epochs[i];
      const EpochRecord& actual = gpu.result.epochs[i];
      EXPECT_NEAR(actual.train_loss, expected.train_loss, tolerance);
      EXPECT_NEAR(actual.test->loss, expected.test->loss, tolerance);
      EXPECT_EQ(actual.learning_rate, expected.learning_rate);
    }
    EXPECT_NEAR(gpu.result.final_train->loss, cpu.result.final_train->loss, tolerance);
  }
};

// 203 samples in batches of 24: the last has 11.
TEST_F(CudaTraining, IsTheCpusForEveryOptimizer) {
  const Dataset dataset = make_dataset();
  expect_as_on_the_cpu(
      dataset, [](Config&) {}, "sgd");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.optimizer.momentum = 0.9;
        c.optimizer.weight_decay = 0.01;
        c.schedule.kind = ScheduleKind::cosine;
      },
      "momentum, decay, cosine");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.optimizer.momentum = 0.9;
        c.optimizer.nesterov = true;
      },
      "nesterov");
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw}) {
    expect_as_on_the_cpu(
        dataset,
        [&](Config& c) {
          c.optimizer.kind = kind;
          c.optimizer.learning_rate = 1e-3;
          c.optimizer.weight_decay = 1e-2;
          c.model.dropout = 0.3;
        },
        "adam with dropout", 1e-4);
  }
}

TEST_F(CudaTraining, IsTheCpusForEveryModel) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  const Change logistic = [](Config& c) { c.model.model = "logistic"; };
  expect_as_on_the_cpu(dataset, logistic, "softmax regression");
  expect_as_on_the_cpu(binary, logistic, "logistic regression");
  expect_as_on_the_cpu(
      binary,
      [&](Config& c) {
        logistic(c);
        c.data.shuffle = Shuffle::none;
        c.batch_size = 203;
      },
      "logistic regression, one batch, in order");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.model.hidden = {40};
        c.batch_size = 1;
        c.epochs = 1;
      },
      "batches of one");
}

// cuBLASLt's products, with short last batches and evaluations of other sizes.
TEST_F(CudaTraining, IsTheCpusWithCublas) {
  const Dataset dataset = make_dataset();
  const Change cublas = [](Config& c) { c.gemm = Gemm::cublas; };
  expect_as_on_the_cpu(dataset, cublas, "sgd");
  expect_as_on_the_cpu(
      dataset,
      [&](Config& c) {
        cublas(c);
        c.optimizer.kind = OptimizerKind::adam;
        c.optimizer.learning_rate = 1e-3;
        c.model.dropout = 0.3;
      },
      "adam with dropout", 1e-4);
  expect_as_on_the_cpu(
      dataset,
      [&](Config& c) {
        cublas(c);
        c.model.model = "logistic";
        c.batch_size = 1;
        c.epochs = 1;
      },
      "softmax regression, batches of one");
}

TEST_F(CudaTraining, ReportsWhatComputesItsProducts) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    const TrainedModel gpu = train_on("cuda", dataset, [&](Config& c) {
      c.gemm = gemm;
      c.epochs = 1;
    });
    ASSERT_EQ(gpu.result.gemm.size(), 8U);  // three layers; inputs have no gradient
    for (const ProductChoice& choice : gpu.result.gemm) {
      EXPECT_EQ(choice.gemm, gemm);
      EXPECT_EQ(choice.batch, 24);
      EXPECT_FALSE(choice.own_seconds || choice.cublas_seconds);
    }
  }
  const Change logistic = [](Config& c) { c.model.model = "logistic"; };
  EXPECT_TRUE(train_on("cuda", binary, logistic).result.gemm.empty());
  EXPECT_TRUE(train_on("cpu", dataset, [](Config&) {}).result.gemm.empty());
}

// On the emulator resolve() takes own kernels: what a GPU would do is asked for by hand.
TEST_F(CudaTraining, MeasuredProductsAreTheCpusToo) {
  const Dataset dataset = make_dataset();
  const TrainedModel cpu = train_on("cpu", dataset, [](Config&) {});
  Config config = testing::small_config();
  config.device = "cuda";
  Resolved resolved = resolve(config, dataset.train.size());
  resolved.gemm = Gemm::automatic;
  std::vector<std::string> notes;
  TrainObserver observer;
  observer.on_note = [&](const std::string& note) { notes.push_back(note); };
  const Model model = make_model(config.model, dataset.features(), dataset.classes);
  const TrainedModel gpu = train(resolved, dataset, model, observer);
  expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), 1e-5);
  for (const ProductChoice& choice : gpu.result.gemm) EXPECT_GT(choice.cublas_seconds.value(), 0);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("weight gradient 17-9 by "), std::string::npos) << notes[0];
}

TEST_F(CudaTraining, DropsInputsAsTheCpuDoes) {
  const Dataset dataset = make_dataset();
  const auto train_dropping = [&](const char* device, Gemm gemm) {
    Config config = testing::small_config();
    config.device = device;
    config.gemm = gemm;
    Model model = make_model(config.model, dataset.features(), dataset.classes);
    model.layers.insert(model.layers.begin(), Dropout{0.2});
    return train(resolve(config, dataset.train.size()), dataset, model);
  };
  const TrainedModel cpu = train_dropping("cpu", Gemm::own);
  const TrainedModel plain = train_on("cpu", dataset, [](Config&) {});
  EXPECT_GT(std::abs(cpu.result.final_test->loss - plain.result.final_test->loss), 1e-4);
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    const TrainedModel gpu = train_dropping("cuda", gemm);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), 1e-5);
    EXPECT_NEAR(gpu.result.final_test->loss, cpu.result.final_test->loss, 1e-5);
  }
}

// As many multiprocessors as a large GPU's: small batches are split over them, evaluations are not.
TEST_F(CudaTraining, IsTheCpusOnAWideGpu) {
  testing::pretend_multiprocessors(132);
  expect_as_on_the_cpu(
      make_dataset(50, 640, 4),
      [](Config& c) {
        c.model.hidden = {200};
        c.epochs = 1;
      },
      "wide");
}

TEST_F(CudaTraining, HasTheSameBitsInWhateverOrderTheDeviceRuns) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) {
    c.optimizer.momentum = 0.9;
    c.model.dropout = 0.2;
  };
  const std::string expected = train_on("cuda", dataset, job).result.parameters_sha256;
  for (const int seed : {2, 3}) {
    testing::set_order(seed);
    EXPECT_EQ(train_on("cuda", dataset, job).result.parameters_sha256, expected) << seed;
  }
}

TEST_F(CudaTraining, ResumedIsBitwiseTheUninterruptedRun) {
  const Dataset dataset = make_dataset();
  const TemporaryFolder folder;
  const Change job = [&](Config& c) {
    c.optimizer.kind = OptimizerKind::adam;
    c.optimizer.learning_rate = 1e-3;
    c.model.dropout = 0.2;
    c.checkpoint_every = {5, true};
    c.out = folder.path().string();
  };
  const TrainedModel whole = train_on("cuda", dataset, job);
  const Checkpoint state = load_checkpoint(folder.file("checkpoints/step-0000000010.safetensors"));
  const TrainedModel resumed = train_on("cuda", dataset, job, &state);
  EXPECT_EQ(resumed.result.parameters_sha256, whole.result.parameters_sha256);
  EXPECT_EQ(resumed.result.epochs.back().train_loss, whole.result.epochs.back().train_loss);
}

TEST_F(CudaTraining, TensorCoreFormatsStayNear) {
  if (!testing::has_tensor_cores()) GTEST_SKIP() << "no tensor cores for TF32 and bf16";
  const Dataset dataset = make_dataset();
  const double loss = train_on("cpu", dataset, [](Config&) {}).result.final_test->loss;
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
      const TrainedModel gpu = train_on("cuda", dataset, [&](Config& c) {
        c.gemm = gemm;
        c.model.precision = precision;
      });
      EXPECT_NEAR(gpu.result.final_test->loss, loss, 0.02) << to_string(precision);
      EXPECT_GT(std::abs(gpu.result.final_test->loss - loss), 1e-6) << to_string(precision);
    }
  }
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(CudaTraining, ADivergedRunNamesTheStepAsTheCpuDoes) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) { c.optimizer.learning_rate = 1e25; };
  const std::string cpu = message_of([&] { train_on("cpu", dataset, job); });
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    const Change on_gpu = [&](Config& c) {
      job(c);
      c.gemm = gemm;
    };
    const std::string gpu = message_of([&] { train_on("cuda", dataset, on_gpu); });
    EXPECT_TRUE(gpu.starts_with(cpu)) << gpu;
    // The step whose loss is bad and those after it have left them as they were.
    EXPECT_NE(gpu.find("the weights before it are finite, the largest "), std::string::npos) << gpu;
    EXPECT_NE(gpu.find("in layers."), std::string::npos) << gpu;
  }
  EXPECT_NE(cpu.find("step"), std::string::npos) << cpu;
}

TEST_F(CudaTraining, ADivergedRunNamesTheFirstTensorThatIsNotFinite) {
  const Dataset dataset = make_dataset();
  // The first update of a weight is past the largest float; of a bias, which does not decay, not.
  const Change job = [](Config& c) {
    c.optimizer.learning_rate = 1e38;
    c.optimizer.weight_decay = 1e4;
  };
  const std::string message = message_of([&] { train_on("cuda", dataset, job); });
  EXPECT_NE(message.find(" of the 221 values of layers.0.weight are not finite"), std::string::npos)
      << message;
}

// 24 rows in 5 parts, the last batch's 11, and one batch of a single row.
TEST_F(CudaTraining, PartsOfABatchAddUpAsOnTheCpu) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  const Change parts = [](Config& c) {
    c.accumulate = 5;
    c.optimizer.momentum = 0.9;
    c.model.dropout = 0.2;
  };
  expect_as_on_the_cpu(dataset, parts, "network");
  const Change logistic = [&](Config& c) {
    parts(c);
    c.model.dropout = 0.0;
    c.model.model = "logistic";
    c.batch_size = 101;  // 203 = 101 + 101 + 1
  };
  expect_as_on_the_cpu(binary, logistic, "logistic regression");
}

TEST_F(CudaTraining, DataStreamedFromTheHostGiveTheSameBits) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  const auto trained = [&](const Dataset& data, DataPlacement placement, const Change& job) {
    return train_on("cuda", data, [&](Config& c) {
      job(c);
      c.data_placement = placement;
    });
  };
  const auto expect_same = [&](const Dataset& data, const Change& job, const char* what) {
    SCOPED_TRACE(what);
    const TrainedModel device = trained(data, DataPlacement::device, job);
    for (const int seed : {1, 2, 3}) {
      testing::set_order(seed);
      const TrainedModel host = trained(data, DataPlacement::host, job);
      EXPECT_EQ(host.result.parameters_sha256, device.result.parameters_sha256) << seed;
      EXPECT_EQ(host.result.epochs.back().train_loss, device.result.epochs.back().train_loss);
      EXPECT_EQ(host.result.epochs.back().test->loss, device.result.epochs.back().test->loss);
    }
  };
  const Change dropout = [](Config& c) {
    c.model.dropout = 0.3;
    c.accumulate = 2;
  };
  expect_same(dataset, dropout, "network with dropout, in parts");
  expect_same(
      binary, [](Config& c) { c.model.model = "logistic"; }, "logistic regression");
  expect_same(
      dataset, [](Config& c) { c.data.shuffle = Shuffle::none; }, "in the data set's order");
}

// Of a step: the copy waits until the slot's step before has read it, the step waits for the copy.
TEST_F(CudaTraining, EveryWaitOfAStreamedStepIsNeeded) {
  if (!testing::drop_event_wait(-1)) GTEST_SKIP() << "a GPU drops no wait";
  if (testing::under_thread_sanitizer()) GTEST_SKIP() << "races on purpose";
  const Dataset dataset = make_dataset(2003, 13, 3);
  const auto sha_of = [&](int seed, long dropped) {
    testing::set_order(seed);
    testing::drop_event_wait(dropped);
    const TrainedModel trained = train_on("cuda", dataset, [](Config& c) {
      c.model.hidden = {8};
      c.epochs = 2;
      c.data_placement = DataPlacement::host;
    });
    testing::drop_event_wait(-1);
    return trained.result.parameters_sha256;
  };
  const std::string expected = sha_of(1, -1);
  testing::set_delays(1000);
  // The copies are ahead, but for an epoch's first: slots then hold batches of the epoch before.
  constexpr long kSteps = 84, kCopyWaits = 2 * 20, kStepWaits = 2 * kSteps + 1;
  for (const long dropped : {kCopyWaits, kStepWaits}) {
    // One in three shows the second of them, on a busy machine fewer.
    bool wrong = false;
    for (int seed = 1; seed <= 200 && !wrong; ++seed) wrong = sha_of(seed, dropped) != expected;
    EXPECT_TRUE(wrong) << "without event wait " << dropped;
  }
}

std::string option_of(const TrainedModel& trained, const std::string& name) {
  for (const auto& [key, value] : trained.result.strategy_options) {
    if (key == name) return value;
  }
  return "none";
}

TEST_F(CudaTraining, SaysWhereTheDataAre) {
  const Dataset dataset = make_dataset();
  const Change none = [](Config&) {};
  EXPECT_EQ(option_of(train_on("cuda", dataset, none), "data_placement"), "device");
  const Change host = [](Config& c) { c.data_placement = DataPlacement::host; };
  EXPECT_EQ(option_of(train_on("cuda", dataset, host), "data_placement"), "host");
  EXPECT_EQ(option_of(train_on("cpu", dataset, host), "data_placement"), "none");
}

TEST_F(CudaTraining, PhasesAreSampledAndMakeUpTheStep) {
  testing::use_virtual_time();
  const Dataset dataset = make_dataset();
  // In two parts: the update of a small batch that is computed at once is part of its products.
  const TrainedModel trained = train_on("cuda", dataset, [](Config& c) { c.accumulate = 2; });
  const PhaseSeconds& time = trained.result.time;
  ASSERT_TRUE(time.data && time.compute && time.update);
  EXPECT_TRUE(time.sampled);
  EXPECT_GT(*time.data, 0.0);
  EXPECT_GT(*time.update, 0.0);
  EXPECT_GT(*time.compute, *time.data) << "ten kernels against one";
  EXPECT_GT(trained.result.transfer_seconds.value(), 0.0);
  EXPECT_GT(trained.result.capture_seconds.value(), 0.0);
  EXPECT_TRUE(trained.result.fused.empty());
  const TrainedModel in_one = train_on("cuda", dataset, [](Config&) {});
  EXPECT_GT(in_one.result.time.compute.value(), 0.0);
  EXPECT_EQ(in_one.result.fused, std::vector<std::string>{"update"});
}

TEST_F(CudaTraining, AStepInOneKernelHasNoPhases) {
  const Dataset binary = make_dataset(203, 13, 2);
  const TrainedModel trained =
      train_on("cuda", binary, [](Config& c) { c.model.model = "logistic"; });
  EXPECT_FALSE(trained.result.time.compute || trained.result.time.data);
  EXPECT_FALSE(trained.result.time.sampled);
  EXPECT_EQ(trained.result.fused, (std::vector<std::string>{"compute", "data", "update"}));
}

}  // namespace
}  // namespace lockstep

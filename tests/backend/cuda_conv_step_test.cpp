// Steps of convolutional networks on a GPU against the float64 oracle.
#include <algorithm>
#include <memory>

#include "backend/fixtures.h"
#include "device/device.h"
#include "lockstep/device.h"
#include "lockstep/error.h"
#include "reference/network.h"
#include "reference/optimizer.h"

namespace lockstep {
namespace {

constexpr uint64_t kSeed = 77;

struct NetworkCase {
  const char* name;
  const char* layers;
  ImageShape image;
  int classes = 3;
};

// Every layer, alone and fused, in every order that a model may have.
const std::vector<NetworkCase>& networks() {
  static const std::vector<NetworkCase> cases = {
      {"the study's, smaller",
       "conv 8 3, relu, maxpool 2, conv 12 3, relu, maxpool 2, flatten, linear 10, relu, linear 3",
       {3, 12, 12}},
      {"LeNet's kinds",
       "conv 6 5 pad 2, relu, maxpool 2, conv 7 5, relu, maxpool 2, flatten, linear 9, relu, "
       "linear 3",
       {1, 14, 14}},
      {"strides, sides and average pooling",
       "conv 5 2x3 stride 2 pad 1, relu, avgpool 2, conv 9 1, flatten, linear 3",
       {2, 11, 10}},
      {"overlapping pooling",
       "conv 4 3, relu, maxpool 3 stride 2, conv 6 3 pad 2, relu, maxpool 2 stride 1, flatten, "
       "linear 3",
       {3, 12, 11}},
      {"dropout everywhere",
       "dropout 0.2, conv 6 3, relu, dropout 0.3, maxpool 2, conv 8 2, relu, maxpool 2, "
       "dropout 0.4, flatten, linear 7, relu, dropout 0.5, linear 3",
       {3, 10, 10}},
      {"dropout without relu",
       "conv 5 3, dropout 0.3, conv 6 2, avgpool 2, dropout 0.3, flatten, linear 3",
       {4, 8, 8}},
      {"pooling of the data", "maxpool 2, conv 5 3, relu, flatten, linear 3", {3, 10, 10}},
      {"pooling alone", "avgpool 2, flatten, linear 6, relu, linear 3", {1, 8, 8}},
      {"large windows", "conv 5 3, relu, maxpool 6, flatten, linear 3", {3, 14, 14}},
      {"no linear layer", "conv 8 3, relu, conv 3 4, avgpool 3, flatten", {3, 8, 8}},
      {"one logit", "conv 4 3, relu, maxpool 2, flatten, linear 1", {1, 8, 8}, 2},
  };
  return cases;
}

// A compiled step with all that it borrows.
class Compiled {
 public:
  Compiled(const NetworkCase& network, const StepOptions& options, FeatureType type,
           int64_t samples)
      : model(make_layers(network.layers, network.image, network.image.size(), network.classes)),
        layout(model),
        data(type, samples, model.inputs, network.classes),
        values(layout.size()),
        options_(options) {
    if (type == FeatureType::uint8) normalization = testing::unit_scaling();
    initialize(model, layout, kSeed, values.span());
    // Biases that are not zero.
    for (const TensorSpec& tensor : layout.tensors()) {
      if (tensor.shape.size() > 1) continue;
      const std::vector<float> drawn = testing::normals(tensor.size, 9, 0.1F);
      std::copy(drawn.begin(), drawn.end(), values.data() + tensor.offset);
    }
    options_.seed = kSeed;
    step = make_cuda_backend(0)->compile(model, layout, normalization,
                                         {values.span(), {}, state.span()}, options_);
  }

  std::vector<double> values64() const { return {values.begin(), values.end()}; }
  reference::Result oracle(const Batch& batch, std::span<const double> at,
                           reference::DropoutMode dropout) const {
    return reference::run(model, layout, at, batch, normalization, dropout, kSeed,
                          options_.precision == Precision::bf16 ? reference::Operands::bf16
                                                                : reference::Operands::exact);
  }

  Model model;
  ParameterLayout layout;
  testing::Samples data;
  Normalization normalization;
  Buffer<float> values, state;
  std::unique_ptr<Step> step;

 private:
  StepOptions options_;
};

StepOptions options_for(int64_t batch, Precision precision = Precision::fp32, int accumulate = 1) {
  StepOptions options;
  options.max_batch = options.train_batch = batch;
  options.precision = precision;
  options.accumulate = accumulate;
  return options;
}

class CudaConvStep : public testing::DeviceTest {
 protected:
  static constexpr int64_t kSamples = 23;

  // Plain SGD over one epoch of batches; what the oracle has then, where the device's values are
  // in compiled.values.
  static std::vector<double> train(Compiled& compiled, int64_t batch, double learning_rate,
                                   const Augmentation* augmentation = nullptr) {
    const Sampler sampler(kSamples, 5, Shuffle::epoch);
    constexpr uint32_t kEpoch = 2;
    EpochJob job;
    job.data = &compiled.data.split;
    job.sampler = &sampler;
    job.global_batch = batch;
    job.augmentation = augmentation;
    std::vector<double> expected = compiled.values64();
    std::vector<UpdateScalars> scalars;
    OptimizerConfig optimizer;
    optimizer.learning_rate = learning_rate;
    reference::OptimizerState state;
    BatchMetrics metrics;
    for (int64_t k = 0; k < sampler.batches(batch); ++k) {
      const IndexRange range = job.batch(k);
      std::vector<int64_t> samples(static_cast<size_t>(range.size()));
      sampler.fill(kEpoch, range.begin, samples);
      Batch host = compiled.data.pick(samples, kEpoch);
      host.augmentation = augmentation;
      const reference::Result result = compiled.oracle(host, expected, reference::DropoutMode::on);
      metrics.loss += result.loss;
      reference::update(optimizer, k, range.size(), result.gradients, expected, state);
      scalars.push_back(update_scalars(optimizer, learning_rate, k, range.size()));
    }
    EpochStep& step = *compiled.step->epoch_step();
    step.prepare(job);
    step.begin_epoch({.epoch = kEpoch, .first_batch = 0, .first_step = 0, .scalars = scalars});
    BatchMetrics got;
    for (size_t k = 0; k < scalars.size(); ++k) got += step.train_next();
    got += step.settle();
    step.write_back();
    EXPECT_NEAR(got.loss, metrics.loss, loss_tolerance * metrics.loss);
    EXPECT_EQ(got.count, kSamples);
    return expected;
  }

  static void expect_close(const Compiled& compiled, const std::vector<double>& expected,
                           double tolerance) {
    for (const TensorSpec& tensor : compiled.layout.tensors()) {
      for (size_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
        ASSERT_NEAR(compiled.values[i], expected[i], tolerance)
            << tensor.name << " element " << i - tensor.offset;
      }
    }
  }

  static inline double loss_tolerance = 1e-5;
};

// Of a single batch: the step's length is that of the mean gradient.
TEST_F(CudaConvStep, OneStepIsTheOraclesGradient) {
  for (const NetworkCase& network : networks()) {
    SCOPED_TRACE(network.name);
    for (const FeatureType type : {FeatureType::float32, FeatureType::uint8}) {
      testing::renew_device();
      Compiled compiled(network, options_for(kSamples), type, kSamples);
      const std::vector<double> expected = train(compiled, kSamples, 1.0);
      expect_close(compiled, expected, 5e-6);
    }
  }
}

// The last batch is shorter: 23 = 10 + 10 + 3.
TEST_F(CudaConvStep, AnEpochIsTheOracles) {
  for (const NetworkCase& network : networks()) {
    for (const int accumulate : {1, 3}) {
      SCOPED_TRACE(std::string(network.name) + ", parts " + std::to_string(accumulate));
      testing::renew_device();
      Compiled compiled(network, options_for(10, Precision::fp32, accumulate), FeatureType::float32,
                        kSamples);
      expect_close(compiled, train(compiled, 10, 0.1), 5e-6);
    }
  }
}

TEST_F(CudaConvStep, TensorCoresComeNear) {
  loss_tolerance = 2e-2;
  for (const Precision precision : testing::precisions()) {
    if (precision == Precision::fp32) continue;
    for (const NetworkCase& network : networks()) {
      SCOPED_TRACE(std::string(network.name) + ", precision " +
                   std::to_string(static_cast<int>(precision)));
      testing::renew_device();
      Compiled compiled(network, options_for(kSamples, precision), FeatureType::float32, kSamples);
      const std::vector<double> before = compiled.values64();
      const std::vector<double> expected = train(compiled, kSamples, 0.05);
      // As far as one rounding of operands in a few thousand products: of the step's own length.
      double step = 0.0, error = 0.0;
      for (size_t i = 0; i < expected.size(); ++i) {
        step += (expected[i] - before[i]) * (expected[i] - before[i]);
        error += (compiled.values[i] - expected[i]) * (compiled.values[i] - expected[i]);
      }
      EXPECT_LT(std::sqrt(error / step), 0.03);
      EXPECT_GT(std::sqrt(error / step), 1e-7) << "operands are not rounded";
    }
  }
  loss_tolerance = 1e-5;
}

TEST_F(CudaConvStep, ImagesMoveAsTheOraclesDo) {
  for (const NetworkCase& network : {networks()[0], networks()[1], networks()[6]}) {
    SCOPED_TRACE(network.name);
    testing::renew_device();
    const Augmentation augmentation{kSeed, network.image, 2, true};
    Compiled moved(network, options_for(10), FeatureType::uint8, kSamples);
    expect_close(moved, train(moved, 10, 0.1, &augmentation), 5e-6);
  }
}

TEST_F(CudaConvStep, EvaluationIsTheOraclesWithoutDropout) {
  for (const NetworkCase& network : networks()) {
    SCOPED_TRACE(network.name);
    testing::renew_device();
    Compiled compiled(network, options_for(8), FeatureType::float32, kSamples);
    // Blocks of 8 hold the whole, in parts.
    const Batch batch = compiled.data.range(3, kSamples);
    const reference::Result expected =
        compiled.oracle(batch, compiled.values64(), reference::DropoutMode::off);
    std::vector<float> logits(expected.logits.data.size());
    const BatchMetrics metrics = compiled.step->evaluate(compiled.data.range(3, 11), {});
    EXPECT_EQ(metrics.count, 8);
    BatchMetrics all = metrics;
    all += compiled.step->evaluate(compiled.data.range(11, 19), {});
    all += compiled.step->evaluate(compiled.data.range(19, kSamples), {});
    EXPECT_NEAR(all.loss, expected.loss, 1e-5 * expected.loss);
    EXPECT_EQ(all.correct, expected.correct);
    const auto outputs = static_cast<size_t>(expected.logits.columns);
    (void)compiled.step->evaluate(compiled.data.range(3, 11), {logits.data(), 8 * outputs});
    for (size_t i = 0; i < 8 * outputs; ++i) {
      ASSERT_NEAR(logits[i], expected.logits.data[i], 1e-5) << i;
    }
  }
}

// Networks of images keep less than a huge batch: 512 samples, of which this takes two turns.
TEST_F(CudaConvStep, ALargeBatchIsEvaluatedInParts) {
  const NetworkCase network{"small", "conv 2 3, relu, maxpool 2, flatten, linear 3", {1, 5, 5}};
  StepOptions options = options_for(4);
  options.max_batch = 700;
  const Compiled compiled(network, options, FeatureType::float32, 700);
  const Batch batch = compiled.data.range(0, 700);
  const reference::Result expected =
      compiled.oracle(batch, compiled.values64(), reference::DropoutMode::off);
  std::vector<float> logits(expected.logits.data.size());
  const BatchMetrics metrics = compiled.step->evaluate(batch, logits);
  EXPECT_EQ(metrics.count, 700);
  EXPECT_NEAR(metrics.loss, expected.loss, 1e-5 * expected.loss);
  for (size_t i = 0; i < logits.size(); ++i) {
    ASSERT_NEAR(logits[i], expected.logits.data[i], 1e-5) << i;
  }
}

// As many multiprocessors as a large GPU's: products are cut in other ways.
TEST_F(CudaConvStep, IsTheOraclesOnAWideGpu) {
  testing::pretend_multiprocessors(132);
  Compiled compiled(networks()[0], options_for(kSamples), FeatureType::float32, kSamples);
  expect_close(compiled, train(compiled, kSamples, 1.0), 5e-6);
}

}  // namespace
}  // namespace lockstep

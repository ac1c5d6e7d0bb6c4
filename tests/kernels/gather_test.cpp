#include "kernels/gather.h"

#include "backend/gather.h"
#include "kernels/op_fixture.h"

namespace lockstep {
namespace {

using testing::Samples;

constexpr float kUntouched = 77.0f;

class GatherTest : public testing::KernelTest {
 protected:
  struct Gathered {
    std::vector<float> rows;
    std::vector<std::int32_t> labels;
    std::vector<std::int64_t> samples;
  };

  Gathered run(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
               const StepState* state, std::int64_t stride) {
    GatherOutputs to;
    to.rows = testing::to_device(std::vector<float>(batch.rows * stride + 1, kUntouched));
    to.stride = stride;
    to.labels = testing::device_array<std::int32_t>(batch.rows + 1);
    to.samples = testing::device_array<std::int64_t>(batch.rows + 1);
    gather(data, scale, batch, state, to, stream_);
    return {testing::from_device(to.rows, batch.rows * stride + 1),
            testing::from_device(to.labels, batch.rows),
            testing::from_device(to.samples, batch.rows)};
  }

  // Against the CPU's gather of the samples that the sampler gives: every bit, and nothing beyond.
  void expect_as_on_the_cpu(const Samples& samples, const Normalization& normalization,
                            const Sampler& sampler, const BatchRows& batch, std::uint32_t epoch,
                            std::int64_t k, std::int64_t stride) {
    const std::int64_t columns = samples.split.features.columns;
    const std::vector<std::int64_t> picked = testing::sampled(sampler, epoch, k, batch);
    std::vector<float> rows(batch.rows * stride + 1, kUntouched);
    lockstep::gather(samples.pick(picked), FeatureScaling(normalization, columns), rows.data(),
                     stride);
    std::vector<std::int32_t> labels;
    for (const std::int64_t sample : picked) labels.push_back(samples.split.labels[sample]);

    const Gathered got = run(testing::resident(samples), testing::device_scale(normalization),
                             batch, testing::step_state(sampler.seed(), epoch, k), stride);
    EXPECT_EQ(got.samples, picked);
    EXPECT_EQ(got.labels, labels);
    EXPECT_TRUE(testing::same_bits(got.rows, rows))
        << columns << " columns, " << batch.rows << " rows, stride " << stride;
  }
};

TEST_F(GatherTest, rows_are_bitwise_the_cpus_for_every_type_and_scale) {
  for (const FeatureType type : {FeatureType::uint8, FeatureType::float32}) {
    for (const std::int64_t columns : {1, 2, 3, 4, 5, 8, 20, 61, 64, 132}) {
      Samples samples(type, 37, columns, 5);
      if (!samples.floats.empty()) samples.floats[0] = -0.0f;
      const Sampler sampler(37, 3, Shuffle::epoch);
      const BatchRows batch = training_rows(sampler, 1, 11);
      for (const Normalization& normalization :
           {Normalization{}, testing::unit_scaling(), testing::per_feature(columns, 0.5f)}) {
        for (const std::int64_t stride : {columns, static_cast<std::int64_t>(padded(columns))}) {
          expect_as_on_the_cpu(samples, normalization, sampler, batch, 2, 1, stride);
        }
      }
    }
  }
}

TEST_F(GatherTest, shares_and_parts_of_every_batch_are_the_samplers) {
  for (const Shuffle shuffle : {Shuffle::epoch, Shuffle::none}) {
    for (const std::int64_t n : {1, 2, 97, 1030}) {
      const Samples samples(FeatureType::uint8, n, 3, 2);
      const Sampler sampler(n, 5, shuffle);
      const std::int64_t global_batch = n < 50 ? 1 : 41;
      for (const std::int64_t k : {std::int64_t{0}, sampler.batches(global_batch) - 1}) {
        for (const int world_size : {1, 3}) {
          for (int rank = 0; rank < world_size; ++rank) {
            for (const int part : {0, 1}) {
              const BatchRows batch =
                  training_rows(sampler, k, global_batch, rank, world_size, part, 2);
              expect_as_on_the_cpu(samples, testing::unit_scaling(), sampler, batch, 4, k, 3);
            }
          }
        }
      }
    }
  }
}

TEST_F(GatherTest, consecutive_rows_need_no_state) {
  const Samples samples(FeatureType::float32, 9, 4, 3);
  const Gathered got = run(testing::resident(samples), {}, consecutive_rows({2, 9}), nullptr, 4);
  EXPECT_EQ(got.samples, (std::vector<std::int64_t>{2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(got.rows[0], samples.floats[8]);
  EXPECT_EQ(got.rows[27], samples.floats[35]);
}

TEST_F(GatherTest, data_without_labels_has_none) {
  Samples samples(FeatureType::float32, 5, 2, 2);
  samples.split.labels.clear();
  GatherOutputs to;
  to.rows = testing::device_array<float>(10);
  to.stride = 2;
  gather(testing::resident(samples), {}, consecutive_rows({0, 5}), nullptr, to, stream_);
  EXPECT_EQ(testing::from_device(to.rows, 10), samples.floats);
}

TEST_F(GatherTest, features_of_another_type_are_refused) {
  ResidentData data;
  data.type = FeatureType::bfloat16;
  data.columns = 4;
  EXPECT_THROW(gather(data, {}, consecutive_rows({0, 1}), nullptr, {}, stream_), Error);
}

// One captured graph serves every step: what it gathers follows the state.
TEST_F(GatherTest, a_graph_walks_through_the_epoch) {
  const Samples samples(FeatureType::uint8, 50, 2, 2);
  const Sampler sampler(50, 9, Shuffle::epoch);
  const BatchRows batch = training_rows(sampler, 0, 10);
  const ResidentData data = testing::resident(samples);
  StepState* state = testing::step_state(9, 1, 0);
  GatherOutputs to;
  to.rows = testing::device_array<float>(20);
  to.stride = 2;
  to.samples = testing::device_array<std::int64_t>(10);

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
  gather(data, {}, batch, state, to, stream_);
  advance_step({.state = state}, stream_);
  check(cudaStreamEndCapture(stream_, &graph), "capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
  for (std::int64_t k = 0; k < 5; ++k) {
    check(cudaGraphLaunch(executable, stream_), "launch");
    EXPECT_EQ(testing::from_device(to.samples, 10), testing::sampled(sampler, 1, k, batch));
  }
  check(cudaGraphExecDestroy(executable), "destroy");
  check(cudaGraphDestroy(graph), "destroy");
}

}  // namespace
}  // namespace lockstep

// --sparse-input changes how the first layer is computed and stored, never what comes out.
#include "train/sparse_input.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint_fixture.h"
#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::make_dataset;
using testing::train_small;

// The clusters with all but one in nine of the features zero.
Dataset sparse_dataset() {
  Dataset dataset = make_dataset(203, 45);
  for (Split* split : {&dataset.train, &*dataset.test}) {
    auto values = std::make_shared<Buffer<float>>(split->size() * 45);
    const auto* from = static_cast<const float*>(split->features.data);
    for (size_t i = 0; i < values->size(); ++i) (*values)[i] = i / 5 % 9 == 0 ? from[i] : 0.0f;
    split->features.data = values->data();
    split->features.keep_alive = values;
  }
  return dataset;
}

TrainedModel train_with(const Dataset& dataset, const Change& job, SparseInput sparse,
                        const Checkpoint* resume = nullptr) {
  return train_small(
      dataset,
      [&](Config& c) {
        job(c);
        c.sparse_input = sparse;
      },
      resume);
}

void expect_equal(const TrainedModel& a, const TrainedModel& b, const std::string& what) {
  EXPECT_EQ(a.result.parameters_sha256, b.result.parameters_sha256) << what;
  EXPECT_EQ(a.result.final_test->loss, b.result.final_test->loss) << what;
  EXPECT_TRUE(std::ranges::equal(a.checkpoint.values, b.checkpoint.values)) << what;
  EXPECT_TRUE(std::ranges::equal(a.checkpoint.state, b.checkpoint.state)) << what;
  ASSERT_EQ(a.result.epochs.size(), b.result.epochs.size());
  for (size_t i = 0; i < a.result.epochs.size(); ++i) {
    EXPECT_EQ(a.result.epochs[i].train_loss, b.result.epochs[i].train_loss) << what;
    EXPECT_EQ(a.result.epochs[i].test->loss, b.result.epochs[i].test->loss) << what;
  }
}

TEST(SparseInput, ChangesNoBitOfASerialRun) {
  const Dataset dataset = sparse_dataset();
  const std::vector<std::pair<const char*, Change>> jobs = {
      {"sgd", [](Config&) {}},
      {"one layer", [](Config& c) { c.model.hidden = {}; }},
      {"momentum, decay and accumulation",
       [](Config& c) {
         c.optimizer.momentum = 0.9;
         c.optimizer.weight_decay = 0.01;
         c.accumulate = 3;
       }},
      {"adam with dropout, best epoch",
       [](Config& c) {
         c.optimizer.kind = OptimizerKind::adam;
         c.optimizer.learning_rate = 1e-3;
         c.model.dropout = 0.3;
         c.keep_best = true;
       }},
  };
  for (const auto& [name, job] : jobs) {
    expect_equal(train_with(dataset, job, SparseInput::on),
                 train_with(dataset, job, SparseInput::off), name);
  }
}

TEST(SparseInput, ChangesNoBitOfDeterministicSync) {
  const Dataset dataset = sparse_dataset();
  for (const UpdateKind update : {UpdateKind::sliced, UpdateKind::factors, UpdateKind::replicas}) {
    for (const int workers : {2, 3}) {
      const Change job = [&](Config& c) {
        c.optimizer.momentum = 0.9;
        c.strategy = Strategy::sync;
        c.workers = workers;
        c.update = update;
        c.deterministic = true;
      };
      expect_equal(train_with(dataset, job, SparseInput::on),
                   train_with(dataset, job, SparseInput::off), "sync");
    }
  }
}

TEST(SparseInput, ChangesNoBitOfLocalSgdAndOfOneHogwildWorker) {
  const Dataset dataset = sparse_dataset();
  const Change local = [](Config& c) {
    c.strategy = Strategy::local_sgd;
    c.workers = 2;
    c.sync_every = {SyncEvery::Kind::steps, 2};
  };
  expect_equal(train_with(dataset, local, SparseInput::on),
               train_with(dataset, local, SparseInput::off), "local SGD");
  const Change hogwild = [](Config& c) { c.strategy = Strategy::hogwild; };
  expect_equal(train_with(dataset, hogwild, SparseInput::on),
               train_with(dataset, hogwild, SparseInput::off), "hogwild");
}

TEST(SparseInput, AResumedRunMayStoreTheWeightTheOtherWay) {
  const Dataset dataset = sparse_dataset();
  const TemporaryFolder folder;
  const Change job = [&](Config& c) {
    c.optimizer.momentum = 0.9;
    c.keep_best = true;
    c.checkpoint_every = {5, true};
    c.out = folder.path().string();
  };
  const TrainedModel whole = train_with(dataset, job, SparseInput::on);
  const Checkpoint state = load_checkpoint(folder.file("checkpoints/step-0000000010.safetensors"));
  for (const SparseInput sparse : {SparseInput::on, SparseInput::off}) {
    expect_equal(train_with(dataset, job, sparse, &state), whole, "resumed");
  }
}

TEST(SparseInput, FillCountsFoursWithAnythingInThem) {
  Dataset dataset = make_dataset(64, 8);
  EXPECT_EQ(input_fill(dataset), 1.0);
  auto values = std::make_shared<Buffer<float>>(64 * 8);
  dataset.train.features.data = values->data();
  dataset.train.features.keep_alive = values;
  EXPECT_EQ(input_fill(dataset), 0.0);
  (*values)[0] = 1.0f;  // one of 16 x 8 fours of samples, one of 2 x 64 fours of features
  EXPECT_NEAR(input_fill(dataset), 1.0 / 128, 1e-12);
  dataset.normalization = {Normalize::standard, {1.0f}, {0.5f}};  // nothing is zero any more
  EXPECT_EQ(input_fill(dataset), 1.0);
}

TEST(SparseInput, IsChosenForSparseDataAndWideLayersAlone) {
  const auto chosen = [](const Dataset& dataset, const Change& change) {
    Config config;
    config.model.hidden = {64};
    change(config);
    const Model model = make_model(config.model, dataset.features(), dataset.classes);
    Resolved resolved;
    resolved.config = config;
    return choose_first_weight(resolved, dataset, model) == FirstWeight::inputs_first;
  };
  const Dataset sparse = sparse_dataset(), dense = make_dataset();
  EXPECT_TRUE(chosen(sparse, [](Config&) {}));
  EXPECT_FALSE(chosen(dense, [](Config&) {}));
  EXPECT_TRUE(chosen(dense, [](Config& c) { c.sparse_input = SparseInput::on; }));
  EXPECT_FALSE(chosen(sparse, [](Config& c) { c.sparse_input = SparseInput::off; }));
  EXPECT_FALSE(chosen(sparse, [](Config& c) { c.model.hidden = {63}; }));
  EXPECT_FALSE(chosen(sparse, [](Config& c) { c.model.precision = Precision::bf16; }));
}

TEST(SparseInput, IsRefusedWhereTheStepHasNoSuchLayer) {
  Dataset dataset = make_dataset(64, 8, 2);
  const auto refused = [&](const Change& change) {
    Config config;
    config.sparse_input = SparseInput::on;
    change(config);
    const Model model = make_model(config.model, dataset.features(), dataset.classes);
    Resolved resolved;
    resolved.config = config;
    EXPECT_THROW(choose_first_weight(resolved, dataset, model), Error);
  };
  refused([](Config& c) { c.model.model = "logistic"; });
  refused([](Config& c) { c.model.precision = Precision::bf16; });
}

}  // namespace
}  // namespace lockstep

// Saving and loading: every bit comes back, and nothing is ever half written.
#include "lockstep/checkpoint.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "lockstep/error.h"
#include "train/atomic_file.h"
#include "train/checkpoint_fixture.h"
#include "train/safetensors.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

void expect_same_model(const Checkpoint& loaded, const Checkpoint& saved) {
  EXPECT_EQ(loaded.model.kind, saved.model.kind);
  EXPECT_EQ(loaded.model.inputs, saved.model.inputs);
  EXPECT_EQ(loaded.model.classes, saved.model.classes);
  EXPECT_EQ(loaded.model.loss, saved.model.loss);
  ASSERT_EQ(loaded.model.layers.size(), saved.model.layers.size());
  for (size_t i = 0; i < saved.model.layers.size(); ++i) {
    ASSERT_EQ(loaded.model.layers[i].index(), saved.model.layers[i].index());
    if (const auto* linear = std::get_if<Linear>(&saved.model.layers[i])) {
      const auto& other = std::get<Linear>(loaded.model.layers[i]);
      EXPECT_EQ(other.inputs, linear->inputs);
      EXPECT_EQ(other.outputs, linear->outputs);
      EXPECT_EQ(other.activation, linear->activation);
    } else {
      EXPECT_EQ(std::get<Dropout>(loaded.model.layers[i]).p,
                std::get<Dropout>(saved.model.layers[i]).p);
    }
  }
  EXPECT_TRUE(same_bits(loaded.values.span(), saved.values.span()));
}

TEST(Checkpoint, FinalModelComesBackExactly) {
  const TemporaryFolder folder;
  const Checkpoint saved = final_model();
  save_checkpoint(folder.file("model.safetensors"), saved);
  const Checkpoint loaded = load_checkpoint(folder.file("model.safetensors"));
  expect_same_model(loaded, saved);
  EXPECT_EQ(loaded.normalization.kind, saved.normalization.kind);
  EXPECT_TRUE(same_bits(loaded.normalization.scale, saved.normalization.scale));
  EXPECT_TRUE(same_bits(loaded.normalization.offset, saved.normalization.offset));
  EXPECT_EQ(loaded.class_names, saved.class_names);
  ASSERT_TRUE(loaded.image.has_value());
  EXPECT_EQ(loaded.image->height, 2);
  EXPECT_EQ(loaded.image->width, 3);
  EXPECT_EQ(loaded.seed, saved.seed);
  EXPECT_FALSE(loaded.position.has_value());
  EXPECT_TRUE(loaded.config_json.empty());
  EXPECT_TRUE(loaded.history_json.empty());
  EXPECT_TRUE(loaded.optimizer_kind.empty());
  EXPECT_TRUE(loaded.state.empty());
  EXPECT_TRUE(loaded.best_values.empty());
  EXPECT_EQ(folder.entries(), 1u);  // no temporary file stays behind
}

TEST(Checkpoint, TrainingStateComesBackExactly) {
  const TemporaryFolder folder;
  const Checkpoint saved = training_state();
  save_checkpoint(folder.file("step.safetensors"), saved);
  const Checkpoint loaded = load_checkpoint(folder.file("step.safetensors"));
  expect_same_model(loaded, saved);
  ASSERT_TRUE(loaded.position.has_value());
  EXPECT_EQ(loaded.position->epoch, 3);
  EXPECT_EQ(loaded.position->step, 17);
  EXPECT_EQ(loaded.position->global_step, 9007199254740993);
  EXPECT_EQ(loaded.position->global_batch, 64);
  EXPECT_EQ(loaded.position->train_samples, 6400);
  EXPECT_EQ(loaded.position->epoch_loss, 0.1 + 0.2);
  EXPECT_EQ(loaded.position->epoch_correct, 41);
  EXPECT_EQ(loaded.position->epoch_count, 9223372036854775807);
  EXPECT_EQ(loaded.config_json, saved.config_json);
  EXPECT_EQ(loaded.history_json, saved.history_json);
  EXPECT_EQ(loaded.optimizer_kind, "adam");
  EXPECT_EQ(loaded.state_count, 2);
  EXPECT_TRUE(same_bits(loaded.state.span(), saved.state.span()));
  EXPECT_TRUE(same_bits(loaded.best_values.span(), saved.best_values.span()));
}

TEST(Checkpoint, EveryDoubleComesBackExactly) {
  const TemporaryFolder folder;
  Checkpoint saved = training_state();
  for (const double loss : {0.0, -0.0, 1.0, 1e-308, 4.9e-324, 1.7976931348623157e308,
                            123456789.12345678, 1.0 / 3.0, 5e-05, 1e22, -2.0}) {
    saved.position->epoch_loss = loss;
    save_checkpoint(folder.file("x"), saved);
    const double loaded = load_checkpoint(folder.file("x")).position->epoch_loss;
    EXPECT_EQ(std::memcmp(&loaded, &loss, sizeof loss), 0) << loss;
  }
}

TEST(Checkpoint, MomentumAndLogisticRegressionComeBack) {
  const TemporaryFolder folder;
  Checkpoint saved;
  saved.model = make_logistic(7, 2);
  saved.optimizer_kind = "sgd";
  saved.state_count = 1;
  const ParameterLayout layout(saved.model);
  saved.values = Buffer<float>(layout.size());
  saved.state = Buffer<float>(layout.size());
  fill_parameters(layout, 1.0f, saved.values.span());
  fill_parameters(layout, 2.0f, saved.state.span());
  save_checkpoint(folder.file("x"), saved);
  const Checkpoint loaded = load_checkpoint(folder.file("x"));
  expect_same_model(loaded, saved);
  EXPECT_TRUE(loaded.normalization.identity());
  EXPECT_TRUE(loaded.class_names.empty());
  EXPECT_FALSE(loaded.image.has_value());
  EXPECT_TRUE(same_bits(loaded.state.span(), saved.state.span()));
}

TEST(Checkpoint, FileHoldsTheDocumentedTensorsUnpadded) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x");
  save_checkpoint(path, training_state());
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 4u * 6);
  file.expect("layers.0.weight", {5, 6});
  file.expect("layers.2.bias", {4});
  file.expect("layers.4.weight", {3, 4});
  file.expect("optimizer.mean.layers.0.weight", {5, 6});
  file.expect("optimizer.variance.layers.4.bias", {3});
  file.expect("best.layers.2.weight", {4, 5});
  EXPECT_EQ(file.tensors().at("layers.0.weight").bytes, 120u);
  EXPECT_EQ(file.tensors().at("layers.0.weight").offset % 8, 0u);

  const auto metadata = nlohmann::json::parse(file.metadata().at("lockstep"));
  EXPECT_EQ(metadata["torch"]["layers.0.weight"], "0.weight");  // Linear, ReLU, Dropout: 0, 1, 2
  EXPECT_EQ(metadata["torch"]["layers.2.weight"], "3.weight");
  EXPECT_EQ(metadata["torch"]["layers.4.bias"], "6.bias");
}

TEST(Checkpoint, ReplacesAnOlderFile) {
  const TemporaryFolder folder;
  write_bytes(folder.file("x"), "old");
  save_checkpoint(folder.file("x"), final_model());
  EXPECT_EQ(load_checkpoint(folder.file("x")).model.inputs, 6);
  EXPECT_EQ(folder.entries(), 1u);
}

void expect_save_error(const std::string& path, const Checkpoint& checkpoint,
                       const std::string& text) {
  try {
    save_checkpoint(path, checkpoint);
    ADD_FAILURE() << "expected an error with '" << text << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::runtime);
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

TEST(CheckpointWrite, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = final_model();
  write_bytes(folder.file("plain"), "");
  expect_save_error(folder.file("missing/x"), checkpoint, "No such file or directory");
  expect_save_error(folder.file("missing/x"), checkpoint, folder.file("missing/x"));
  expect_save_error(folder.file("plain/x"), checkpoint, "Not a directory");
  expect_save_error(folder.path().string(), checkpoint, "not a regular file");
  expect_save_error("/dev/full", checkpoint, "not a regular file");
}

TEST(CheckpointWrite, RefusesAFolderThatMayNotBeWrittenTo) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TemporaryFolder folder;
  ::chmod(folder.path().c_str(), 0500);
  expect_save_error(folder.file("x"), final_model(), "Permission denied");
  ::chmod(folder.path().c_str(), 0700);
}

TEST(CheckpointWrite, FullDeviceIsAnError) {
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  try {
    write_all(full, "abc", 3, "/dev/full");
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'/dev/full': No space left on device"));
    EXPECT_THAT(error.remedy(), HasSubstr("free space"));
  }
  ::close(full);
}

// In a child process, where files may not grow beyond `limit` bytes: exit code 0 where the save
// failed as documented and left the old file and nothing else.
[[noreturn]] void save_under_file_size_limit(const TemporaryFolder& folder, rlim_t limit) {
  const std::string old = read_bytes(folder.file("x"));
  const rlimit bytes{limit, limit};
  ::setrlimit(RLIMIT_FSIZE, &bytes);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    save_checkpoint(folder.file("x"), training_state());
  } catch (const Error& error) {
    const bool told = std::string(error.what()).find("File too large") != std::string::npos;
    std::_Exit(told && read_bytes(folder.file("x")) == old && folder.entries() == 1 ? 0 : 2);
  }
  std::_Exit(1);
}

TEST(CheckpointWriteDeathTest, CutOffWriteLeavesTheOldFileUntouched) {
  const TemporaryFolder folder;
  save_checkpoint(folder.file("x"), final_model());
  for (const rlim_t limit : {0, 5, 100, 3000}) {
    EXPECT_EXIT(save_under_file_size_limit(folder, limit), testing::ExitedWithCode(0), "");
  }
  EXPECT_EQ(load_checkpoint(folder.file("x")).model.inputs, 6);
}

TEST(CheckpointWrite, RefusesWhatCouldNotBeLoaded) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x");
  Checkpoint checkpoint = training_state();
  checkpoint.position->epoch_loss = std::nan("");
  expect_save_error(path, checkpoint, "epoch_loss is not finite");
  checkpoint = training_state();
  checkpoint.values = Buffer<float>(3);
  expect_save_error(path, checkpoint, "values holds 3 floats");
  checkpoint = training_state();
  checkpoint.state_count = 1;
  expect_save_error(path, checkpoint, "state_count");
  checkpoint = training_state();
  checkpoint.class_names.pop_back();
  expect_save_error(path, checkpoint, "2 class_names for 3 classes");
  checkpoint = training_state();
  checkpoint.config_json = "{";
  expect_save_error(path, checkpoint, "config is not valid JSON");
  checkpoint = training_state();
  checkpoint.normalization.offset.clear();
  expect_save_error(path, checkpoint, "normalization");
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace lockstep

// A small checkpoint with every part filled, a folder that removes itself, and whole-file access.
#pragma once

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "lockstep/checkpoint.h"

namespace lockstep {

// In memory where the system has such a file system: syncing thousands of small files takes a disk
// minutes.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    namespace fs = std::filesystem;
    const bool shared_memory = ::access("/dev/shm", W_OK | X_OK) == 0;
    const fs::path parent = shared_memory ? "/dev/shm" : fs::temp_directory_path();
    std::string name = (parent / "lockstep-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Distinct values in every parameter, zero in the padding.
inline void fill_parameters(const ParameterLayout& layout, float first, std::span<float> values) {
  for (const TensorSpec& tensor : layout.tensors()) {
    for (size_t i = 0; i < tensor.size; ++i) {
      values[tensor.offset + i] = first + 0.1f * static_cast<float>(tensor.offset + i);
    }
  }
}

inline Checkpoint final_model() {
  Checkpoint checkpoint;
  checkpoint.model = make_mlp(6, {5, 4}, 3, 0.25);
  checkpoint.normalization = {Normalize::standard,
                              {1.0f, 0.1f, 1e-30f, 3.4e38f, -0.0f, 1.0f / 3.0f},
                              {0.5f, -7.25f, 1e-45f, 0.0f, 2.0f, -1.0f / 255.0f}};
  checkpoint.class_names = {"setosa", "caf\xc3\xa9", "caf\xe9\n\"\\"};  // the last is Latin-1
  checkpoint.image = ImageShape{1, 2, 3};
  checkpoint.seed = 0xFFFFFFFFFFFFFFFFull;
  const ParameterLayout layout(checkpoint.model);
  checkpoint.values = Buffer<float>(layout.size());
  fill_parameters(layout, -3.0f, checkpoint.values.span());
  return checkpoint;
}

inline Checkpoint training_state() {
  Checkpoint checkpoint = final_model();
  const ParameterLayout layout(checkpoint.model);
  checkpoint.position =
      TrainingPosition{.epoch = 3,
                       .step = 17,
                       .global_step = 9007199254740993,  // 2^53 + 1: no double holds it
                       .global_batch = 64,
                       .train_samples = 6400,
                       .epoch_loss = 0.1 + 0.2,
                       .epoch_correct = 41,
                       .epoch_count = 9223372036854775807};
  checkpoint.config_json = R"({"batch-size":64,"lr":0.1,"out":"a \"b\""})";
  checkpoint.history_json = R"([{"epoch":1,"test_loss":null,"train_loss":0.30000000000000004}])";
  checkpoint.optimizer_kind = "adam";
  checkpoint.state_count = 2;
  checkpoint.state = Buffer<float>(2 * layout.size());
  fill_parameters(layout, 100.0f, checkpoint.state.span().first(layout.size()));
  fill_parameters(layout, 200.0f, checkpoint.state.span().last(layout.size()));
  checkpoint.best_values = Buffer<float>(layout.size());
  fill_parameters(layout, 300.0f, checkpoint.best_values.span());
  return checkpoint;
}

}  // namespace lockstep
